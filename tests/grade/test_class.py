"""A class of forty: right, partly right, broken, runaway and dishonest submissions are graded in one run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass

import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

from conftest import MASTERS, MEANS, genbook_grade, table  # noqa: E402
from sample_class import KINDS, as_zip, sample_class  # noqa: E402

from genbook.cli import grade, grade_report  # noqa: E402
from genbook.cli.grade_course import Course, CourseError  # noqa: E402
from genbook.cli.grade_run import walls_stand  # noqa: E402

pytestmark = pytest.mark.slow

CELL_SECONDS, SECONDS, MEGABYTES = 5, 40, 1024
LIMITS = ["--cell-seconds", CELL_SECONDS, "--seconds", SECONDS, "--memory", MEGABYTES]
#: Points by the tests of the two functions. `blank` stands for what the blanked answer leaves.
FULL, FIRST_LOST, NONE = (2, 3), (0, 3), (0, 0)
POINTS = {
    "right": FULL, "untouched": NONE, "syntax": FIRST_LOST, "loop": FIRST_LOST, "deaf loop": NONE,
    "stripped": FULL, "colab": FULL, "tampered": NONE, "no tests": FULL, "agreeable": NONE,
    "agreeable number": NONE, "shadows": NONE, "transformer": NONE, "displays points": NONE,
    "warns": FULL, "odd path": FULL, "deep": FULL, "writes outside": FULL, "network": FULL,
    "exits": NONE, "chatty": FULL, "script": FULL, "empty": NONE, "wrong notebook": NONE, "not JSON": NONE,
}  # fmt: skip
REASONS = {
    "empty": "the file is empty",
    "wrong notebook": "this is not the notebook of the assignment 'means'",
    "not JSON": "not JSON at line 1",
}
REMARKS = {
    "loop": f"mean: stopped after {CELL_SECONDS} s",
    "deaf loop": f"stopped after {CELL_SECONDS} s: the code did not heed the interrupt",
    "hog": " memory",
    "stripped": "nbgrader's marks were missing on 5 cells and were attached again",
    "colab": "nbgrader's marks were missing on 5 cells and were attached again",
    "tampered": "changed, and restored: mean-tests, spread-tests",
    "no tests": "missing, and put back: mean-tests, spread-tests",
    "shadows": "mean-tests: points withheld, the submission replaced abs isinstance type",
    "transformer": "mean-tests: points withheld, a cell that must fail did not fail",
    "odd path": "refused: write /nowhere/\\udcff[2J",
    "writes outside": "refused: write ",
    "network": "refused: look up 93.184.216.34",
    "exits": "the kernel ended",
}


def digests(*folders):
    """Return what lies in folders, by path, with a digest of each file."""
    paths = [path for folder in folders for path in sorted(folder.rglob("*"))]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "" for path in paths}


@dataclass(frozen=True)
class Graded:
    """The class after one run of `genbook-grade all`."""

    course: Course
    expected: list
    ended: object
    rows: dict
    folder: object
    changed: bool

    def of(self, kind):
        """Return the submissions of one kind."""
        return [submission for submission in self.expected if submission.kind == kind]

    def page(self, student):
        """Return a student's feedback page."""
        return (self.course.path("feedback", student, "means") / "means.html").read_text(encoding="utf-8")

    def executed(self, student):
        """Return the text of a student's executed notebook."""
        return (self.course.path("autograded", student, "means") / "means.ipynb").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The class of forty, graded in one run by two workers under tight limits."""
    folder = tmp_path_factory.mktemp("class")
    (folder / "outside").mkdir()
    (folder / "outside" / "diary").write_text("dear diary")
    expected = sample_class(MEANS, folder / "handed-in", str(folder / "outside" / "written"))
    archive = as_zip(folder / "handed-in", folder / "submissions.zip")
    watched = (folder / "handed-in", folder / "outside", MASTERS)
    before = digests(*watched)
    course = Course(folder / "grading")
    ended = genbook_grade(
        "all", archive, "--assignment", "means", "--masters", MASTERS, "--course", course.folder, "--workers", 2,
        *LIMITS, folder=folder,
    )  # fmt: skip
    rows = table(course.folder / "grades" / "means.csv")
    return Graded(course, expected, ended, rows, folder, digests(*watched) != before)


# ---- everyone gets something ------------------------------------------------------------------------------------
def test_the_class_holds_every_kind_and_forty_in_all(graded):
    assert len(graded.expected) == 40
    assert set(POINTS) | {"partly", "hog"} == set(KINDS)
    assert {s.kind for s in graded.expected} == set(KINDS)


def test_the_grader_survives_and_says_what_it_did(graded):
    assert graded.ended.status == 0
    out = graded.ended.out
    assert "means: 40 notebooks collected, 0 students without one" in out
    assert "40 to grade, 0 graded before, 2 at a time" in out
    assert "40/40" in out and "means: feedback for 40 in" in out
    assert re.search(r"means: \d+ graded, \d+ to be marked, 3 not graded", out)
    told = graded.ended.err + out
    assert ("walls: network cut" in out) == (walls_stand() == "")
    assert "walls: " in told and len(told.splitlines()) < 70


def test_all_forty_have_a_row_and_a_feedback_page_or_a_reason(graded):
    assert set(graded.rows) == {submission.student for submission in graded.expected}
    for submission in graded.expected:
        row = graded.rows[submission.student]
        page = graded.course.folder / row["feedback"]
        assert page == graded.course.path("feedback", submission.student, "means") / "means.html"
        assert page.is_file()
        assert row["lms_id"] == submission.lms_id
        assert (row["status"] == "not graded") == bool(row["reason"]) == (submission.kind in REASONS)
        assert float(row["seconds"]) < SECONDS + 20


@pytest.mark.parametrize("kind", sorted(POINTS))
def test_points_are_as_they_should_be(graded, kind):
    for submission in graded.of(kind):
        row = graded.rows[submission.student]
        assert (float(row["mean-tests"]), float(row["spread-tests"])) == POINTS[kind], row
        assert float(row["score"]) == sum(POINTS[kind])
        assert row["max_score"] == "7"


def test_a_blank_answer_costs_its_own_question_only(graded):
    assert {submission.blank for submission in graded.of("partly")} == {"mean", "spread"}
    for submission in graded.of("partly"):
        row = graded.rows[submission.student]
        got = {question: float(row[f"{question}-tests"]) for question in ("mean", "spread")}
        assert got == {"mean": 2, "spread": 3} | {submission.blank: 0}


@pytest.mark.parametrize("kind", sorted(REASONS))
def test_what_could_not_be_graded_has_its_reason_in_table_and_page(graded, kind):
    for submission in graded.of(kind):
        row = graded.rows[submission.student]
        assert REASONS[kind] in row["reason"] and row["score"] == "0"
        page = graded.page(submission.student)
        assert "could not be graded" in page
        assert REASONS[kind].replace("'", "&#x27;") in page


@pytest.mark.parametrize("kind", sorted(REMARKS))
def test_the_instructor_is_told_what_was_odd(graded, kind):
    for submission in graded.of(kind):
        assert REMARKS[kind] in graded.rows[submission.student]["remarks"]


def test_of_those_who_did_nothing_odd_nothing_is_remarked(graded):
    for kind in ("right", "partly", "untouched", "syntax", "script", "displays points", "warns", "deep"):
        assert all(graded.rows[submission.student]["remarks"] == "" for submission in graded.of(kind))


# ---- limits -----------------------------------------------------------------------------------------------------
def test_a_loop_is_cut_at_the_cells_limit_and_the_rest_still_runs(graded):
    (loop,), (deaf,) = graded.of("loop"), graded.of("deaf loop")
    assert CELL_SECONDS <= float(graded.rows[loop.student]["seconds"]) < CELL_SECONDS + 15
    assert CELL_SECONDS <= float(graded.rows[deaf.student]["seconds"]) < CELL_SECONDS + 25
    assert graded.rows[loop.student]["spread-tests"] == "3"


def test_the_hog_is_cut_at_the_memory_limit(graded):
    (hog,) = graded.of("hog")
    row = graded.rows[hog.student]
    assert row["mean-tests"] == "0"
    assert re.search(f"asked for more than {MEGABYTES} MB|took .* MB of memory|ran out of memory", row["remarks"])


def test_what_the_chatty_one_prints_is_bounded(graded):
    (chatty,) = graded.of("chatty")
    assert "... Output truncated ..." in graded.executed(chatty.student)
    assert len(graded.executed(chatty.student)) < 600_000
    assert len(graded.page(chatty.student)) < 1_500_000


# ---- walls ------------------------------------------------------------------------------------------------------
def test_nothing_else_on_disk_changed(graded):
    assert not graded.changed
    assert sorted(path.name for path in (graded.folder / "outside").iterdir()) == ["diary"]
    left = {path.name for path in graded.folder.iterdir()}
    assert left == {"outside", "handed-in", "submissions.zip", "grading"}


def test_no_submission_reached_another_machine(graded):
    (network,) = graded.of("network")
    outputs = [
        output.get("text", "")
        for cell in json.loads(graded.executed(network.student))["cells"]
        for output in cell.get("outputs", [])
    ]
    said = "".join("".join(text) for text in outputs)
    assert "not allowed while grading: look up 93.184.216.34" in said and "connected" not in said


# ---- feedback ---------------------------------------------------------------------------------------------------
def test_feedback_shows_points_and_reasons_and_hides_the_hidden_tests(graded):
    (submission, *_) = [s for s in graded.of("partly") if s.blank == "mean"]
    page = graded.page(submission.student)
    assert "NotImplementedError" in page and "(hidden tests)" in page
    for submission in graded.expected:
        page = graded.page(submission.student)
        assert "(-4,)" not in page and "[2.0] * 7" not in page, submission
        assert "BEGIN HIDDEN" not in page


def test_a_script_does_not_reach_the_reader_of_the_feedback(graded):
    (script,) = graded.of("script")
    page = graded.page(script.student)
    assert "gotcha" in page, "the code itself is shown"
    assert not re.search(r"<script[^>]*>[^<]*gotcha", page)


# ---- tables and the plot ----------------------------------------------------------------------------------------
def test_the_plots_are_there_and_say_what_is_in_them(graded):
    folder = graded.course.folder / "grades"
    assert (folder / "means.png").read_bytes().startswith(b"\x89PNG")
    picture = (folder / "means.svg").read_text(encoding="utf-8")
    assert "<svg" in picture and len(picture) > 5000


def test_a_question_that_waits_to_be_marked_is_not_the_hardest():
    def titles(words):
        found = [grade_report.Row("bo", {"problem": "", "run": {"reason": ""}}, {"code": 1.0, "words": words},
                                  {"code": 2.0, "words": 2.0})]  # fmt: skip
        found.append(grade_report.Row("eve", {"problem": "", "run": {"reason": ""}}, {"code": 1.0, "words": 0.0},
                                      {"code": 2.0, "words": 2.0}))  # fmt: skip
        return [axes.get_title(loc="left") or axes.get_title() for axes in grade_report.draw("x", found).axes]

    assert titles(None)[1] == "Hardest: code, 50 %"
    assert titles(1.0)[1] == "Hardest: words, 25 %"
    only = grade_report.Row("bo", {"problem": "", "run": {"reason": ""}}, {"words": None}, {"words": 2.0})
    assert "None is marked yet" in str(
        [axes.get_title(loc="left") for axes in grade_report.draw("x", [only]).axes]
    )


def test_the_names_of_platforms_become_ids(graded):
    styles = Counter("lms" if submission.lms_id else "plain" for submission in graded.expected)
    assert styles == {"lms": 24, "plain": 16}
    assert {"Gül_Berg", "José-Abe", "abeeve"} & set(graded.rows)


# ---- what comes after: marks by hand, later submissions, a roster -----------------------------------------------
@pytest.fixture
def later(graded, tmp_path):
    """A copy of the graded course, to go on with."""
    return Course(shutil.copytree(graded.course.folder, tmp_path / "grading"))


def on(course):
    """Return the words that name a course and the assignment on the command line."""
    return ["--assignment", "means", "--course", str(course.folder)]


def marks_of(course, points, comment="Good, but why?"):
    """Fill in the table of what is to be marked; returns its path and the lines."""
    path = course.folder / "grades" / "means-to-mark.csv"
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    for line in lines:
        line |= {"points": points, "comment": comment}
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path, lines


def test_marks_by_hand_flow_into_table_and_feedback(graded, later, capsys):
    waiting = {student for student, row in graded.rows.items() if row["status"] == "to be marked"}
    path, lines = marks_of(later, "1,5")
    assert {line["student_id"] for line in lines} == waiting and len(waiting) == 40 - 3 - 1
    assert {line["question"] for line in lines} == {"words"}
    assert all(line["answer"].startswith("The mean is taken") and line["max_points"] == "2" for line in lines)
    assert grade.main(["gradebook", *on(later), "--marks", str(path)]) == 0
    assert "36 marks taken over" in capsys.readouterr().out
    rows = table(later.folder / "grades" / "means.csv")
    assert {row["status"] for row in rows.values()} == {"graded", "not graded"}
    right = graded.of("right")[0].student
    assert (rows[right]["words"], rows[right]["score"], rows[right]["percent"]) == ("1.5", "6.5", "92.86")
    grade_report.make_page(str(later.folder), "means", right, "", False)
    page = (later.path("feedback", right, "means") / "means.html").read_text(encoding="utf-8")
    assert "Good, but why?" in page and "6.5" in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": "3"}, "points must be from 0 to 2, got '3'"),
        ({"points": "-1"}, "points must be from 0 to 2"),
        ({"points": "nan"}, "points must be from 0 to 2"),
        ({"points": "good"}, "points must be from 0 to 2, got 'good'"),
        ({"student_id": "nobody"}, "no question 'words' of 'nobody'"),
        ({"question": "sums"}, "no question 'sums' of"),
    ],
)
def test_a_wrong_mark_is_refused_and_none_is_taken_over(later, tmp_path, change, message):
    _, lines = marks_of(later, "1")
    lines[-1] |= change
    path = tmp_path / "marks.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    with pytest.raises(CourseError, match=re.escape(message)):
        grade_report.read_marks(later, "means", path)
    assert not any(row.points["words"] for row in grade_report.rows(later, "means"))


def test_a_table_without_its_columns_is_refused(later, tmp_path):
    (tmp_path / "marks.csv").write_text("student_id,points\nBo,1\n")
    with pytest.raises(CourseError, match=r"lacks the column question; start from means-to-mark\.csv"):
        grade_report.read_marks(later, "means", tmp_path / "marks.csv")


def test_only_what_is_new_is_graded_and_a_new_answer_is_marked_anew(graded, later, tmp_path):
    run = ["grade", *on(later), "--masters", MASTERS, *LIMITS]
    assert grade.main(["collect", str(graded.folder / "submissions.zip"), *on(later)]) == 0
    ended = genbook_grade(*run)
    assert "0 to grade, 40 graded before" in ended.out and ended.status == 0
    path, _ = marks_of(later, "2")
    assert grade.main(["gradebook", *on(later), "--marks", str(path)]) == 0

    code, words, *_ = (submission.student for submission in graded.of("right"))
    for student, old, new in (
        (code, "sum(x) / len(x))", "2 * sum(x) / len(x))"),
        (words, "The mean is", "They are"),
    ):
        text = (later.path("submitted", student, "means") / "means.ipynb").read_text(encoding="utf-8")
        assert old in text
        lms = next(submission.lms_id for submission in graded.expected if submission.student == student)
        name = f"{student}_{lms}_assignsubmission_file_means.ipynb" if lms else f"{student}.ipynb"
        (tmp_path / "late").mkdir(exist_ok=True)
        (tmp_path / "late" / name).write_text(text.replace(old, new), encoding="utf-8")
    (tmp_path / "late" / "=SUM(1).ipynb").write_text("")
    roster = tmp_path / "roster.csv"
    roster.write_text("student_id,lms_id,name\nabsent,99,@Absent\n", encoding="utf-8")
    assert grade.main(["collect", str(tmp_path / "late"), *on(later), "--roster", str(roster)]) == 0
    ended = genbook_grade(*run)
    assert "4 to grade, 38 graded before" in ended.out
    assert grade.main(["gradebook", *on(later)]) == 0
    rows = table(later.folder / "grades" / "means.csv")
    assert (rows[code]["mean-tests"], rows[code]["words"], rows[code]["status"]) == ("0", "2", "graded")
    assert (rows[words]["mean-tests"], rows[words]["words"], rows[words]["status"]) == ("2", "", "to be marked")
    assert (rows["absent"]["reason"], rows["absent"]["lms_id"]) == ("nothing was handed in", "99")
    assert rows["absent"]["name"] == "'@Absent"
    assert rows["SUM-1"]["reason"] == "the file is empty" and rows["SUM-1"]["name"] == "'=SUM(1)"
    assert len(rows) == 42
    cells = [value for row in rows.values() for value in row.values()]
    assert not any(value[:1] in set("=+-@\t\r") for value in cells if value)


def test_what_students_write_is_no_formula_in_the_table_of_answers():
    for text in ("=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"):
        line = grade_report.as_csv(["answer"], [[text]]).decode("utf-8-sig").split("\n", 1)[1]
        first = next(csv.reader(io.StringIO(line, newline="")))[0]
        assert first == "'" + text.replace("\r", "\n")
    assert b"\r" not in grade_report.as_csv(["answer"], [["fine\r=1+1"], ["fine\r\n=1+1"]])
    assert grade_report.harmless("1.5") == "1.5"
