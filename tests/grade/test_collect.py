"""Whose a submission is, and which of the files: folders, zip files of learning platforms, and their faults."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from dataclasses import dataclass

import pytest

from genbook.cli import grade_collect
from genbook.cli.grade_collect import as_id, collect, find_submissions, whose
from genbook.cli.grade_course import Course, CourseError


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path / "grading")


def put(path, content=b"{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zip_of(files):
    """Return a zip file's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


# ---- whose it is ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("Ada Lovelace_1234_assignsubmission_file_", ("Ada Lovelace", "1234")),
        ("Ada Lovelace_1234_assignsubmission_file", ("Ada Lovelace", "1234")),
        ("Ada Lovelace_1234_assignsubmission_file_means.ipynb", ("Ada Lovelace", "1234")),
        ("Ada_Lovelace_1234_assignsubmission_onlinetext", ("Ada_Lovelace", "1234")),
        ("lovelaceada_1234_99_means.ipynb", ("lovelaceada", "1234")),
        ("lovelaceada_LATE_1234_99_means.ipynb", ("lovelaceada", "1234")),
        ("Ada_Lovelace.ipynb", None),
        ("s1234567", None),
    ],
)
def test_moodle_and_canvas_names_are_read(name, owner):
    assert whose(name) == owner


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Ada Lovelace", "Ada-Lovelace"),
        ("../../etc/passwd", "etc-passwd"),
        ("=HYPERLINK(1)", "HYPERLINK-1"),
        ("-rf", "rf"),
        ("José", "José"),
        ("Jose\u0301", "José"),
        ("[a-z]*?", "a-z"),
        ("..", "unnamed"),
        ("x" * 300, "x" * 80),
    ],
)
def test_an_id_is_safe_as_a_folder_and_in_a_table(name, student):
    assert as_id(name) == student


def test_folders_and_files_of_every_kind_are_found(tmp_path):
    for name in (
        "Bo_Berg.ipynb",
        "Chen.Abe/means.ipynb",
        "Dora Abe_7_assignsubmission_file_/means.ipynb",
        "Eve Abe_8_assignsubmission_file_means.ipynb",
        "abefemi_9_10_means.ipynb",
        "grades.csv",
        ".hidden/means.ipynb",
        "__MACOSX/Bo_Berg.ipynb",
        "Chen.Abe/.ipynb_checkpoints/means.ipynb",
    ):
        put(tmp_path / "download" / "class" / name)
    os.symlink(tmp_path, tmp_path / "download" / "class" / "link")
    found = {s.student: (s.lms_id, len(s.files)) for s in find_submissions(tmp_path / "download")}
    assert found == {
        "Bo_Berg": ("", 1),
        "Chen.Abe": ("", 1),
        "Dora-Abe": ("7", 1),
        "Eve-Abe": ("8", 1),
        "abefemi": ("9", 1),
    }


def test_two_people_of_one_name_stay_apart(tmp_path, course):
    put(tmp_path / "in" / "Kim Lee_1_assignsubmission_file_" / "means.ipynb", b"one")
    put(tmp_path / "in" / "Kim Lee_2_assignsubmission_file_" / "means.ipynb", b"two")
    record = collect(course, "means", tmp_path / "in")
    assert {s: f["lms_id"] for s, f in record.items()} == {"Kim-Lee-1": "1", "Kim-Lee-2": "2"}
    put(tmp_path / "late" / "Kim Lee_2_assignsubmission_file_" / "means.ipynb", b"two, better")
    put(tmp_path / "late" / "Bo Berg_3_assignsubmission_file_" / "means.ipynb")
    record = collect(course, "means", tmp_path / "late")
    assert set(record) == {"Bo-Berg", "Kim-Lee-1", "Kim-Lee-2"}
    assert (course.path("submitted", "Kim-Lee-2", "means") / "means.ipynb").read_bytes() == b"two, better"


def test_a_second_person_of_the_name_who_comes_later_takes_nothing_away(tmp_path, course):
    put(tmp_path / "in" / "Kim Lee_1_assignsubmission_file_" / "means.ipynb", b"one")
    put(tmp_path / "late" / "Kim Lee_2_assignsubmission_file_" / "means.ipynb", b"two")
    collect(course, "means", tmp_path / "in")
    record = collect(course, "means", tmp_path / "late")
    assert {s: f["lms_id"] for s, f in record.items()} == {"Kim-Lee": "1", "Kim-Lee-2": "2"}


# ---- which file -------------------------------------------------------------------------------------------------
def test_the_notebook_that_bears_the_name_goes_first_then_the_newest(tmp_path, course):
    old = put(tmp_path / "in" / "Bo" / "try.ipynb", b"old")
    new = put(tmp_path / "in" / "Bo" / "more.ipynb", b"new")
    os.utime(old, (1, 1))
    os.utime(new, (2, 2))
    put(tmp_path / "in" / "Eve" / "means (1).ipynb", b"named")
    put(tmp_path / "in" / "Eve" / "zzz.ipynb", b"other")
    record = collect(course, "means", tmp_path / "in")
    assert record["Bo"]["file"] == "more.ipynb" and "1 more notebooks" in record["Bo"]["remark"]
    assert record["Eve"]["file"] == "means (1).ipynb"


