"""Every master keeps its promises: full marks for the solution, none for the untouched release, and in between."""

from __future__ import annotations

import ast
import re
import sys
import time
from pathlib import Path

import grading
import pytest

grading.needs("nbgrader", "jupytext", "IPython")

from wrong_answers import WRONG  # noqa: E402

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from first_cell import FIRST_CELL  # noqa: E402
from set_repository import current  # noqa: E402

MASTERS = sorted(path.stem for path in grading.FOLDER.glob("*.md") if "nbgrader=" in path.read_text("utf-8"))
CONCEPTS = [name for name in MASTERS if name.startswith("concept_test")]
HOMEWORK = [name for name in MASTERS if name not in CONCEPTS and name != "capstone"]  # one for a chapter
ROW = re.compile(r"^\| \**([\w ]+?)\** \|[^|]*\| \**(\d+)\** \| \**(\d+)\** \|([^|]*)\|$", re.MULTILINE)
#: The points of a rubric: at the head of each item of a list, or of each sentence of a paragraph.
ITEM = re.compile(r"^- (\d)(?:, \*\*\w+\*\*)?:", re.MULTILINE)
SENTENCE = re.compile(r"(?<=[.*])\s(?:# )?(\d):")
COLAB = f"https://colab.research.google.com/github/{'/'.join(current(ROOT))}/blob/main/assignments/student"
DATA = ("float", "int", "str", "tuple", "dict", "list", "Tensor")


# A value of this kind says yes to everything; a student could return it from every function.
YES = '''
class Yes:
    """Equal to everything, smaller and larger than everything, and as close as you like."""

    dtype = shape = __class__ = None

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self

    def __bool__(self):
        return True

    def __iter__(self):
        return iter([self, self])

    def __len__(self):
        return 3

    def __getitem__(self, key):
        return self

    def __hash__(self):
        return 0

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __call__
    __pow__ = __abs__ = __neg__ = __call__


Yes = type("Yes", (Yes,), {"__module__": "builtins"})
'''


@pytest.fixture(scope="module")
def masters():
    return {name: grading.read(name) for name in MASTERS}


def listed(text: str):
    """Return the rows of the header's table as (question, points, minutes, graded by), and the totals."""
    rows = [(m[1], int(m[2]), int(m[3]), m[4].strip()) for m in ROW.finditer(text)]
    return rows[:-1], rows[-1][1:3]


def kept(names: dict) -> dict[str, str]:
    """Return the data among the names that a notebook leaves behind, as text."""
    texts = {key: repr(value) for key, value in names.items() if type(value).__name__ in DATA and key[0] != "_"}
    return {key: text for key, text in texts.items() if " at 0x" not in text}


def everything(master) -> dict[str, int]:
    return {name: cell.metadata["nbgrader"]["points"] for name, cell in grading.cells(master, "tests").items()}


# ---- what a master must hold ------------------------------------------------------------------------------------
def test_there_are_masters_and_each_has_wrong_answers():
    assert set(MASTERS) == set(WRONG)
    assert {
        "distributions",
        "markov_models",
        "rbms",
        "autoencoders",
        "vaes",
        "gans",
        "attention",
        "gpt",
        "capstone",
        *CONCEPTS,
    } <= set(MASTERS)
    assert CONCEPTS == ["concept_test_after", "concept_test_before"]
    for name, wrongs in WRONG.items():
        assert len(wrongs) >= 3, name
        assert len({wrong.name for wrong in wrongs}) == len(wrongs), name


@pytest.mark.parametrize("name", MASTERS)
def test_points_and_minutes_sum_to_what_the_header_says(masters, name):
    text = (grading.FOLDER / f"{name}.md").read_text("utf-8")
    rows, (points, minutes) = listed(text)
    assert sum(row[1] for row in rows) == points
    assert sum(row[2] for row in rows) == minutes
    manual = {k: c.metadata["nbgrader"]["points"] for k, c in grading.cells(masters[name], "manual").items()}
    tests = everything(masters[name])
    assert sum(tests.values()) + sum(manual.values()) == points
    for question, worth, _, by in rows:
        prefix = rf"[qc]{question}(?=[a-z-]|$)"
        own = {**tests, **manual}
        assert sum(v for k, v in own.items() if re.match(prefix, k)) == worth, f"question {question}"
        hand = sum(v for k, v in manual.items() if re.match(prefix, k))
        assert {"tests": hand == 0, "hand": hand == worth}.get(by, str(hand) in by), f"question {question}"
    if name in HOMEWORK:
        assert 4 <= len(rows) <= 6
        assert 60 <= minutes <= 90
        assert sum(by == "hand" for *_, by in rows) == 1
        assert all(sum(k.startswith(f"q{q}") for k in tests) >= 2 for q, _, _, by in rows if by == "tests")
    if name in CONCEPTS:
        assert [row[1] for row in rows] == [10] * len(rows), "ten questions of one point for each part"


