"""What students get and what the book publishes as solutions are made from today's masters."""

from __future__ import annotations

import json

import grading
import pytest

grading.needs("nbgrader", "jupytext", "nbformat")

import nbformat  # noqa: E402

from genbook.cli.grade_course import master_names, write_assignments  # noqa: E402

KINDS = ("student", "solutions")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A copy of the masters, and what `make assignments` writes beside them."""
    folder = tmp_path_factory.mktemp("assignments")
    for path in grading.FOLDER.glob("*.md"):
        (folder / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    write_assignments(folder)
    return folder


def content(path):
    """All of a notebook but the ids of cells that carry no mark: those hold an address, which a fork changes."""
    cells = []
    for cell in nbformat.read(path, as_version=4).cells:
        mark = cell.metadata.get("nbgrader")
        cells.append((cell.cell_type, cell.source, json.dumps(mark, sort_keys=True), cell.id if mark else None))
    return cells


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_notebooks_are_those_of_the_masters(made, kind):
    names = {f"{name}.ipynb" for name in master_names(grading.FOLDER)}
    assert {path.name for path in (grading.FOLDER / kind).iterdir()} == names
    for name in sorted(names):
        assert content(grading.FOLDER / kind / name) == content(made / kind / name), (
            f"{kind}/{name}: make assignments"
        )


def test_writing_them_again_gives_the_same_bytes(made):
    before = {path: path.read_bytes() for kind in KINDS for path in (made / kind).iterdir()}
    assert write_assignments(made)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_valid_and_hold_no_output(kind):
    for path in (grading.FOLDER / kind).iterdir():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
