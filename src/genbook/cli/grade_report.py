"""What a class gets: the gradebook's rows, a table by question, feedback pages, marks by hand, a plot."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import logging
import os
import re
import statistics
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from bs4 import BeautifulSoup
from jinja2 import pass_context
from matplotlib.figure import Figure
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import InvalidNotebook
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor, SaveAutoGrades
from nbgrader.utils import is_grade, is_solution, is_task
from traitlets.config import Config

from genbook.cli.files import write_together
from genbook.cli.grade_course import Course, CourseError, needs_nbgrader, read_csv

__all__ = ["Row", "read_marks", "rows", "store_result", "write_feedback", "write_tables"]

HIDDEN = re.compile(r"^.*BEGIN HIDDEN TESTS.*\n(?:.*\n)*?.*END HIDDEN TESTS.*$", re.MULTILINE)
SHOWN = ("text/plain", "image/png", "image/jpeg")
DATA = re.compile(r"data:[^\s()<>\"']{100,}")
LONGEST_ANSWER = 30_000  # characters; a spreadsheet's cell holds 32,767
NO_TEXT = "(no text)"
SAFE_LINK = re.compile(r"https?://|mailto:|#", re.IGNORECASE)
SAFE_PICTURE = re.compile(r"https?://|data:image/(?:png|jpeg|gif|webp);base64,", re.IGNORECASE)
MARKS = ["student_id", "lms_id", "question", "max_points", "points", "comment", "answer"]
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }}</style></head>
<body><h1>{title}</h1><p>This submission could not be graded: {reason}.</p>
<p>If this was not meant, hand in the notebook again, saved by Jupyter or Colab as <code>.ipynb</code>.</p>
</body></html>
"""


@dataclass(frozen=True)
class Row:
    """One student's result: points by question (None: to be marked by hand), and why there are none, if so."""

    student: str
    facts: dict[str, Any]
    points: dict[str, float | None]
    most: dict[str, float]

    @property
    def score(self) -> float:
        """All points so far."""
        return sum(points or 0.0 for points in self.points.values())

    @property
    def reason(self) -> str:
        """Why it was not graded, or ""."""
        run = self.facts.get("run")
        return self.facts["problem"] or (run["reason"] if run else "not graded yet: run  genbook-grade grade")

    @property
    def status(self) -> str:
        """How far grading came: "not graded", "to be marked" or "graded"."""
        return "not graded" if self.reason else "to be marked" if None in self.points.values() else "graded"

    @property
    def remarks(self) -> list[str]:
        """What the instructor should know."""
        return [text for text in [self.facts.get("remark"), *self.facts.get("run", {}).get("remarks", [])] if text]


@contextmanager
def gradebook(course: Course) -> Iterator[Gradebook]:
    """Open the course's gradebook, deaf to the warnings that nbgrader's queries cause."""
    with warnings.catch_warnings(), Gradebook(course.database) as book:
        warnings.simplefilter("ignore")
        yield book


def resources(course: Course, name: str, student: str) -> dict[str, Any]:
    """Return what nbgrader's preprocessors are told."""
    return {
        "nbgrader": {"notebook": name, "assignment": name, "student": student, "db_url": course.database},
        "unique_key": name,
    }


def sources(path: Path) -> dict[str, str]:
    """Return the text of each cell with a grade id in a notebook; nothing where there is no file.

    A picture that was pasted into the cell adds a line, by which another picture makes it another text.
    """
    found = {}
    for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
        if "nbgrader" in cell.metadata:
            text = cell.source
            for name, kinds in sorted(cell.get("attachments", {}).items()):
                digest = hashlib.sha256("".join(kinds.values()).encode()).hexdigest()
                text += f"\n[pasted picture {name}, {digest[:8]}]"
            found[cell.metadata.nbgrader.grade_id] = text
    return found


