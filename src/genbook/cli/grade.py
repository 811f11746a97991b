"""The command `genbook-grade`: from a master to the class's grades, for a person who has never used nbgrader.

It is thin over nbgrader: the course folder has nbgrader's layout and gradebook, and its other tools, such as
`nbgrader formgrader`, go on from there.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from genbook.cli.grade_class import GRACE, grade_class, run_all
from genbook.cli.grade_collect import as_id, collect
from genbook.cli.grade_course import (
    Course,
    CourseError,
    master_names,
    needs_nbgrader,
    read_csv,
    read_master,
    write_assignments,
)

__all__ = ["main", "write_assignments"]

ABOUT = """Release an assignment, collect what students handed in, grade it, and write feedback and grades.

The short way, with the zip file or folder that your learning platform gave you:

  genbook-grade release distributions            the notebook to hand out
  genbook-grade all submissions.zip --assignment distributions
                                                 collect, grade, feedback, gradebook in one go

Everything lies in one folder (--course, by default "grading"), in the layout of nbgrader.
"""
AFTERWARDS = (
    "`genbook-grade COMMAND --help` says more.\n"
    "What it cannot prevent stands on a page for instructors in the book."
)


def released(course: Course, name: str, masters: Path) -> None:
    """Release an assignment unless its present master was released already."""
    master = read_master(masters / f"{name}.md")
    if not course.is_current(master):
        course.release(master)
        print(f"{name}: released; hand out {course.released(name)}")


def feedback_class(course: Course, name: str, workers: int, hidden: bool) -> int:
    """Write a page for every student; returns the number of pages that could not be made."""
    from genbook.cli.grade_report import feedback_path, rows, write_feedback

    found, failed = rows(course, name), 0
    jobs = [
        (write_feedback, (str(course.folder.resolve()), name, row.student, row.reason, hidden)) for row in found
    ]
    for row in found:
        feedback_path(course, name, row.student).unlink(missing_ok=True)
    for place, ended in run_all(jobs, workers, GRACE):
        if not feedback_path(course, name, found[place].student).exists():
            failed += 1
            note = f"no feedback page: {ended or 'nbgrader stopped'}"
            executed = course.path("autograded", found[place].student, name) / f"{name}.ipynb"
            print(f"  {found[place].student}: {note}; the executed notebook is {executed}", file=sys.stderr)
    print(f"{name}: feedback for {len(found) - failed} in {course.folder / 'feedback'}")
    return failed


def tables(course: Course, name: str, marks: Path | None) -> None:
    """Take over marks, write the tables and say what is in them."""
    from genbook.cli.grade_report import read_marks, write_tables

    if marks:
        taken, stale = read_marks(course, name, marks)
        print(f"{name}: {taken} marks taken over from {marks}")
        if stale:
            print(f"  not taken over, for another answer was handed in since: {', '.join(stale)}")
    found, paths = write_tables(course, name)
    counts = {
        status: sum(row.status == status for row in found) for status in ("graded", "to be marked", "not graded")
    }
    print(f"{name}: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    for path in paths:
        print(f"  {path}")
    if counts["to be marked"]:
        to_mark = course.folder / "grades" / f"{name}-to-mark.csv"
        print(f"  fill in points and comments in {to_mark}, then:  genbook-grade gradebook --assignment {name} "
              f"--marks {to_mark}")  # fmt: skip


def plain(name: str) -> str:
    """Return a name as it is compared: without case, and without what separates its parts."""
    return re.sub(r"[\W_]+", "-", as_id(name)).casefold()


def add_roster(course: Course, name: str, path: Path) -> tuple[list[str], list[str]]:
    """Give a row to everyone on the class list, and the list's ids to those who handed in.

    Who handed in is found by the id, else by the name (where it stands once on each side, for Moodle's numbers are
    made anew for each assignment), else by the platform's number. Returns the students who are not on the list,
    and those on the list without a submission.
    """
    header, people = read_csv(path)
    if "student_id" not in header:
        raise CourseError(f"{path} must have a column student_id (and may have lms_id and name)")
    record = course.record(name)
    free = {student: facts for student, facts in record.items() if not facts.get("absent")}
    people = list({person["student_id"]: person for person in people if person["student_id"]}.values())
    called = Counter(plain(person["name"]) for person in people if person.get("name"))
    found: dict[str, str] = {}

    def by_name(person: dict[str, str]) -> list[str]:
        wanted = plain(person.get("name", ""))
        return [s for s, facts in free.items() if plain(facts["name"]) == wanted] if called[wanted] == 1 else []

    def by_lms(person: dict[str, str]) -> list[str]:
        return [s for s, facts in free.items() if facts["lms_id"] and facts["lms_id"] == person.get("lms_id")]

    for way in (lambda person: [s for s in (as_id(person["student_id"]),) if s in free], by_name, by_lms):
        for person in people:
            same = way(person) if person["student_id"] not in found else []
            if len(same) == 1:
                found[person["student_id"]] = same[0]
                del free[same[0]]
    absent = []
    for person in people:
        given, lms = person["student_id"], person.get("lms_id", "")
        student, row = found.get(given), as_id(given)
        if student is None:
            absent.append(row)
            student = row
            empty = {"lms_id": "", "name": person.get("name") or row, "file": "", "remark": "", "digest": ""}
            record.setdefault(student, empty | {"problem": "nothing was handed in", "absent": True})
        elif row != student and record.get(row, {}).get("absent"):  # the row of before, when nothing was there yet
            del record[row]
            shutil.rmtree(course.path("feedback", row, name), ignore_errors=True)
        record[student]["lms_id"] = record[student]["lms_id"] or lms
        record[student]["registered"] = given
    course.write_record(name, record)
    return sorted(free), sorted(absent)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command line's options; ends the program with a message for a wrong one."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("genbook-grade", description=ABOUT, epilog=AFTERWARDS, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--course", type=Path, default=Path("grading"), help="folder of the course (%(default)s)")
    masters = argparse.ArgumentParser(add_help=False)
    masters.add_argument(
        "--masters", type=Path, default=Path("assignments"), help="folder of masters (%(default)s)"
    )
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--assignment", required=True, metavar="NAME", help="name of the assignment, as in NAME.md")
    source = argparse.ArgumentParser(add_help=False)
    source.add_argument("submissions", type=Path, help="folder, or zip file from Moodle, Canvas or another LMS")
    source.add_argument(
        "--roster", type=Path, help="class list (CSV: student_id, lms_id, name): a row for everyone"
    )
    pool = argparse.ArgumentParser(add_help=False)
    pool.add_argument("--workers", type=int, default=1, help="how many submissions at a time (%(default)s)")
    limits = argparse.ArgumentParser(add_help=False)
    limits.add_argument("--cell-seconds", type=int, default=30, help="time limit of a cell (%(default)s)")
    limits.add_argument("--seconds", type=int, default=120, help="time limit of a submission (%(default)s)")
    limits.add_argument("--memory", type=int, default=2048, help="memory limit in MB (%(default)s)")
    limits.add_argument("--allow-network", action="store_true", help="let submissions reach other machines")
    limits.add_argument(
        "--again", action="store_true", help="grade also what was graded before and has not changed"
    )
    page = argparse.ArgumentParser(add_help=False)
    page.add_argument("--show-hidden", action="store_true", help="show students the text of the hidden tests, too")
    by_hand = argparse.ArgumentParser(add_help=False)
    by_hand.add_argument("--marks", type=Path, help="NAME-to-mark.csv with points and comments filled in")
    parts = {
        "release": ([common, masters], "make the notebook that students get, without solutions and hidden tests"),
        "collect": ([common, source, which], "find students and notebooks in a folder or zip file"),
        "grade": ([common, masters, which, pool, limits], "run every submission that is new or has changed"),
        "feedback": ([common, which, pool, page], "write one HTML page a student"),
        "gradebook": ([common, which, by_hand], "write the table of points by question and the class's plot"),
        "all": ([common, masters, source, which, pool, limits, page], "collect, grade, feedback, gradebook"),
    }
    made = {name: commands.add_parser(name, parents=p, help=h, description=h) for name, (p, h) in parts.items()}
    made["release"].add_argument("names", nargs="*", metavar="NAME", help="assignments to release")
    made["release"].add_argument("--all", action="store_true", help="every master of the folder")
    made["release"].add_argument(
        "--write", action="store_true", help="write student/ and solutions/ beside the masters, for every master"
    )
    options = parser.parse_args(arguments)
    for name in ("workers", "cell_seconds", "seconds", "memory"):
        if getattr(options, name, 1) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(options, name)}")
    if options.command == "release" and not (options.names or options.all or options.write):
        known = ", ".join(master_names(options.masters)) if options.masters.is_dir() else ""
        parser.error(f"say what to release, or --all; masters in {options.masters}: {known or 'none'}")
    return options


def check_name(name: str) -> str:
    """Return the name of an assignment; raises CourseError where it cannot be one."""
    if not re.fullmatch(r"\w[\w-]*", name):
        hint = f"; did you mean {Path(name).stem}?" if Path(name).suffix in (".md", ".ipynb") else ""
        raise CourseError(f"the name of an assignment has letters, digits, _ and -, got {name!r}{hint}")
    return name


def run(options: argparse.Namespace) -> int:
    """Do what the command line asks; returns the exit status."""
    course, command = Course(options.course), options.command
    if command == "release":
        known = master_names(options.masters)
        if (options.all or options.write) and not known:
            raise CourseError(f"no master lies in {options.masters}; --masters FOLDER names another folder")
        if options.write:
            print("\n".join(str(path) for path in write_assignments(options.masters)))
        for name in known if options.all else map(check_name, options.names):
            print(f"{name}: hand out {course.release(read_master(options.masters / f'{name}.md'))}")
        return 0
    name = check_name(options.assignment)
    if command in ("grade", "all"):
        released(course, name, options.masters)
    if command in ("collect", "all"):
        record = collect(course, name, options.submissions)
        if options.roster:
            strangers, absent = add_roster(course, name, options.roster)
            record = course.record(name)
            for what, who in (("not on the class list", strangers), ("on the list without a submission", absent)):
                print(f"{name}: {what}: {', '.join(who) or 'nobody'}")
        problems = {student: facts["problem"] for student, facts in record.items() if facts["problem"]}
        print(f"{name}: {len(record) - len(problems)} notebooks collected, {len(problems)} students without one")
        for student, problem in problems.items():
            print(f"  {student}: {problem}")
    if command in ("grade", "all"):
        from genbook.cli.grade_run import Limits

        limits = Limits(options.cell_seconds, options.seconds, options.memory, options.allow_network)
        others = (options.masters, options.submissions) if command == "all" else (options.masters,)
        grade_class(course, name, limits, options.workers, options.again, hide=others)
    elif not course.released(name).exists() and command != "collect":
        raise CourseError(f"{name} was not released in {course.folder}; is --course right?")
    failed = (
        feedback_class(course, name, options.workers, options.show_hidden) if command in ("feedback", "all") else 0
    )
    if command in ("gradebook", "all"):
        tables(course, name, getattr(options, "marks", None))
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a message, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # a terminal in cp1252 cannot show every name
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = parse(arguments)
    try:
        needs_nbgrader()
        return run(options)
    except (CourseError, OSError) as error:  # such as a folder that may not be written
        print(f"genbook-grade: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what was graded is kept, and the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
