"""Grades a class: each submission in a process of its own, several at a time, and none stops the others."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

from genbook.cli.grade_course import Course, CourseError, needs_nbgrader

__all__ = ["GRACE", "grade_class", "run_all"]

#: Bytes of a socket's path that systems allow for.
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
GRACE = 60  # seconds that the grader itself may take beside a submission's own


def run_all(
    jobs: list[tuple[Callable[..., None], tuple]], workers: int, seconds: float
) -> Iterator[tuple[int, str]]:
    """Run each job in a process of its own, `workers` at a time; yields its place and "" or what ended it.

    The processes are forked from a server that has imported nbgrader already, where the system can fork safely;
    on macOS its libraries cannot be used after a fork.
    """
    can_fork = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    kind = "forkserver" if can_fork else "spawn"
    context = multiprocessing.get_context(kind)
    if kind == "forkserver":
        context.set_forkserver_preload(["genbook.cli.grade_preload"])
    waiting, running = list(enumerate(jobs))[::-1], {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                place, (target, arguments) = waiting.pop()
                process = context.Process(target=target, args=arguments)
                process.start()
                running[process.sentinel] = (place, process, time.monotonic() + seconds)
            multiprocessing.connection.wait(list(running), timeout=0.5)
            for sentinel, (place, process, end) in list(running.items()):
                late = process.is_alive() and time.monotonic() > end
                if late:
                    process.kill()
                    process.join()
                if not process.is_alive():
                    process.join()
                    del running[sentinel]
                    code = process.exitcode
                    yield (
                        place,
                        f"it took more than {seconds:.0f} s" if late else f"exit status {code}" if code else "",
                    )
    finally:
        for _, process, _ in running.values():
            process.kill()
            process.join()


def fingerprint(course: Course, name: str, facts: dict[str, Any], limits: Any) -> str:
    """Return a digest of all that a result depends on."""
    parts = [
        facts["digest"],
        facts.get("registered", ""),
        (course.folder / "source" / name / ".digest").read_text(),
        *map(str, astuple(limits)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def grade_class(
    course: Course, name: str, limits: Any, workers: int = 1, again: bool = False, hide: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Grade what was collected and not graded yet (or all, `again`); returns the record.

    Submissions see empty folders in place of the course and of those in `hide`. Every student of the record gets a
    result or a reason, whatever the submissions do. Raises CourseError where nothing was collected.
    """
    needs_nbgrader()
    from genbook.cli.grade_report import store_result
    from genbook.cli.grade_run import Job, font_lists, grade_one, walls_stand

    record = course.record(name)
    if not record:
        raise CourseError(f"nothing was collected for {name}; begin with:  genbook-grade collect FOLDER")
    marks = {student: fingerprint(course, name, facts, limits) for student, facts in record.items()}
    due = [s for s, facts in record.items() if again or facts.get("run", {}).get("fingerprint") != marks[s]]
    why_not = walls_stand()
    print_walls(why_not, limits)
    print(f"{name}: {len(due)} to grade, {len(record) - len(due)} graded before, {workers} at a time")
    with scratch_folder(len(due)) as scratch:
        # a copy in the scratch folder: the gradebook is written while submissions run
        view = Path(scratch, "course")
        for step in ("release", "source"):
            shutil.copytree(course.folder / step / name, view / step / name)
        shutil.copy(course.folder / "gradebook.db", view)
        hidden, jobs, fonts = (scratch, *hideable(course.folder, *hide)), [], tuple(font_lists())
        handed_in = [student for student in due if not record[student]["problem"]]
        for place, student in enumerate(handed_in):
            submitted = str((course.path("submitted", student, name) / f"{name}.ipynb").resolve())
            jobs.append(
                Job(student, name, submitted, str(view), f"{scratch}/{place}", hidden, fonts, limits, not why_not,
                    record[student].get("registered", ""))
            )  # fmt: skip
        results = {s: {"reason": record[s]["problem"], "remarks": [], "notebook": ""} for s in due}
        for student in set(due) - set(handed_in):
            conclude(course, name, record, student, results[student].copy, marks[student], store_result)
        done = 0
        for place, ended in run_all([(grade_one, (job,)) for job in jobs], workers, limits.seconds + GRACE):
            job, done = jobs[place], done + 1
            found = partial(result_of, Path(job.folder, "result.json"), ended)
            line = conclude(course, name, record, job.student, found, marks[job.student], store_result)
            print(f"  {done}/{len(jobs)} {job.student}: {line}", flush=True)
            remove(job.folder)
    return record


