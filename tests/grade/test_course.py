"""Masters become releases, tables that people fill in are read, and what is wrong with either is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

from conftest import MASTERS, MEANS  # noqa: E402

from genbook.cli import grade, grade_course  # noqa: E402
from genbook.cli.grade_course import Course, CourseError, master_names, read_csv, read_master  # noqa: E402

TEXT = MEANS.read_text(encoding="utf-8")


@pytest.fixture
def master(tmp_path):
    """A function that writes a changed master and reads it."""

    def changed(old="", new="", name="means"):
        assert old in TEXT
        path = tmp_path / "masters" / f"{name}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(TEXT.replace(old, new) if old else TEXT, encoding="utf-8")
        return read_master(path)

    return changed


# ---- masters ----------------------------------------------------------------------------------------------------
def test_a_folder_lists_its_masters_and_nothing_else(tmp_path):
    (tmp_path / "README.md").write_text("# About nbgrader")
    (tmp_path / "b.md").write_text(TEXT)
    (tmp_path / "a.md").write_text(TEXT)
    assert master_names(tmp_path) == ["a", "b"]
    assert master_names(tmp_path / "nowhere") == []


def test_cells_have_ids_that_stay(master):
    notebook = master().notebook
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert [key for key in ids if key.startswith("means-")] == ids
    assert {"means-mean", "means-mean-tests", "means-words"} <= set(ids)
    assert ids == [cell["id"] for cell in master().notebook.cells]
    assert all(set(cell.metadata) <= {"nbgrader"} for cell in notebook.cells)
    assert notebook.metadata["genbook"] == {"assignment": "means"}


def test_a_master_that_is_missing_or_grades_nothing_is_refused(tmp_path, master):
    with pytest.raises(CourseError, match="the masters there are: means"):
        read_master(MASTERS / "median.md")
    with pytest.raises(CourseError, match="--masters FOLDER names another"):
        read_master(tmp_path / "nowhere" / "means.md")
    with pytest.raises(CourseError, match="no graded cell"):
        master('"grade": true', '"grade": false')


# ---- releases ---------------------------------------------------------------------------------------------------
def test_the_release_has_no_solution_and_no_hidden_test(released_course):
    course = released_course
    text = course.released("means").read_text(encoding="utf-8")
    for secret in ("/ len(x)", "math.sqrt", "(-4,) * 10", "HIDDEN", "SOLUTION", "lies closer"):
        assert secret in TEXT.replace("###", "") and secret not in text, secret
    assert "raise NotImplementedError" in text and "abs(answer - 3.0)" in text
    assert (course.folder / "nbgrader_config.py").exists() and (course.folder / "gradebook.db").exists()


def test_a_release_is_current_until_the_master_changes(tmp_path, master, released_course):
    first = master()
    assert not Course(tmp_path / "course").is_current(first)
    course = Course(shutil.copytree(released_course.folder, tmp_path / "course"))
    assert course.is_current(first)
    second = master("A small assignment", "A tiny assignment")
    assert not course.is_current(second)
    course.release(second)
    assert "A tiny assignment" in course.released("means").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("### END SOLUTION", "### END", "in mean the markers are BEGIN SOLUTION … END; they must be pairs of"),
        ("### END HIDDEN TESTS", "", "in mean-tests the markers are BEGIN HIDDEN TESTS; they"),
        ("### BEGIN HIDDEN TESTS", "", "in mean-tests the markers are END HIDDEN TESTS; they"),
        ("### BEGIN HIDDEN TESTS", "### BEGIN HIDDEN TEST", "BEGIN HIDDEN TEST … END HIDDEN TESTS"),
        ("HIDDEN TESTS", "HIDEN TESTS", "BEGIN HIDEN TESTS … END HIDEN TESTS"),
        ("### BEGIN HIDDEN TESTS", "#BEGIN  HIDDEN TESTS", "BEGIN  HIDDEN TESTS … END HIDDEN TESTS"),
        ('"grade_id": "mean-tests"', '"grade_id": "mean"', "two cells have the grade_id 'mean'"),
    ],
)
def test_a_fault_in_a_master_is_named_before_anything_is_released(master, old, new, message):
    with pytest.raises(CourseError, match=message) as caught:
        master(old, new)
    assert "\n" not in str(caught.value)


def test_what_nbgrader_refuses_is_told(tmp_path, master):
    with pytest.raises(CourseError, match=r"means could not be released: .*metadata may be corrupted"):
        Course(tmp_path / "course").release(master('"points": 3, ', ""))


def test_a_release_that_still_holds_a_marker_is_taken_away(tmp_path, master, monkeypatch):
    course = Course(tmp_path / "course")
    course.release(master())
    monkeypatch.setattr(grade_course, "MARKERS", ("A tiny assignment",))  # one that nbgrader leaves
    with pytest.raises(CourseError, match="the release still holds A tiny assignment"):
        course.release(master("A small assignment", "A tiny assignment"))
    assert not course.released("means").exists()


def test_the_same_masters_give_the_same_student_notebooks_and_solutions(tmp_path, master):
    master()
    folder = tmp_path / "masters"
    first = {path: path.read_bytes() for path in grade_course.write_assignments(folder)}
    assert {p.relative_to(folder).as_posix() for p in first} == {"student/means.ipynb", "solutions/means.ipynb"}
    again = {path: path.read_bytes() for path in grade_course.write_assignments(folder)}
    assert first == again
    solution = (folder / "solutions" / "means.ipynb").read_text(encoding="utf-8")
    assert "/ len(x)" in solution and "SOLUTION" not in solution and "HIDDEN TESTS" in solution
    assert all(not cell.get("outputs") for text in first.values() for cell in json.loads(text)["cells"])


# ---- what is missing, and tables --------------------------------------------------------------------------------
def test_without_nbgrader_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(grade_course.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match=r"pip install 'genbook\[grade\]'"):
        grade_course.needs_nbgrader()


def test_the_commands_of_this_python_are_found(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    grade_course.needs_nbgrader()
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/nowhere"]


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_are_read_as_spreadsheets_save_them(tmp_path, separator, encoding):
    path = tmp_path / "roster.csv"
    lines = [["student_id", " lms_id", "name"], ["bo ", "7", '"Gül, ""B""; Berg"'], ["", "", ""], ["eve"]]
    path.write_text("\r\n".join(separator.join(line) for line in lines), encoding=encoding, newline="")
    header, people = read_csv(path)
    assert header == ["student_id", "lms_id", "name"]
    assert people == [
        {"student_id": "bo", "lms_id": "7", "name": 'Gül, "B"; Berg'},
        {"student_id": "eve", "lms_id": "", "name": ""},
    ]


def test_tables_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "latin.csv").write_bytes("student_id\nGül\n".encode("cp1252"))
    with pytest.raises(CourseError, match="save it as CSV in UTF-8"):
        read_csv(tmp_path / "latin.csv")
    with pytest.raises(CourseError, match="there is no file"):
        read_csv(tmp_path / "none.csv")
    (tmp_path / "names.csv").write_text("name\nBo\n")
    with pytest.raises(CourseError, match="must have a column student_id"):
        grade.add_roster(Course(tmp_path), "means", tmp_path / "names.csv")


def test_the_roster_gives_everyone_a_row_once(tmp_path):
    course = Course(tmp_path / "course")
    facts = {"name": "n", "file": "f", "problem": "", "remark": "", "digest": "d"}
    course.write_record("means", {"Ada-Abe": facts | {"lms_id": "1"}, "bo": facts | {"lms_id": ""}})
    roster = tmp_path / "roster.csv"
    roster.write_text("student_id,lms_id,name\ns1,1,Ada Abe\nbo,2,Bo\ns3,3,Chen\n,,\n=evil(),4,Dora\n")
    for _ in range(2):
        grade.add_roster(course, "means", roster)
        record = course.record("means")
        assert {student: facts["lms_id"] for student, facts in record.items()} == {
            "Ada-Abe": "1",
            "bo": "2",
            "s3": "3",
            "evil": "4",
        }
        assert [s for s, facts in record.items() if facts["problem"] == "nothing was handed in"] == ["evil", "s3"]


def test_a_table_that_csv_cannot_read_gets_a_message(tmp_path):
    for place, text in enumerate((f"student_id,answer\nbo,{'x' * 140_000}\n", f"{'x' * 140_000}\nbo\n")):
        path = tmp_path / f"{place}.csv"
        path.write_text(text)
        with pytest.raises(CourseError, match=r"cannot be read as a table, near line \d: field larger"):
            read_csv(path)


def handed_in(course, **names):
    """Write a record: by student, the platform's number and the name."""
    facts = {"file": "f", "problem": "", "remark": "", "digest": "d"}
    course.write_record("means", {s: facts | {"lms_id": lms, "name": name} for s, (lms, name) in names.items()})


