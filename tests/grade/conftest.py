"""The small assignment `means`: its master, what students get of it, and a command line to grade it with."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

MASTERS = Path(__file__).parent / "fixtures"
MEANS = MASTERS / "means.md"


@dataclass(frozen=True)
class Parts:
    """The notebook that students get, the one with hidden tests, and a right answer as a student saves it."""

    released: object
    source: object
    solved: object


@pytest.fixture(scope="session")
def released_course(tmp_path_factory):
    """A course in which `means` is released, to be copied by tests that change it."""
    from genbook.cli.grade_course import Course, read_master

    course = Course(tmp_path_factory.mktemp("released") / "grading")
    course.release(read_master(MEANS))
    return course


@pytest.fixture(scope="session")
def parts(released_course):
    """The notebooks of the assignment `means`."""
    import nbformat

    from genbook.cli.grade_course import read_master, solution_of

    master = read_master(MEANS)
    released = nbformat.read(released_course.released("means"), as_version=4)
    solved = solution_of(master)
    for cell, twin in zip(solved.cells, released.cells, strict=True):
        if not cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = twin.source
        cell.metadata = twin.metadata
    solved.metadata = released.metadata
    return Parts(released, master.notebook, solved)


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit status and what it wrote to the terminal."""

    status: int
    out: str
    err: str


def genbook_grade(*arguments, folder=None):
    """Run the command line as a person does; returns how it ended."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "genbook.cli.grade", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=400, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def table(path):
    """Return the lines of a CSV file by student, as a spreadsheet reads it."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        return {line["student_id"]: line for line in csv.DictReader(file)}
