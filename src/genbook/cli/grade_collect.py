"""Finds the submissions in a folder or the zip file of a learning platform (LMS): whose each is, and its notebook.

Known are the names that Moodle and Canvas give, one folder a student, and plain `STUDENT.ipynb`. Nothing of a
submission is opened here but zip files; what cannot be used is kept with the reason.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genbook.cli.files import write_together
from genbook.cli.grade_course import Course, CourseError

__all__ = ["Submission", "collect", "find_submissions", "whose"]

MOODLE = re.compile(r"^(?P<name>.+?)_(?P<lms>\d+)_assignsubmission_(?:file|onlinetext)_?(?P<file>.*)$")
CANVAS = re.compile(r"^(?P<name>[^_]+)(?:_LATE)?_(?P<lms>\d+)_\d+_(?P<file>.+)$", re.IGNORECASE)
IGNORED = {"__MACOSX", ".ipynb_checkpoints", "__pycache__"}
LARGEST_NOTEBOOK, LARGEST_CLASS, LARGEST_ZIP = 20 * 2**20, 4 * 2**30, 200 * 2**20  # bytes, unpacked
MOST_FILES = 20_000  # of a zip file
MOST_DEEP = 50  # folders in folders; Python's own tools for trees of files fail at some hundreds
MOST_OF_ONE = 3  # notebooks in a folder, named by nobody's platform, that one person may have handed in


@dataclass
class Submission:
    """What one student handed in: the id in the gradebook, the id in the LMS, the name as given, the files.

    `called` has the names of files to which the platform added whose they are, as the student called them;
    `problem` says why the files could not be listed, or "".
    """

    student: str
    lms_id: str
    name: str
    files: list[Path] = field(default_factory=list)
    called: dict[Path, str] = field(default_factory=dict)
    problem: str = ""


def printable(text: str) -> str:
    """Return a text that can be written as UTF-8: what a file's name holds that is no character becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def as_id(name: str) -> str:
    """Return a name as an id: letters, digits, `.`, `_` and `-`; spaces become `-`."""
    text = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name.strip()), flags=re.UNICODE)
    return text.strip("-.")[:80] or "unnamed"


def whose(part: str) -> tuple[str, str] | None:
    """Return name and LMS id that a file or folder of Moodle or Canvas carries, or None for another name."""
    found = MOODLE.match(part) or CANVAS.match(part)
    return (found["name"], found["lms"]) if found else None


def as_called(part: str) -> str:
    """Return a file's name without the mark of Moodle or Canvas, or as it is where nothing would be left."""
    found = MOODLE.match(part) or CANVAS.match(part)
    return found["file"] if found and found["file"].strip(". ") else part


def unpack(archive: Path, folder: Path, largest: int, left_out: list[str] | None = None) -> None:
    """Unpack a zip file with its files' dates; raises CourseError for a damaged, too large or deceitful one.

    `largest` is in bytes, unpacked; what the file says of its sizes is held against what comes out. A file that
    this system cannot hold, such as one too deep in folders, is added to `left_out`, if given, instead of raising.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [m for m in packed.infolist() if not m.is_dir()]
            if len(members) > MOST_FILES:
                raise CourseError(f"{archive.name} holds {len(members)} files; at most {MOST_FILES} are unpacked")
            if sum(member.file_size for member in members) > largest:
                raise CourseError(f"{archive.name} unpacks to more than {largest // 2**20} MB")
            for member in members:
                target = (folder / member.filename).resolve()
                if not target.is_relative_to(folder.resolve()):
                    raise CourseError(f"{archive.name} holds a path that leads out of it: {member.filename!r}")
                parts = target.relative_to(folder.resolve()).parts
                try:
                    if len(parts) > MOST_DEEP:
                        raise OSError(f"more than {MOST_DEEP} folders in one another")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    copy = open(target, "wb")  # noqa: SIM115
                except (OSError, ValueError) as error:
                    if left_out is None:
                        raise
                    left_out.append(f"{member.filename[:100]} ({getattr(error, 'strerror', '') or error})")
                    with suppress(OSError):  # so that the student has a row
                        folder.joinpath(*parts[:-1][:3]).mkdir(parents=True, exist_ok=True)
                    continue
                with copy, packed.open(member) as source:
                    shutil.copyfileobj(source, copy)
                with suppress(ValueError, OverflowError, OSError):
                    changed = time.mktime((*member.date_time, 0, 0, -1))
                    os.utime(target, (changed, changed))
    except CourseError:
        raise
    except Exception as error:  # each kind of compression fails in a way of its own
        raise CourseError(f"{archive.name} cannot be unpacked: {error}") from error


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Give the folder of submissions: the path itself, or a temporary one with a zip file's content."""
    if path.is_dir():
        yield path
        return
    if not path.exists():
        raise CourseError(f"there is no folder or zip file {path}")
    if path.suffix.lower() != ".zip":
        raise CourseError(f"{path} must be a folder or a .zip file")
    with TemporaryDirectory(prefix="genbook-collect-") as scratch:
        left_out: list[str] = []
        unpack(path, Path(scratch), LARGEST_CLASS, left_out)
        for what in left_out:
            print(f"{path.name}: could not be unpacked: {printable(what)}", file=sys.stderr)
        yield Path(scratch)