def test_the_roster_finds_people_by_name_where_the_platforms_numbers_differ(tmp_path):
    course, roster = Course(tmp_path / "course"), tmp_path / "roster.csv"
    roster.write_text(
        "student_id,lms_id,name\ns1,1,Ada Abe\ns2,2,Bo  ABE\ns3,3,Kim Lee\ns4,4,Kim Lee\ns5,901,Eve Berg\n"
    )
    handed_in(course, **{"Bo-Abe": ("902", "Bo Abe"), "Kim-Lee": ("903", "Kim Lee"), "guest": ("", "Guest")})
    strangers, absent = grade.add_roster(course, "means", roster)
    assert (strangers, absent) == (["Kim-Lee", "guest"], ["s1", "s3", "s4", "s5"])
    assert course.record("means")["Bo-Abe"]["registered"] == "s2"
    assert course.record("means")["Bo-Abe"]["lms_id"] == "902", "by which the next zip file finds it"
    # Ada hands in late: her row of before goes; and her number in this assignment is Eve's on the list
    record = course.record("means")
    record["Ada-Abe"] = record["Bo-Abe"] | {"lms_id": "901", "name": "Ada Abe", "registered": ""}
    course.write_record("means", record)
    for _ in range(2):
        strangers, absent = grade.add_roster(course, "means", roster)
        assert (strangers, absent) == (["Kim-Lee", "guest"], ["s3", "s4", "s5"])
        record = course.record("means")
        assert record["Ada-Abe"]["registered"] == "s1" and "s1" not in record
        assert set(record) == {"Ada-Abe", "Bo-Abe", "Kim-Lee", "guest", "s3", "s4", "s5"}