def store_result(course: Course, name: str, student: str, facts: dict[str, Any], notebook: str) -> None:
    """Write a result into the gradebook and the executed notebook into the course; no notebook gives 0 points.

    A mark given by hand stays only where the answer stays, word for word; one given in place of a test's points
    only where all answers stay.
    """
    target = course.path("autograded", student, name) / f"{name}.ipynb"
    before, executed = sources(target), nbformat.read(notebook, as_version=4) if notebook else None
    now = sources(Path(notebook)) if notebook else {}
    essays = {c.metadata.nbgrader.grade_id for c in (executed.cells if executed else []) if is_solution(c)}
    with gradebook(course) as book:
        book.update_or_create_student(student, lms_user_id=facts["lms_id"] or None)
        book.update_or_create_submission(name, student)
        entry = book.find_submission_notebook(name, name, student)
        for grade in entry.grades:
            if not notebook:
                grade.auto_score, grade.needs_manual_grade = 0, False
            same = now.get(grade.name) == before.get(grade.name) if grade.name in essays else now == before
            if not notebook or not same:
                grade.manual_score = None
        for comment in entry.comments:
            if now.get(comment.name) != before.get(comment.name):
                comment.manual_comment = None
        book.db.commit()
    target.unlink(missing_ok=True)
    if executed is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = logging.Logger("genbook-grade", logging.CRITICAL)
        SaveAutoGrades(log=log).preprocess(executed, resources(course, name, student))
    write_together({target: Path(notebook).read_bytes()})


def questions(course: Course, name: str) -> list[str]:
    """Return the graded cells' ids in the order of the notebook."""
    released = nbformat.read(course.released(name), as_version=4)
    return [cell.metadata.nbgrader.grade_id for cell in released.cells if is_grade(cell) or is_task(cell)]


def rows(course: Course, name: str) -> list[Row]:
    """Return a row for every student of the record, by id."""
    order, found = questions(course, name), []
    with gradebook(course) as book:
        cells = {cell.name: cell.max_score for cell in book.find_notebook(name, name).grade_cells}
        cells |= {cell.name: cell.max_score for cell in book.find_notebook(name, name).task_cells}
        most = {question: float(cells[question]) for question in order}
        for student, facts in course.record(name).items():
            points: dict[str, float | None] = dict.fromkeys(order, 0.0)
            try:
                grades = book.find_submission_notebook(name, name, student).grades
            except MissingEntry:
                grades = []
            for grade in grades:
                waiting = grade.needs_manual_grade and grade.manual_score is None
                points[grade.name] = None if waiting else float(grade.score)
            found.append(Row(student, facts, points, most))
    return found


def number(value: float) -> str:
    """Return a number of points without needless decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula, nor for the end of a line and a formula after it."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # csv does not quote a lone \r, which ends a line too
    return f"'{text}" if text.strip("\n ")[:1] in {"=", "+", "-", "@", "\t"} else text


def shown(answer: str) -> str:
    """Return an answer as a table can hold it: embedded data left out, at most 30,000 characters."""
    text = DATA.sub(
        lambda data: f"(embedded data {hashlib.sha256(data[0].encode()).hexdigest()[:8]}, left out here)",
        answer.strip(),
    )
    if len(text) > LONGEST_ANSWER:
        text = f"{text[:LONGEST_ANSWER]} [cut here; the answer has {len(text)} characters]"
    return text or NO_TEXT


def same_answer(written: str, answer: str) -> bool:
    """Whether a table's cell shows this answer, whatever a spreadsheet did to spaces and ends of lines."""
    ours, theirs = (" ".join(text.split()).lstrip("'") for text in (harmless(shown(answer)), written))
    return ours == theirs


def as_csv(header: list[str], lines: list[list[str]]) -> bytes:
    """Return a table as CSV in UTF-8, with the mark by which spreadsheets know that."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[harmless(value) for value in line] for line in lines])
    return buffer.getvalue().encode("utf-8-sig")


def feedback_path(course: Course, name: str, student: str) -> Path:
    """Return where a student's feedback page lies."""
    return course.path("feedback", student, name) / f"{name}.html"


def grades_table(course: Course, name: str, found: list[Row]) -> bytes:
    """Return one line a student."""
    order = questions(course, name)
    header = ["student_id", "lms_id", "name", "registered", "status", "score", "max_score", "percent", *order]
    header += ["reason", "remarks", "seconds", "file", "feedback"]
    lines = []
    for row in found:
        most, page = sum(row.most.values()), feedback_path(course, name, row.student)
        values = [row.points[question] for question in order]
        lines.append(
            [row.student, row.facts["lms_id"], row.facts["name"], row.facts.get("registered", "")]
            + [row.status, number(row.score), number(most)]
            + [number(100 * row.score / most if most else 0.0)]
            + ["" if value is None else number(value) for value in values]
            + [row.reason, "; ".join(row.remarks), str(row.facts.get("run", {}).get("seconds", ""))]
            + [row.facts["file"], page.relative_to(course.folder).as_posix() if page.exists() else ""]
        )
    return as_csv(header, lines)