def visible(folder: Path) -> list[Path]:
    """Return the entries of a folder that a person put there, sorted; no links."""
    entries = (e for e in folder.iterdir() if e.name not in IGNORED and not e.name.startswith("."))
    return sorted(e for e in entries if not e.is_symlink())


def several(folder: Path) -> bool:
    """Whether a folder that no platform named holds several submissions rather than one person's work.

    So it is taken where an entry bears Moodle's mark, where there are two or more notebooks or zip files and each
    bears Canvas's, where there are more than three of them, or folders and no notebook. Two or three notebooks
    (`old.ipynb`, `new.ipynb`), and one with folders beside it, are one student's work with its data.
    """
    inner = visible(folder)
    handed = [entry for entry in inner if entry.suffix.lower() in {".ipynb", ".zip"} and not entry.is_dir()]
    if any(MOODLE.match(entry.name) for entry in inner) or len(handed) > MOST_OF_ONE:
        return True
    if len(handed) > 1 and all(CANVAS.match(entry.name) for entry in handed):
        return True
    return not handed and any(entry.is_dir() for entry in inner)


def class_folder(folder: Path) -> Path:
    """Return the folder that holds the submissions, below single ones that only wrap it (see `several`)."""
    while True:
        entries = visible(folder)
        if len(entries) != 1 or not entries[0].is_dir() or whose(entries[0].name) or not several(entries[0]):
            return folder
        folder = entries[0]


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder; those of a folder before those of the ones in it."""
    files, waiting = [], [folder]
    while waiting:
        entries = visible(waiting.pop())
        files += [entry for entry in entries if entry.is_file()]
        waiting += [entry for entry in entries if entry.is_dir()][::-1]
    return files


def find_submissions(folder: Path) -> list[Submission]:
    """Return the submissions of a folder, sorted by id. Two people of one name get their LMS ids at the end."""
    found: dict[tuple[str, str], Submission] = {}
    for entry in visible(class_folder(folder)):
        if entry.suffix.lower() not in {".ipynb", ".zip"} and not entry.is_dir() and not whose(entry.name):
            continue  # a list of grades, a note to oneself
        name, lms = whose(entry.name) or (entry.name if entry.is_dir() else entry.stem, "")
        key = (as_id(name), lms)
        submission = found.setdefault(key, Submission(key[0], lms, printable(name)))
        if not entry.is_dir():
            submission.files.append(entry)
            submission.called[entry] = as_called(entry.name)
            continue
        try:
            submission.files += files_below(entry)
        except Exception as error:  # a folder that may not be read, or is nested too deep
            submission.problem = f"the folder could not be read: {type(error).__name__}"
    for submission in found.values():
        twins = [s for s in found.values() if s.student.lower() == submission.student.lower()]
        if len(twins) > 1:
            for twin in twins:
                twin.student = f"{twin.student}-{twin.lms_id}".rstrip("-")
    return sorted(found.values(), key=lambda submission: submission.student)


def holds_notebook(archive: Path) -> bool:
    """Whether a zip file holds a notebook, or cannot be read; one that holds none is data."""
    try:
        with zipfile.ZipFile(archive) as packed:
            paths = [Path(name) for name in packed.namelist() if name.lower().endswith(".ipynb")]
    except Exception:  # unpacking it will say what is wrong
        return True
    hidden = [[part in IGNORED or (part[0] == "." and part != "..") for part in path.parts] for path in paths]
    return not all(map(any, hidden))


def unpacked(submission: Submission, scratch: Path) -> list[Path]:
    """Return the files of a submission, the content of zip files that hold a notebook in their place."""
    files = []
    for number, path in enumerate(submission.files):
        if path.suffix.lower() == ".zip" and holds_notebook(path):
            folder = scratch / f"{submission.student}-{number}"
            unpack(path, folder, LARGEST_ZIP)
            files += files_below(folder)
        else:
            files.append(path)
    return files


def choose(files: list[Path], name: str) -> tuple[Path, str]:
    """Return the notebook of assignment `name` among files, and a remark; raises CourseError where there is none.

    Of several, one that bears the assignment's name goes before others, then the one changed last.
    """
    notebooks = [path for path in files if path.suffix.lower() == ".ipynb"]
    if not notebooks:
        handed = ", ".join(sorted(path.name for path in files)[:5])
        raise CourseError(
            f"no notebook (.ipynb) was handed in, only: {handed}" if files else "nothing was handed in"
        )
    notebooks.sort(key=lambda path: (name not in path.stem, -path.stat().st_mtime, path.name))
    best = notebooks[0]
    size = best.stat().st_size
    if size > LARGEST_NOTEBOOK:
        raise CourseError(f"{best.name} has {size / 2**20:.0f} MB; at most {LARGEST_NOTEBOOK >> 20} are read")
    others = len(notebooks) - 1
    return best, f"{others} more notebooks were handed in; graded was {best.name}" if others else ""


def beside(files: list[Path], notebook: Path, called: dict[Path, str] | None = None) -> dict[str, Path]:
    """Return the data handed in beside the notebook, by the path at which the notebook finds them.

    `called` has the names of those files to whose names the platform added something. Code stays behind: a file
    `torch.py` would answer in place of the library. Raises CourseError for too much, and for two of one name
    or too deep a folder.
    """
    found: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() not in {".ipynb", ".py", ".pyc", ".pyd", ".so", ".pth"}:
            inside = path.is_relative_to(notebook.parent)
            name = path.relative_to(notebook.parent) if inside else Path(path.name)
            key = printable((called or {}).get(path) or name.as_posix())
            if len(name.parts) > MOST_DEEP:
                raise CourseError(f"{path.name} lies in more than {MOST_DEEP} folders in one another")
            if key in found:
                raise CourseError(f"two files beside the notebook have the name {key}; give them two names")
            found[key] = path
    size = sum(path.stat().st_size for path in found.values())
    if size > LARGEST_NOTEBOOK:
        raise CourseError(
            f"the files beside the notebook have {size / 2**20:.0f} MB; at most {LARGEST_NOTEBOOK >> 20} are read"
        )
    return dict(sorted(found.items()))


def id_among(record: dict[str, Any], known: dict[str, str], submission: Submission) -> str:
    """Return the id that a student had before, by the LMS; or a new one, where another has this name."""
    if submission.lms_id in known:
        return known[submission.lms_id]
    others = record.get(submission.student, {}).get("lms_id")
    return f"{submission.student}-{submission.lms_id}" if others and submission.lms_id else submission.student


def how_read(path: Path, found: list[Submission]) -> str:
    """Return in a line how a folder was understood."""
    names = ", ".join(submission.student for submission in found[:3]) + (", …" if len(found) > 3 else "")
    said = f"{printable(str(path))} read as the work of {len(found)} student{'s' * (len(found) > 1)} ({names})"
    return said if len(found) > 1 else f"{said}; if it holds a class, name the folder with one entry a student"


def collect(course: Course, name: str, path: Path) -> dict[str, Any]:
    """Copy the submissions at `path` into the course as `submitted/STUDENT/NAME/NAME.ipynb`; returns the record.

    Other files that were handed in go into the folder `beside` there.

    The record maps each student's id to `lms_id`, `name`, `file`, `problem` (why there is no notebook, or ""),
    `remark` and the file's `digest`. Students collected before stay unless they come again. Raises CourseError
    where nothing that could be a submission is found.
    """
    record = course.record(name)
    with opened(path) as folder, TemporaryDirectory(prefix="genbook-collect-") as scratch:
        found = find_submissions(folder)
        if not found:
            raise CourseError(f"no submission in {path}: neither notebooks nor folders, one a student")
        print(f"{name}: {how_read(path, found)}")
        known = {facts["lms_id"]: student for student, facts in record.items() if facts["lms_id"]}
        for submission in found:
            submission.student = id_among(record, known, submission)
            target = course.path("submitted", submission.student, name) / f"{name}.ipynb"
            facts = {"lms_id": submission.lms_id, "name": submission.name, "file": "", "problem": "", "remark": ""}
            try:
                shutil.rmtree(target.parent, ignore_errors=True)
                if submission.problem:
                    raise CourseError(submission.problem)
                files = unpacked(submission, Path(scratch))
                notebook, facts["remark"] = choose(files, name)
                content = notebook.read_bytes()
                digest = hashlib.sha256(content)
                data_files = beside(files, notebook, submission.called)
                others = {key: path.read_bytes() for key, path in data_files.items()}
                for key, data in others.items():
                    digest.update(key.encode() + hashlib.sha256(data).digest())
                facts |= {"file": printable(notebook.name), "digest": digest.hexdigest()}
                write_together({target.parent / "beside" / key: data for key, data in others.items()})
                write_together({target: content})
            except CourseError as error:
                facts |= {"problem": str(error), "digest": ""}
            except Exception as error:  # whatever a submission brings about is its own result
                reason = f"it could not be collected: {type(error).__name__}: {str(error)[:200]}"
                facts |= {"problem": reason, "digest": ""}
            facts |= {key: printable(facts[key]) for key in ("problem", "remark")}
            before = record.get(submission.student, {})
            facts["registered"] = before.get("registered", "")
            same = all(before.get(key) == facts[key] for key in ("digest", "problem"))
            if same and "run" in before:
                facts["run"] = before["run"]
            record[submission.student] = facts
    course.write_record(name, record)
    return record