@contextmanager
def scratch_folder(most: int) -> Iterator[str]:
    """Make a folder for `most` submissions and delete it; raises CourseError where its path is too long."""
    scratch = tempfile.mkdtemp(prefix="genbook-grade-")
    try:
        longest = len(os.fsencode(f"{scratch}/{most}/box/k-5"))
        if sys.platform != "win32" and longest > LONGEST_SOCKET:
            raise CourseError(
                f"the folder for temporary files, {tempfile.gettempdir()}, has too long a path for the kernels' "
                f"sockets ({longest} bytes; at most {LONGEST_SOCKET}); set TMPDIR to a shorter one, such as /tmp"
            )
        yield scratch
    finally:
        remove(scratch)


def remove(folder: str) -> None:
    """Delete a folder, however deep it is, and though parts of it be closed to their owner."""
    with suppress(RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
    if os.name == "posix" and os.path.lexists(folder):
        for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
            subprocess.run([*command, folder], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def hideable(*folders: Path) -> list[str]:
    """Return the folders that can be hidden from a submission, and say of which one it cannot be.

    Where Python, or this package, lies inside one, `grade_sandbox` puts just that back.
    """
    needed = {Path(place).resolve() for place in (sys.prefix, sys.base_prefix, Path(__file__).parents[1])}
    whole = [folder.resolve() for folder in folders]
    for folder in needed.intersection(whole):
        print(f"  {folder} cannot be hidden from submissions, for Python needs it", file=sys.stderr)
    return [str(folder) for folder in whole if folder not in needed]


def clean(text: str) -> str:
    """Return a text that came from a submission on one line, without what a file or a terminal cannot take."""
    text = " ".join(text.encode("utf-8", "backslashreplace").decode("utf-8").split())
    return "".join(letter for letter in text if letter.isprintable())


def result_of(path: Path, ended: str) -> dict[str, Any]:
    """Return what a grading process left, or that it left nothing."""
    if path.exists():
        return json.loads(path.read_text())
    return {"reason": f"the grading process ended without a result: {ended}", "remarks": [], "notebook": ""}


def conclude(
    course: Course,
    name: str,
    record: dict[str, Any],
    student: str,
    found: Callable[[], dict[str, Any]],
    mark: str,
    store: Callable[..., None],
) -> str:
    """Finish one student with what `found` returns, or with what failed; returns what to say of it."""
    try:
        return finish(course, name, record, student, found(), mark, store)
    except Exception as error:  # one student must not end the run for all
        reason = clean(f"the grader failed on it: {type(error).__name__}: {error}")
        record[student]["run"] = {"reason": reason, "remarks": [], "seconds": "", "fingerprint": ""}
        with suppress(Exception):
            course.write_record(name, record)
        return reason


def finish(
    course: Course,
    name: str,
    record: dict[str, Any],
    student: str,
    result: dict[str, Any],
    mark: str,
    store: Callable[..., None],
) -> str:
    """Store a result in gradebook and record; returns what to say of it.

    What could not be stored at all, for another program holds the gradebook, is due again in the next run.
    """
    try:
        store(course, name, student, record[student], result["notebook"])
    except Exception as error:  # such as a partial credit above the maximum
        result = result | {"reason": f"its points could not be stored: {error}", "notebook": ""}
        try:
            store(course, name, student, record[student], "")
        except Exception:  # such as a gradebook that another program holds
            mark = ""
    result = result | {"reason": clean(result["reason"]), "remarks": [clean(text) for text in result["remarks"]]}
    kept = {key: result.get(key, "") for key in ("reason", "remarks", "seconds")}
    record[student]["run"] = kept | {"fingerprint": mark}
    course.write_record(name, record)
    return result["reason"] or "; ".join(["ran", *result["remarks"]])


def print_walls(why_not: str, limits: Any) -> None:
    """Say what the system allows."""
    if not why_not:
        network = "on, as you asked" if limits.network else "cut"
        print(f"walls: network {network}; no writing outside a submission's own folder; memory and time limited")
        return
    print(f"walls: NOT up on this system ({why_not}).", file=sys.stderr)
    print(
        "  Network and writing elsewhere are refused inside Python only; code can get round that if it means to;\n"
        "  memory is watched from outside. Better grade in a container with the network cut: see the page for\n"
        "  instructors.",
        file=sys.stderr,
    )