def test_the_newest_is_known_inside_a_zip_file_too(tmp_path, course):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, year in (("b.ipynb", 2030), ("a.ipynb", 2020), ("c.ipynb", 1980)):
            packed.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), name)
    put(tmp_path / "in" / "Bo Berg_3_assignsubmission_file_" / "work.zip", buffer.getvalue())
    assert collect(course, "means", tmp_path / "in")["Bo-Berg"]["file"] == "b.ipynb"


def lying_zip(size):
    """Return a zip file whose one file unpacks to more than both of its headers say."""
    data = bytearray(zip_of({"means.ipynb": b"x" * size}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(signature) + offset
        data[place : place + 4] = struct.pack("<I", 10)
    return bytes(data)


def broken_inside():
    """Return a zip file whose compressed content was damaged."""
    data = bytearray(zip_of({"means.ipynb": os.urandom(5000) + b"x" * 5000}))
    data[60:160] = b"\xff" * 100
    return bytes(data)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "nothing was handed in"),
        ({"essay.pdf": b"", "plot.png": b""}, "no notebook (.ipynb) was handed in, only: essay.pdf, plot.png"),
        ({"work.zip": b"PK\x03\x04 no more"}, "work.zip cannot be unpacked"),
        ({"work.zip": broken_inside()}, "work.zip cannot be unpacked"),
        ({"work.zip": zip_of({"../../../means.ipynb": b"{}"})}, "holds a path that leads out of it"),
        ({"work.zip": zip_of({"/etc/means.ipynb": b"{}"})}, "holds a path that leads out of it"),
        ({"work.zip": zip_of({"means.ipynb": b"0" * 3_000_000})}, "unpacks to more than 2 MB"),
        ({"work.zip": lying_zip(3_000_000)}, "work.zip cannot be unpacked"),
        ({"work.zip": zip_of({f"{n}.ipynb": b"" for n in range(30)})}, "holds 30 files; at most 20"),
        ({"data.zip": zip_of({"1.csv": b"1"})}, "no notebook (.ipynb) was handed in, only: data.zip"),
        (
            {"work.zip": zip_of({"a/" * 900 + "1.csv": b"", "means.ipynb": b"{}"})},
            "more than 50 folders in one another",
        ),
        ({"means.ipynb": b"{}", f"{'b/' * 60}1.csv": b""}, "1.csv lies in more than 50 folders"),
        ({"means.ipynb": b"0" * 1_500_000}, "means.ipynb has 1 MB; at most 1 are read"),
    ],
)
def test_what_cannot_be_collected_has_a_reason_and_stops_nobody(tmp_path, course, monkeypatch, files, problem):
    monkeypatch.setattr(grade_collect, "LARGEST_ZIP", 2 * 2**20)
    monkeypatch.setattr(grade_collect, "LARGEST_NOTEBOOK", 2**20)
    monkeypatch.setattr(grade_collect, "MOST_FILES", 20)
    put(tmp_path / "in" / "Zoe" / "means.ipynb")
    (tmp_path / "in" / "Bo").mkdir()
    for name, content in files.items():
        put(tmp_path / "in" / "Bo" / name, content)
    before = sorted(tmp_path.rglob("*"))
    record = collect(course, "means", tmp_path / "in")
    assert problem in record["Bo"]["problem"]
    assert record["Zoe"]["problem"] == ""
    outside = [p for p in tmp_path.rglob("*") if not p.is_relative_to(course.folder)]
    assert sorted(outside) == before, "something was written beside the course"


def test_a_class_that_cannot_be_read_ends_with_a_message(tmp_path, course, monkeypatch):
    monkeypatch.setattr(grade_collect, "LARGEST_CLASS", 2**20)
    cases = {
        tmp_path / "nowhere.zip": "no folder or zip file",
        put(tmp_path / "one.ipynb"): "must be a folder or a .zip",
        put(tmp_path / "broken.zip", b"PK"): "broken.zip cannot be unpacked",
        put(tmp_path / "bomb.zip", zip_of({"Bo.ipynb": b"0" * 2**21})): "unpacks to more than 1 MB",
        put(tmp_path / "out.zip", zip_of({"../Bo.ipynb": b"{}"})): "leads out of it",
        put(tmp_path / "empty" / "notes.txt").parent: "no submission in",
    }
    for path, message in cases.items():
        with pytest.raises(CourseError, match=message):
            collect(course, "means", path)
    assert not (tmp_path / "Bo.ipynb").exists()


@dataclass(frozen=True)
class Deep:
    """A folder in a folder in a folder: made up, for real ones trip the tools that would have to delete them."""

    level: int

    def is_dir(self):
        return self.level > 0

    def is_file(self):
        return self.level == 0