def to_mark_table(course: Course, name: str, found: list[Row]) -> bytes:
    """Return one line for each answer that a person must mark, with the answer and room for points and comment."""
    lines = []
    for row in found:
        waiting = [question for question, value in row.points.items() if value is None]
        text = sources(course.path("autograded", row.student, name) / f"{name}.ipynb") if waiting else {}
        for question in waiting:
            most = number(row.most[question])
            lines.append([row.student, row.facts["lms_id"], question, most, "", "", shown(text.get(question, ""))])
    return as_csv(MARKS, lines)


def read_marks(course: Course, name: str, path: Path) -> tuple[int, list[str]]:
    """Take over the marks that a person wrote into `NAME-to-mark.csv`; returns how many, and which were not.

    Lines without points are left out. A line whose `answer` is no longer the student's is not taken over, but
    named by student and question: its points were given to what was handed in before. Raises CourseError, with
    nothing taken over, for a column that is missing, points that are no number from 0 to the maximum, or a student
    or question that the gradebook does not have.
    """
    header, lines = read_csv(path)
    missing = {"student_id", "question", "points"} - set(header)
    if missing:
        raise CourseError(f"{path} lacks the column {', '.join(sorted(missing))}; start from {name}-to-mark.csv")
    lines = [line for line in lines if line["points"]]
    stale: list[str] = []
    with gradebook(course) as book:
        for place, line in enumerate(lines, start=1):
            student, question, points = (line[key] for key in ("student_id", "question", "points"))
            try:
                grade = book.find_grade(question, name, name, student)
            except MissingEntry as error:
                raise CourseError(f"{path}, mark {place}: no question {question!r} of {student!r}") from error
            most = float(grade.max_score)
            if line.get("answer"):
                present = sources(course.path("autograded", student, name) / f"{name}.ipynb").get(question, "")
                if not same_answer(line["answer"], present):
                    stale.append(f"{student}: {question}")
                    continue
            try:
                value = float(points.replace(",", "."))
            except ValueError:
                value = -1.0
            if not 0 <= value <= most:
                raise CourseError(f"{path}, mark {place}: points must be from 0 to {number(most)}, got {points!r}")
            grade.manual_score, grade.needs_manual_grade = value, False
            for comment in grade.notebook.comments:
                if comment.name == question and line.get("comment"):
                    comment.manual_comment = line["comment"]
        book.db.commit()
    return len(lines) - len(stale), stale


