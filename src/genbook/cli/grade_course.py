"""Masters become what students get, and a course folder in nbgrader's own layout that its other tools can read.

A master is `assignments/NAME.md`: Jupytext text whose cells carry nbgrader's metadata. nbgrader's own
`GenerateAssignment` takes the solutions and the hidden tests out and writes the questions into `gradebook.db`.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbook.cli.files import write_together

__all__ = ["Course", "CourseError", "Master", "master_names", "read_csv", "read_master", "write_assignments"]

MARKERS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "END HIDDEN TESTS")
KINDS_OF_MARKERS = ("SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
LIKE_A_MARKER = re.compile(r"^\s*[^\w\s'\"]+\s*((?:BEGIN|END)\b.*?)\W*$", re.MULTILINE)
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CONFIG = '''"""So that `nbgrader formgrader`, started in this folder, shows the course that genbook-grade keeps."""

c = get_config()  # noqa: F821
c.CourseDirectory.root = "."
'''


class CourseError(Exception):
    """Something that the person at the command line can put right; the message says what and how."""


@dataclass(frozen=True)
class Master:
    """An assignment as its author wrote it: a notebook with solutions and hidden tests, and the file's digest."""

    name: str
    notebook: Any
    digest: str


def needs_nbgrader() -> None:
    """Raise CourseError where nbgrader is missing; put this Python's commands on PATH, for it calls `alembic`."""
    folder = str(Path(sys.executable).parent)
    if folder not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
    for needed in ("nbgrader", "jupytext", "nbconvert", "psutil"):
        if importlib.util.find_spec(needed) is None:
            raise CourseError(f"{needed} is not installed; install it with:  pip install 'genbook[grade]'")


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the header and the lines of a table that a person saved, with commas or semicolons, without spaces.

    Raises CourseError for a file that is missing, is not text in UTF-8, or is no table.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise CourseError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} cannot be read: {error}; save it as CSV in UTF-8") from error
    first = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    try:
        header = [(key or "").strip() for key in reader.fieldnames or []]
        reader.fieldnames = header
        lines = [{key: (line[key] or "").strip() for key in header} for line in reader]
    except csv.Error as error:  # such as a field of more than 131,072 characters
        raise CourseError(f"{path} cannot be read as a table, near line {reader.line_num}: {error}") from error
    return header, [line for line in lines if any(line.values())]


def master_names(folder: Path) -> list[str]:
    """Return the names of the masters in a folder: its `.md` files with nbgrader's metadata in them."""
    return sorted(p.stem for p in folder.glob("*.md") if "nbgrader=" in p.read_text(encoding="utf-8"))


def check_markers(path: Path, cell: str, source: str) -> None:
    """Raise CourseError unless each BEGIN is followed by the END of its kind; nbgrader does not look."""
    found = LIKE_A_MARKER.findall(source)
    wanted = [f"{edge} {line.partition(' ')[2]}" for line in found[::2] for edge in ("BEGIN", "END")]
    known = all(line.partition(" ")[2] in KINDS_OF_MARKERS for line in found)
    if found != wanted or not known:
        kinds = ", ".join(f"BEGIN {kind} … END {kind}" for kind in KINDS_OF_MARKERS)
        raise CourseError(f"{path}: in {cell} the markers are {' … '.join(found)}; they must be pairs of {kinds}")