def test_collecting_with_a_roster_says_who_is_missing_on_either_side(tmp_path, capsys):
    folder = tmp_path / "in" / "Ada Abe_77_assignsubmission_file_"
    folder.mkdir(parents=True)
    (folder / "means.ipynb").write_text("{}")
    (tmp_path / "in" / "guest.ipynb").write_text("{}")
    roster = tmp_path / "class.csv"
    roster.write_text("student_id,lms_id,name\ns1,1,Ada Abe\ns2,2,Bo Berg\n")
    words = [str(tmp_path / "in"), "--assignment", "means", "--course", str(tmp_path / "course")]
    assert grade.main(["collect", *words, "--roster", str(roster)]) == 0
    said = capsys.readouterr().out
    assert "means: not on the class list: guest\n" in said
    assert "means: on the list without a submission: s2\n" in said
    assert "2 notebooks collected, 1 students without one" in said


# ---- tables and pages, of what students wrote -------------------------------------------------------------------
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def graded(tmp_path, released_course, parts):
    """A function that stores an answer to the question `words` as graded; the course is its first value."""
    import copy

    import nbformat

    from genbook.cli import grade_report

    course = Course(shutil.copytree(released_course.folder, tmp_path / "grading"))
    facts = {"lms_id": "", "name": "Bo", "file": "f", "problem": "", "remark": "", "digest": "d"}
    course.write_record("means", {"bo": facts | {"run": {"reason": "", "remarks": []}}})

    def answer(text, **pictures):
        notebook = copy.deepcopy(parts.solved)
        for cell, twin in zip(notebook.cells, parts.source.cells, strict=True):
            key = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if key == "words":
                cell.source = text
                cell.update(
                    {"attachments": {k: {"image/png": v} for k, v in pictures.items()}} if pictures else {}
                )
            elif key.endswith("-tests"):
                cell.source = twin.source
        nbformat.write(notebook, tmp_path / "executed.ipynb")
        grade_report.store_result(course, "means", "bo", facts, str(tmp_path / "executed.ipynb"))

    return course, answer