class ForStudents(NbGraderPreprocessor):
    """Takes out of a feedback page what a student should not see, or a reader's browser should not run."""

    def __init__(self, hidden: bool, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.hidden, self.enabled = hidden, True

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """Hide the hidden tests and the tracebacks that quote them; keep outputs that are text or pixels."""
        for output in cell.get("outputs", []):
            if "data" in output:
                output["data"] = {kind: value for kind, value in output["data"].items() if kind in SHOWN}
        if cell.get("attachments"):  # links write a space as %20
            cell.attachments |= {quote(key): kinds for key, kinds in cell.attachments.items()}
        if cell.cell_type == "code" and not self.hidden and HIDDEN.search(cell.source):
            cell.source = HIDDEN.sub("# (hidden tests)", cell.source)
            for output in cell.outputs:
                if output.output_type == "error":
                    output.traceback = [f"{output.ename}: {output.evalue}"]
        return cell, resources


def safe(page: str) -> str:
    """Return a text's HTML with links to the web, mail and the page only, and pictures of the web or embedded."""
    soup = BeautifulSoup(page, "html.parser")
    bad = [link for link in soup.find_all(href=True) if not SAFE_LINK.match(link["href"].strip())]
    pictures = [p for p in soup.find_all(src=True) if not SAFE_PICTURE.match(p["src"].strip())]
    for link in bad:
        del link["href"]
    for picture in pictures:
        picture.replace_with(f"(picture {picture.get('alt', '')}: not shown)")
    return str(soup) if bad or pictures else page


class FeedbackExporter(HTMLExporter):
    """nbconvert's pages, with links and pictures in texts limited to what cannot harm a reader."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Return a text as HTML; one that names a picture the file does not hold is shown with the name."""
        for text in (source, source.replace("](attachment:", "] (picture, not handed in: ")):
            try:
                return safe(super().markdown2html(context, text))
            except InvalidNotebook:
                continue
        return f"<pre>{html.escape(source, quote=False)}</pre>"


def write_feedback(folder: str, name: str, student: str, reason: str, hidden: bool) -> None:
    """Write one student's feedback page, or the page that says why there is none.

    `hidden` shows the text of hidden tests, too. It is run in a process of its own, which says nothing and leaves
    no page on failure.
    """
    with open(os.devnull, "w") as nowhere:  # nbconvert writes tracebacks of its own
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    make_page(folder, name, student, reason, hidden)


def make_page(folder: str, name: str, student: str, reason: str, hidden: bool) -> None:
    """Write the page; raises what nbgrader raises."""
    needs_nbgrader()
    course = Course(Path(folder))
    page = feedback_path(course, name, student)
    if not (course.path("autograded", student, name) / f"{name}.ipynb").exists():
        text = PAGE.format(title=html.escape(f"{name}: {student}"), reason=html.escape(reason))
        write_together({page: text.encode()})
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = logging.Logger("genbook-grade", logging.CRITICAL)
        settings = Config({"SanitizeHTML": {"enabled": True}})
        directory = course.directory(name, student)
        converter = GenerateFeedback(coursedir=directory, force=True, log=log, config=settings)
        converter.exporter_class = FeedbackExporter
        converter.preprocessors = [GetGrades, ForStudents(hidden), SanitizeHTML, *converter.preprocessors[1:]]
        converter.start()


def draw(name: str, found: list[Row]) -> Figure:
    """Return the class at a glance: how many have how many points, and how much of each question was earned."""
    from genbook.viz import COLOURS, use_style

    use_style()
    graded = [row for row in found if not row.reason]
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    if not graded:
        figure.suptitle(f"{name}: none of {len(found)} submissions could be graded")
        return figure
    most = graded[0].most
    total, scores = sum(most.values()), [row.score for row in graded]
    bins = round(total) if 2 <= total <= 20 else 10
    edges = [total * step / bins for step in range(bins + 1)]
    left.hist(scores, bins=edges, color=COLOURS["data"], edgecolor="white")
    middle = statistics.median(scores)
    left.axvline(middle, color=COLOURS["truth"], linewidth=1)
    left.set(xlabel=f"points of {number(total)}", ylabel="students", xlim=(0, total))
    left.set_title(f"Half of the {len(graded)} graded have {number(middle)} points or more")
    left.yaxis.get_major_locator().set_params(integer=True)
    known = {}
    for question in most:
        values = [row.points[question] for row in graded]
        if None not in values and most[question]:  # one that waits to be marked would look hard
            known[question] = statistics.mean(values) / most[question]
    hardest = min(known, key=known.__getitem__, default=None)
    colours = [COLOURS["attention" if question == hardest else "data"] for question in known]
    right.barh(list(known), [100 * share for share in known.values()], color=colours)
    right.set(xlabel="points earned on average, %", xlim=(0, 100))
    harder = f"Hardest: {hardest}, {100 * known[hardest]:.0f} %" if hardest else "None is marked yet"
    right.set_title(harder)
    right.invert_yaxis()
    left_out = len(found) - len(graded)
    open_ones = sum(None in row.points.values() for row in graded)
    figure.suptitle(f"{name}: {len(found)} submissions, {left_out} not graded, {open_ones} to be marked by hand")
    return figure


def write_tables(course: Course, name: str) -> tuple[list[Row], list[Path]]:
    """Write `grades/NAME.csv`, `NAME-to-mark.csv` and the plot as PNG and SVG; returns the rows and the paths."""
    found = rows(course, name)
    if not found:
        raise CourseError(f"nothing was collected for {name}; begin with:  genbook-grade collect FOLDER")
    folder, figure, files = course.folder / "grades", draw(name, found), {}
    files[folder / f"{name}.csv"] = grades_table(course, name, found)
    files[folder / f"{name}-to-mark.csv"] = to_mark_table(course, name, found)
    for kind in ("png", "svg"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
        files[folder / f"{name}.{kind}"] = buffer.getvalue()
    write_together(files)
    return found, list(files)