@pytest.mark.parametrize("name", MASTERS)
def test_every_cell_is_in_its_role(masters, name):
    code = [cell for cell in masters[name].cells if cell.cell_type == "code"]
    assert code[0].source.strip() == FIRST_CELL.strip()
    assert masters[name].metadata["kernelspec"]["name"] == "python3"
    assert all("nbgrader" in cell.metadata for cell in code), "a cell that students may change unseen"
    for grade_id, cell in grading.cells(masters[name], "solution").items():
        assert "### BEGIN SOLUTION" in cell.source, grade_id
    for grade_id, cell in grading.cells(masters[name], "manual").items():
        assert "### BEGIN SOLUTION" in cell.source and "Rubric" in cell.source, grade_id
        rubric = cell.source.split("Rubric", 1)[1]
        listed_points = [int(value) for value in ITEM.findall(rubric) or SENTENCE.findall(rubric)]
        assert sum(listed_points) == cell.metadata["nbgrader"]["points"], f"{grade_id}: {listed_points}"
    text = (grading.FOLDER / f"{name}.md").read_text("utf-8")
    assert f"[Open in Colab]({COLAB}/{name}.ipynb)" in text


@pytest.mark.parametrize("name", MASTERS)
def test_every_graded_cell_gives_a_reason(masters, name):
    for grade_id, cell in grading.cells(masters[name], "tests").items():
        asserts = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Assert)]
        reasons = sum(node.msg is not None for node in asserts)
        assert reasons >= 0.7 * len(asserts) and reasons, grade_id
        last = ast.parse(cell.source).body[-1]
        assert not isinstance(last, ast.Expr), f"{grade_id}: nbgrader would read a last value as partial credit"


# ---- the release ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MASTERS)
def test_the_release_holds_no_solution_and_no_hidden_test(masters, name):
    text = (grading.FOLDER / f"{name}.md").read_text("utf-8")
    secret = {line.strip() for m in grading.REGION.finditer(text) for line in m[2].splitlines()}
    public = {line.strip() for line in grading.REGION.sub("", text).splitlines()}
    secret = {line for line in secret - public if len(line) >= 12}
    released = grading.release(masters[name])
    seen = "\n".join(cell.source for cell in released.cells)
    lines = {line.strip() for line in seen.splitlines()}
    assert len(secret) >= 15
    assert not secret & lines
    assert "BEGIN" not in seen and "HIDDEN" not in seen and "Rubric" not in seen
    assert not any(cell.get("outputs") for cell in released.cells)
    stubs = sum("raise NotImplementedError" in cell.source for cell in released.cells if cell.cell_type == "code")
    code = [c for c in grading.cells(masters[name], "manual").values() if c.cell_type == "code"]
    assert stubs == len(grading.cells(masters[name], "solution")) + len(code)


@pytest.mark.parametrize("name", MASTERS)
def test_the_untouched_release_earns_nothing_anywhere(masters, name):
    for hidden in (True, False):  # as the grader runs it, and as the student does
        points, faults, _ = grading.run(grading.release(masters[name], hidden_tests=hidden))
        assert set(points) == set(everything(masters[name]))
        assert set(points.values()) == {0}
        assert all(re.match("NotImplementedError|NameError", faults[grade_id]) for grade_id in points), faults


@pytest.mark.parametrize("name", [n for n in MASTERS if n != "capstone"])
def test_an_object_that_agrees_to_everything_earns_nothing(masters, name):
    answers = {}
    for grade_id, cell in grading.cells(masters[name], "solution").items():
        names = re.findall(r"^(?:def )?(\w+)(?=\(| = )", cell.source, re.MULTILINE)
        if grade_id == "student":
            continue
        functions = [n for n in names if f"def {n}(" in cell.source]
        variables = [n for n in names if n.startswith("answer_")]
        body = [f"def {n}(*args, **kwargs):\n    return Yes()" for n in functions]
        answers[grade_id] = YES + "\n".join(body + [f"{n} = Yes()" for n in variables])
    points, faults, _ = grading.run(grading.answered(masters[name], answers))
    assert not sum(points.values()), {k: v for k, v in points.items() if v}
    assert all(faults[grade_id].startswith("AssertionError") for grade_id in points), faults


# ---- right and wrong answers ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MASTERS)
def test_the_solution_earns_everything_in_every_term_and_quickly(masters, name):
    start = time.process_time()
    data = []
    for term in (None, 1, 4711):
        notebook = masters[name]
        if term is not None:
            notebook = grading.in_another_term(notebook, term, f"student {term}")
        points, faults, names = grading.run(notebook)
        assert not faults
        assert points == everything(masters[name])
        data.append(kept(names))
    assert any(data[0][key] != data[1].get(key) for key in data[0]), "TERM_SEED changes nothing"
    assert time.process_time() - start < 3 * 60, "grading one takes more than a minute"