def page_of(course):
    from genbook.cli import grade_report

    grade_report.make_page(str(course.folder), "means", "bo", "", False)
    return (course.path("feedback", "bo", "means") / "means.html").read_text(encoding="utf-8")


def to_mark(course):
    from genbook.cli import grade_report

    grade_report.write_tables(course, "means")
    path = course.folder / "grades" / "means-to-mark.csv"
    return path, read_csv(path)[1]


def with_points(path, lines, points, change=str):
    """Save the table as a spreadsheet does."""
    import csv

    for line in lines:
        line |= {"points": points, "answer": change(line["answer"])}
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(lines[0]), delimiter=";", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(lines)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=1+1",
        "It is *biased*.\n\n- one\n- two  \n",
        "x" * 70_000,
        f"![a](data:image/png;base64,{'A' * 200_000}) so",
    ],
)
def test_a_mark_goes_to_the_answer_it_was_given_to(graded, capsys, text):
    course, answer = graded
    answer(text)
    path, lines = to_mark(course)
    assert len(lines) == 1 and 0 < len(lines[0]["answer"]) < 30_100
    with_points(path, lines, "1.5", lambda written: written.replace("\n", "\r\n") + " ")
    old = path.read_bytes()
    words = ["gradebook", "--assignment", "means", "--course", str(course.folder), "--marks"]
    assert grade.main([*words, str(path)]) == 0
    assert "1 marks taken over" in capsys.readouterr().out
    rows = read_csv(course.folder / "grades" / "means.csv")[1]
    assert rows[0]["words"] == "1.5"

    answer(text.replace("A" * 50, "B" * 50, 1) if "AAAA" in text else f"Another answer. {text}")
    before = course.folder / "before.csv"
    before.write_bytes(old)
    assert grade.main([*words, str(before)]) == 0
    said = capsys.readouterr().out
    assert "0 marks taken over" in said and "another answer was handed in since: bo: words" in said
    assert read_csv(course.folder / "grades" / "means.csv")[1][0]["words"] == ""
    header, _, _ = before.read_text(encoding="utf-8-sig").partition("\n")
    before.write_text("student_id,question,points\nbo,words,2\n")
    assert grade.main([*words, str(before)]) == 0 and "answer" in header
    assert read_csv(course.folder / "grades" / "means.csv")[1][0]["words"] == "2", "without the column all count"


def test_another_picture_is_another_answer(graded):
    from genbook.cli import grade_report

    course, answer = graded
    answer("![p](attachment:p.png)", **{"p.png": PIXEL})
    path, lines = to_mark(course)
    with_points(path, lines, "2")
    assert grade_report.read_marks(course, "means", path) == (1, [])
    answer("![p](attachment:p.png)", **{"p.png": PIXEL})
    assert grade_report.rows(course, "means")[0].points["words"] == 2
    answer("![p](attachment:p.png)", **{"p.png": PIXEL.replace("mN", "mM")})
    assert grade_report.rows(course, "means")[0].points["words"] is None
    assert grade_report.read_marks(course, "means", path) == (0, ["bo: words"])


def decoded(page):
    """Return a page and all that is embedded in it."""
    import base64

    found = re.findall(r"data:[^;\"']*;base64,([A-Za-z0-9+/=]+)", page)
    return page + "".join(base64.b64decode(text + "==").decode("utf-8", "replace") for text in found)


