"""Release a master with nbgrader's own steps, fill in answers, run it in this process and count the points."""

from __future__ import annotations

import copy
import importlib.util
import io
import linecache
import os
import re
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "assignments"
#: What stands between these markers is for the instructor.
REGION = re.compile(r"^[^\n]*### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)^[^\n]*### END \1$", re.MULTILINE | re.DOTALL)

#: A cell's role by what nbgrader calls (grade, solution).
ROLES = {(True, False): "tests", (False, True): "solution", (True, True): "manual", (False, False): "locked"}


def needs(*tools: str) -> None:
    """Skip the calling module where a tool is missing; in CI a missing tool is a failure."""
    for tool in tools:
        if importlib.util.find_spec(tool) is None:
            reason = f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'"
            if os.environ.get("CI") == "true":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason, allow_module_level=True)


def read(name: str):
    """Return the master of that name as a notebook, and check its nbgrader metadata as a release would."""
    import jupytext
    from nbgrader.preprocessors import CheckCellMetadata

    notebook = jupytext.read(FOLDER / f"{name}.md")
    return CheckCellMetadata().preprocess(notebook, {})[0]


def release(master, *, hidden_tests: bool = False):
    """Return what students get; with `hidden_tests` what the grader runs, which puts them back."""
    from nbgrader import preprocessors as steps

    chain = [steps.LockCells, steps.ClearSolutions, steps.ClearOutput, steps.CheckCellMetadata]
    chain += [] if hidden_tests else [steps.ClearHiddenTests, steps.ClearMarkScheme]
    chain += [steps.ComputeChecksums, steps.CheckCellMetadata]
    notebook, resources = copy.deepcopy(master), {}
    for step in chain:
        notebook, resources = step().preprocess(notebook, resources)
    return notebook


def cells(notebook, role: str) -> dict:
    """Return the cells of one role by their grade_id: solution, tests, manual or locked."""
    found = {}
    for cell in notebook.cells:
        mark = cell.metadata.get("nbgrader")
        if mark is None:
            continue
        if ROLES[mark["grade"], mark["solution"]] == role:
            found[mark["grade_id"]] = cell
    return found


def answered(master, answers: dict[str, str], *, others_solved: bool = True):
    """Return what the grader runs, with `answers` (grade_id to source) and elsewhere the solution, or nothing."""
    notebook = copy.deepcopy(master) if others_solved else release(master, hidden_tests=True)
    solutions = cells(notebook, "solution")
    for grade_id, source in answers.items():
        solutions[grade_id].source = source
    return notebook


def in_another_term(notebook, term: int, student: str | None = None):
    """Return the notebook with another TERM_SEED and, in the concept tests, another student."""
    changed = copy.deepcopy(notebook)
    hits = 0
    for cell in changed.cells:
        cell.source, count = re.subn(r"^TERM_SEED = \d+", f"TERM_SEED = {term}", cell.source, flags=re.MULTILINE)
        hits += count
        if student is not None:
            cell.source = cell.source.replace('STUDENT_ID = "the solution"', f'STUDENT_ID = "{student}"')
    assert hits == 1, "a master sets TERM_SEED exactly once"
    return changed


def run(notebook) -> tuple[dict[str, int], dict[str, str], dict]:
    """Run every code cell as the grader does: on after an error, and an error earns nothing.

    Returns the points of each tests cell, the last line of what went wrong in each cell or, for it costs no points
    but should not be, of what it wrote to stderr, and the names that the notebook left behind.
    """
    from IPython.core.inputtransformer2 import TransformerManager
    from matplotlib import pyplot as plt

    names: dict = {"__name__": "__main__"}
    points, faults = {}, {}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        mark = cell.metadata.get("nbgrader", {})
        label, loud = mark.get("grade_id", f"cell {index}"), io.StringIO()
        source = TransformerManager().transform_cell(cell.source)
        file, failed = f"<{label}>", False
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(loud), warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.showwarning = lambda message, *_, **__: print(message, file=sys.stderr)
                exec(compile(source, file, "exec"), names)
        except Exception as error:
            failed = True
            faults[label] = f"{type(error).__name__}: {error}"
        if loud.getvalue().strip():
            faults.setdefault(label, f"on stderr: {loud.getvalue().strip().splitlines()[-1]}")
        if mark.get("grade") and not mark["solution"]:
            points[label] = 0 if failed else mark["points"]
    plt.close("all")
    return points, faults, names