@pytest.mark.parametrize("name", MASTERS)
def test_two_runs_agree(masters, name):
    first, second = (kept(grading.run(masters[name])[2]) for _ in range(2))
    assert first == second
    assert len(first) >= 8


def bundles(name: str) -> list[list]:
    """Return the wrong answers in lists whose members change and lose different cells, so that one run tries all.

    That questions are graded on their own is a test further down: what one answer loses, the others cannot.
    """
    found: list[list] = []
    for wrong in WRONG[name]:
        touched = {*wrong.answers, *wrong.loses}
        room = (bundle for bundle in found if not any(touched & {*one.answers, *one.loses} for one in bundle))
        bundle = next(room, None)
        found.append([wrong]) if bundle is None else bundle.append(wrong)
    return found


def together(bundle: list, field: str) -> dict:
    return {key: value for wrong in bundle for key, value in getattr(wrong, field).items()}


BUNDLES = [
    pytest.param(name, bundle, id=f"{name}: " + ", ".join(wrong.name for wrong in bundle))
    for name in WRONG
    for bundle in bundles(name)
]


@pytest.mark.parametrize("name", MASTERS)
def test_every_wrong_answer_is_in_one_bundle(name):
    names = [wrong.name for bundle in bundles(name) for wrong in bundle]
    assert sorted(names) == sorted(wrong.name for wrong in WRONG[name])


@pytest.mark.parametrize(("name", "bundle"), BUNDLES)
def test_wrong_answers_lose_exactly_what_is_intended(masters, name, bundle):
    points, faults, _ = grading.run(grading.answered(masters[name], together(bundle, "answers")))
    full = everything(masters[name])
    lost = {grade_id: full[grade_id] - points[grade_id] for grade_id in full if points[grade_id] != full[grade_id]}
    assert lost == together(bundle, "loses"), faults
    for grade_id in lost:  # what the student reads is a reason, not a stumble of the test itself
        assert faults[grade_id].startswith("AssertionError: "), faults[grade_id]


@pytest.mark.parametrize("name", HOMEWORK)
def test_most_wrong_answers_pass_what_students_see(masters, name):
    """A visible test that finds every mistake gives the answer away; hidden tests have to have work to do."""
    caught_early = 0
    for bundle in bundles(name):
        seen, answers = grading.release(masters[name]), together(bundle, "answers")
        solved = grading.cells(masters[name], "solution")
        for grade_id, cell in grading.cells(seen, "solution").items():
            cell.source = answers.get(grade_id, solved[grade_id].source)
        points, *_ = grading.run(seen)
        caught_early += sum(any(not points[grade_id] for grade_id in wrong.loses) for wrong in bundle)
    assert caught_early <= len(WRONG[name]) / 2


@pytest.mark.parametrize("name", HOMEWORK)
def test_each_question_is_graded_on_its_own(masters, name):
    """One solved question, everything else untouched, earns the points of that question alone."""
    solutions = grading.cells(masters[name], "solution")
    for question in "12345":
        own = {k: v.source for k, v in solutions.items() if k.startswith(f"q{question}")}
        points, *_ = grading.run(grading.answered(masters[name], own, others_solved=False))
        expected = {k: v if k.startswith(f"q{question}") else 0 for k, v in everything(masters[name]).items()}
        assert points == expected, f"question {question}"


# ---- the concept tests ------------------------------------------------------------------------------------------
def answers_of(master, student):
    points, faults, names = grading.run(grading.in_another_term(master, 2026, student))
    assert not faults
    assert sum(points.values()) == sum(everything(master).values())
    return {key: value for key, value in names.items() if key.startswith("answer_")}


@pytest.mark.parametrize("name", CONCEPTS)
def test_a_neighbours_answers_are_of_little_use(masters, name):
    """Handing in another student's answers as they stand earns about as much as guessing a letter for each."""
    students = [answers_of(masters[name], f"student-{k}") for k in range(12)]
    pairs = [(a, b) for a in students for b in students if a is not b]
    shared = sum(a[key] == b[key] for a, b in pairs for key in a) / len(pairs)
    assert 1 <= shared <= 4, f"{shared:.1f} of {len(students[0])} answers coincide"


def test_the_two_forms_ask_about_the_same_ideas_with_other_words(masters):
    before, after = (
        {
            k: c.source
            for k, c in grading.cells(masters[f"concept_test_{form}"], "locked").items()
            if k.startswith("c")
        }
        for form in ("before", "after")
    )
    assert list(before) == list(after)
    assert len(before) == 20
    assert not [key for key in before if before[key] == after[key]]


@pytest.mark.parametrize("name", CONCEPTS)
def test_a_registered_id_cannot_be_exchanged_for_another(masters, name, monkeypatch):
    full = sum(everything(masters[name]).values())
    for registered, expected in (("The Solution", full), ("somebody else", 0)):
        monkeypatch.setenv("GENBOOK_STUDENT_ID", registered)
        points, *_ = grading.run(masters[name])
        assert sum(points.values()) == expected