def test_a_page_embeds_no_file_and_hides_the_hidden_tests_there_too(graded):
    course, answer = graded
    answer("Look: ![](notes.png) ![](means.ipynb), [this](means.ipynb)\n\n![](../../../source/means/means.ipynb)")
    (course.path("autograded", "bo", "means") / "notes.png").write_text("seven equal numbers")
    whole = decoded(page_of(course))
    assert "Look: " in whole and "(hidden tests)" in whole
    for secret in ("(-4,) * 10", "BEGIN HIDDEN", "seven equal numbers"):
        assert secret not in whole and secret in TEXT


def test_pasted_pictures_show_and_a_missing_one_costs_no_page(graded):
    course, answer = graded
    answer("Before ![p](attachment:my%20p.png) after", **{"my p.png": PIXEL})
    assert f'src="data:image/png;base64,{PIXEL}"' in page_of(course)
    answer("Before **it** ![p](attachment:image.png) after ![p](data:image/png;base64,AAAA)")
    page = page_of(course)
    assert "image.png" in page and "<strong>it</strong>" in page and 'src="data:image/png;base64,AAAA"' in page
    answer("Before ![p][x] after\n\n[x]: attachment:image.png")
    assert "Before ![p][x] after" in page_of(course)


def test_links_lead_to_the_web_to_mail_and_into_the_page_only(graded):
    course, answer = graded
    bad = ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "&#106;avascript:alert(1)", "java&#10;script:alert(1)",
           "vbscript:x", "data:text/html;base64,PHNjcmlwdD4=", "file:///etc/passwd", "//evil.org/x"]  # fmt: skip
    good = ["https://example.org/a?b=1&c=2", "http://example.org", "mailto:bo@example.org", "#mean"]
    answer("\n\n".join(f"[w{place}]({link})" for place, link in enumerate(bad + good))
           + "\n\n<javascript:alert(2)> ![q](javascript:alert(3)) <a href='javascript:alert(4)'>w</a> "
           "[r][r]\n\n[r]: javascript:alert(5)")  # fmt: skip
    page = page_of(course).split("Student's answer")[-1]
    from html import unescape

    links = [unescape(link) for link in re.findall(r'href="([^"]*)"', page)]
    assert [link for link in links if link != "#top"] == good
    assert "w0" in page and "(picture q: not shown)" in page
    assert not re.search(r"(?:src|href)=\S*script:", page, re.IGNORECASE)


# ---- the command line's own refusals ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["release", "median"], "the masters there are: means"),
        (["release", "means.md"], "did you mean means?"),
        (["release", "../means"], "letters, digits, _ and -"),
        (["release", "--all", "--masters", "nowhere"], "no master lies in nowhere"),
        (["all", "in", "--assignment", "median"], "the masters there are: means"),
        (["all", "in", "--assignment", "means"], "there is no folder or zip file in"),
        (["collect", "in", "--assignment", "means"], "there is no folder or zip file in"),
        (["grade", "--assignment", "means"], "nothing was collected for means; begin with:"),
        (["feedback", "--assignment", "means"], "means was not released in grading; is --course right?"),
        (["gradebook", "--assignment", "median"], "median was not released in grading; is --course right?"),
    ],
)
def test_a_wrong_word_gets_a_message_and_status_1(
    tmp_path, released_course, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    if "released in" not in message:
        shutil.copytree(released_course.folder, tmp_path / "grading")
    if "--masters" not in arguments and arguments[0] in ("release", "all", "grade"):
        arguments = [*arguments, "--masters", str(MASTERS)]
    assert grade.main(arguments) == 1
    said = capsys.readouterr().err
    assert message in said and said.startswith("genbook-grade: ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["mark"], "invalid choice: 'mark'"),
        (["release", "--masters", str(MASTERS)], "masters in .*fixtures: means"),
        (["grade"], "--assignment"),
        (["grade", "--assignment", "means", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["grade", "--assignment", "means", "--cell-seconds", "-1"], "--cell-seconds must be at least 1"),
    ],
)
def test_a_command_line_that_cannot_be_read_ends_with_usage(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        grade.main(arguments)
    assert caught.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_folder_that_cannot_be_written_gets_a_message(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert grade.main(["release", "means", "--masters", str(MASTERS), "--course", str(tmp_path / "file")]) == 1
    assert "genbook-grade: " in capsys.readouterr().err