def test_folders_without_end_stop_nobody(tmp_path, course, monkeypatch):
    visible, files_below = grade_collect.visible, grade_collect.files_below
    with monkeypatch.context() as patched:
        patched.setattr(grade_collect, "visible", lambda folder: [Deep(folder.level - 1)])
        assert files_below(Deep(5000)) == [Deep(0)]

    def too_long(folder):
        if folder.name == "Bo":
            raise OSError(36, "File name too long")
        return visible(folder)

    put(tmp_path / "in" / "Zoe" / "means.ipynb")
    put(tmp_path / "in" / "Bo" / "means.ipynb")
    monkeypatch.setattr(grade_collect, "visible", too_long)
    record = collect(course, "means", tmp_path / "in")
    assert (record["Zoe"]["problem"], record["Bo"]["problem"]) == ("", "the folder could not be read: OSError")


def test_a_class_whose_zip_file_holds_too_deep_a_folder_is_collected_all_the_same(tmp_path, course, capsys):
    files = {"Zoe_1_assignsubmission_file_/means.ipynb": b"{}",
             "Bo_2_assignsubmission_file_/" + "a/" * 900 + "means.ipynb": b"{}",
             "Eve_3_assignsubmission_file_" + "x" * 300 + ".ipynb": b"{}"}  # fmt: skip
    record = collect(course, "means", put(tmp_path / "in.zip", zip_of(files)))
    assert {s: facts["problem"] for s, facts in record.items()} == {"Zoe": "", "Bo": "nothing was handed in"}
    said = capsys.readouterr().err
    assert said.count("could not be unpacked: ") == 2 and "more than 50 folders" in said


@pytest.mark.parametrize("name", [b"Bo_7_8_.", b"Bo_7_8_..", b"Bo_7_8_ . ", b"Bo_7_8_\xff\xfe.csv", b"Bo\xff"])
def test_odd_names_stop_nobody(tmp_path, course, name):
    put(tmp_path / "in" / "Zoe.ipynb")
    put(tmp_path / "in" / "Bo_7_8_means.ipynb", b"{}")
    odd = os.path.join(os.fsencode(tmp_path / "in"), name)
    try:
        if b"_" in name:
            with open(odd, "wb") as file:
                file.write(b"1")
        else:
            os.mkdir(odd)
    except OSError:
        pytest.skip("this system has no such names")
    record = collect(course, "means", tmp_path / "in")
    assert record["Zoe"]["problem"] == record["Bo"]["problem"] == "" if b"_" in name else len(record) == 3
    assert course.record("means") == record
    assert all(text.isprintable() for facts in record.values() for text in facts.values())


def test_whatever_one_submission_raises_is_its_own(tmp_path, course, monkeypatch):
    put(tmp_path / "in" / "Zoe.ipynb")
    put(tmp_path / "in" / "Bo.ipynb")
    choose = grade_collect.choose

    def failing(files, name):
        if files[0].name == "Bo.ipynb":
            raise RecursionError("maximum recursion depth")
        return choose(files, name)

    monkeypatch.setattr(grade_collect, "choose", failing)
    record = collect(course, "means", tmp_path / "in")
    assert record["Bo"]["problem"] == "it could not be collected: RecursionError: maximum recursion depth"
    assert record["Zoe"]["problem"] == ""


@pytest.mark.parametrize(
    ("names", "students"),
    [
        (["Ada/old.ipynb", "Ada/new.ipynb"], ["Ada"]),
        (["Ada/a.ipynb", "Ada/b.ipynb", "Ada/c.ipynb", "Ada/data/x.csv"], ["Ada"]),
        (["Ada/means.ipynb", "Ada/data/x.csv"], ["Ada"]),
        (["Ada/old.zip", "Ada/new.zip"], ["Ada"]),
        (["class/a.ipynb", "class/b.ipynb", "class/c.ipynb", "class/d.ipynb"], ["a", "b", "c", "d"]),
        (["class/a_1_2_m.ipynb", "class/b_3_4_m.ipynb"], ["a", "b"]),
        (["class/a_1_assignsubmission_file_m.ipynb", "class/x.png"], ["a"]),
        (["in/class/Ada/means.ipynb", "in/class/Bo/means.ipynb"], ["Ada", "Bo"]),
    ],
)
def test_a_single_folder_is_one_student_or_a_class(tmp_path, course, capsys, names, students):
    for name in names:
        put(tmp_path / "in" / name)
    assert [s.student for s in find_submissions(tmp_path / "in")] == students
    collect(course, "means", tmp_path / "in")
    said = capsys.readouterr().out
    assert f"read as the work of {len(students)} student" in said
    assert ("if it holds a class" in said) == (len(students) == 1)


def test_the_same_file_again_keeps_its_result(tmp_path, course):
    path = put(tmp_path / "in" / "Bo.ipynb", b"one")
    put(tmp_path / "in" / "Eve" / "essay.pdf")
    record = collect(course, "means", tmp_path / "in")
    for facts in record.values():
        facts["run"] = {"reason": "", "remarks": [], "fingerprint": "f"}
    course.write_record("means", record)
    assert all("run" in facts for facts in collect(course, "means", tmp_path / "in").values())
    path.write_bytes(b"two")
    record = collect(course, "means", tmp_path / "in")
    assert "run" not in record["Bo"] and "run" in record["Eve"]