def read_master(path: Path) -> Master:
    """Return a master with stable cell ids and no metadata but nbgrader's.

    A graded or locked cell's id is "ASSIGNMENT-GRADE_ID", another's a digest of its text. Raises CourseError for a
    file that is missing, has no graded cell, gives two cells one id, or has markers between which
    nbgrader would let a solution or a hidden test slip.
    """
    needs_nbgrader()
    import jupytext

    if not path.exists():
        known = ", ".join(master_names(path.parent)) if path.parent.is_dir() else ""
        where = (
            f"the masters there are: {known}" if known else "no master lies there; --masters FOLDER names another"
        )
        raise CourseError(f"no master {path}; {where}")
    text = path.read_text(encoding="utf-8")
    notebook, taken, marked = jupytext.reads(text, fmt="md"), set(), set()
    for cell in notebook.cells:
        own = cell.metadata.get("nbgrader", {})
        if (mark := own.get("grade_id")) in marked:
            raise CourseError(f"{path}: two cells have the grade_id {mark!r}")
        marked |= {mark} - {None}
        check_markers(path, mark or "a cell without grade_id", cell.source)
        base = own.get("grade_id") or hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        stem = re.sub(r"[^A-Za-z0-9_-]", "-", f"{path.stem}-{base}")[:56]
        number = 1
        while (key := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(key)
        cell["id"] = key
        cell.metadata = {"nbgrader": own} if own else {}
    if not any(cell.metadata.get("nbgrader", {}).get("grade") for cell in notebook.cells):
        raise CourseError(f'{path} has no graded cell: none whose nbgrader metadata say "grade": true')
    notebook.metadata = NOTEBOOK_METADATA | {"genbook": {"assignment": path.stem}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return Master(path.stem, notebook, hashlib.sha256(text.encode()).hexdigest())


def as_ipynb(notebook: Any) -> bytes:
    """Return a notebook as the bytes of its file: sorted, indented, without outputs of chance."""
    import nbformat

    return (nbformat.writes(notebook, version=4).rstrip("\n") + "\n").encode()


class Lines(logging.Handler):
    """Keeps what nbgrader reports, to be shown only when something fails."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.lines.append(record.getMessage())


def last_error(lines: list[str]) -> str:
    """Return the last line of the last traceback among nbgrader's messages, or its last message."""
    tracebacks = [line for line in lines if "Traceback (most recent call last)" in line]
    text = (tracebacks or lines or ["no message"])[-1].strip()
    return text.splitlines()[-1] if tracebacks else text


@contextmanager
def nbgrader_log() -> Iterator[tuple[logging.Logger, Lines]]:
    """Give a logger for nbgrader that is silent, and the lines it kept."""
    logger, lines = logging.Logger("genbook-grade"), Lines()
    logger.addHandler(lines)
    yield logger, lines


@dataclass(frozen=True)
class Course:
    """A folder in nbgrader's layout: source, release, submitted, autograded, feedback, `gradebook.db`."""

    folder: Path

    @property
    def database(self) -> str:
        """The address of the gradebook, as SQLAlchemy wants it."""
        return f"sqlite:///{(self.folder / 'gradebook.db').resolve()}"

    def path(self, step: str, student: str, name: str) -> Path:
        """Return nbgrader's folder of a step for a student and an assignment."""
        return self.folder / step / student / name

    def released(self, name: str) -> Path:
        """Return the notebook that students get."""
        return self.folder / "release" / name / f"{name}.ipynb"

    def directory(self, name: str, student: str = "*") -> Any:
        """Return nbgrader's view of this folder."""
        from nbgrader.coursedir import CourseDirectory

        root = str(self.folder.resolve())
        return CourseDirectory(root=root, db_url=self.database, assignment_id=name, student_id=student)

    def record(self, name: str) -> dict[str, Any]:
        """Return what was collected of an assignment: each student's id with the facts of the file."""
        path = self.folder / "collected" / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def write_record(self, name: str, record: dict[str, Any]) -> None:
        """Store what was collected of an assignment."""
        text = json.dumps(dict(sorted(record.items())), indent=1, ensure_ascii=False) + "\n"
        write_together({self.folder / "collected" / f"{name}.json": text.encode(errors="replace")})

    def is_current(self, master: Master) -> bool:
        """Whether this master, word for word, is what was released last."""
        stamp = self.folder / "source" / master.name / ".digest"
        return self.released(master.name).exists() and stamp.exists() and stamp.read_text() == master.digest

    def release(self, master: Master) -> Path:
        """Make the students' notebook of a master and write its questions into the gradebook; returns its path.

        Raises CourseError where nbgrader refuses: a fault in the master, or questions that came or went after
        submissions were graded.
        """
        needs_nbgrader()
        from nbgrader.converters import GenerateAssignment
        from nbgrader.converters.base import NbGraderException

        source = self.folder / "source" / master.name
        write_together({source / f"{master.name}.ipynb": as_ipynb(master.notebook)})
        if not (self.folder / "nbgrader_config.py").exists():
            write_together({self.folder / "nbgrader_config.py": CONFIG.encode()})
        with nbgrader_log() as (logger, lines):
            try:
                GenerateAssignment(coursedir=self.directory(master.name), force=True, log=logger).start()
            except NbGraderException as error:
                raise CourseError(f"{master.name} could not be released: {last_error(lines.lines)}") from error
        text = self.released(master.name).read_text(encoding="utf-8")
        left = [marker for marker in MARKERS if marker in text]
        if left:
            self.released(master.name).unlink()  # or it would be handed out all the same
            raise CourseError(
                f"{master.name}: the release still holds {', '.join(left)}; see the master's markers"
            )
        write_together({source / ".digest": master.digest.encode()})
        return self.released(master.name)


def solution_of(master: Master) -> Any:
    """Return the master's notebook with its solutions, without the lines that mark where they begin and end."""
    import nbformat

    notebook = nbformat.from_dict(json.loads(json.dumps(master.notebook)))
    for cell in notebook.cells:
        kept = [line for line in cell.source.split("\n") if not any(mark in line for mark in MARKERS[:2])]
        cell.source = "\n".join(kept)
    return notebook


def write_assignments(folder: Path) -> list[Path]:
    """Write `student/NAME.ipynb` and `solutions/NAME.ipynb` for every master of a folder; returns their paths.

    The same masters give the same bytes. Raises CourseError where a master cannot be released.
    """
    import nbformat

    written = {}
    with tempfile.TemporaryDirectory() as scratch:
        course = Course(Path(scratch))
        for name in master_names(folder):
            master = read_master(folder / f"{name}.md")
            release = nbformat.read(course.release(master), as_version=4)
            written[folder / "student" / f"{name}.ipynb"] = as_ipynb(release)
            written[folder / "solutions" / f"{name}.ipynb"] = as_ipynb(solution_of(master))
    write_together(written)
    return list(written)
