"""What goes with a submission: data files handed in beside the notebook, and the id that the class list gives."""

from __future__ import annotations

import copy
import io
import zipfile

import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

import nbformat  # noqa: E402
from conftest import MASTERS, genbook_grade, table  # noqa: E402

from genbook.cli import grade_collect  # noqa: E402
from genbook.cli.grade_collect import collect  # noqa: E402
from genbook.cli.grade_course import Course  # noqa: E402

READS = """
import os
with open("data/leaves.csv", encoding="utf-8") as file:
    assert file.read() == "1,2,3", "the student's own data"
assert not os.path.exists("statistics.py"), "code stays behind"
assert os.environ["GENBOOK_STUDENT_ID"] == {given!r}, os.environ["GENBOOK_STUDENT_ID"]
"""


def hand_in(folder, parts, given, **files):
    """Write a right answer, which demands its data and its student's id, and files beside it."""
    notebook = copy.deepcopy(parts.solved)
    first = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "mean")
    first.source = READS.format(given=given) + first.source
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "means.ipynb")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def test_data_go_along_and_code_does_not(tmp_path, parts):
    files = {"data/leaves.csv": "1,2,3", "statistics.py": "def mean(values): return 3.0", "photo.png": "p"}
    hand_in(tmp_path / "class" / "Ada", parts, "", **files)
    hand_in(tmp_path / "class" / "Bo", parts, "", **{"data/leaves.csv": "9"})
    course = Course(tmp_path / "grading")
    first = collect(course, "means", tmp_path / "class")
    beside = course.path("submitted", "Ada", "means") / "beside"
    found = {path.relative_to(beside).as_posix() for path in beside.rglob("*") if path.is_file()}
    assert found == {"data/leaves.csv", "photo.png"}
    (tmp_path / "class" / "Ada" / "data" / "leaves.csv").write_text("4")
    second = collect(course, "means", tmp_path / "class")
    assert first["Ada"]["digest"] != second["Ada"]["digest"], "other data are another submission"
    assert first["Bo"]["digest"] == second["Bo"]["digest"]
    (tmp_path / "class" / "Ada" / "photo.png").unlink()
    collect(course, "means", tmp_path / "class")
    assert not (beside / "photo.png").exists(), "what was taken back must not stay"


def put(path, content="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def beside_of(course, student):
    """Return the data that went along with a submission, by path."""
    folder = course.path("submitted", student, "means") / "beside"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_only_what_the_platform_named_loses_its_mark(tmp_path):
    course, pictures = Course(tmp_path / "grading"), ("pics/cat_2021_05_img1.png", "pics/dog_2021_06_img1.png")
    for picture in pictures:
        put(tmp_path / "in" / "Ada" / picture, picture)
    put(tmp_path / "in" / "Ada" / "means.ipynb")
    put(tmp_path / "in" / "abebo_7_8_means.ipynb")
    put(tmp_path / "in" / "abebo_7_9_cat_2021_05_img1.png", "c")
    put(tmp_path / "in" / "Cy Abe_5_assignsubmission_file_means.ipynb")
    put(tmp_path / "in" / "Cy Abe_5_assignsubmission_file_1.csv", "1")
    collect(course, "means", tmp_path / "in")
    assert beside_of(course, "Ada") == {picture: picture.encode() for picture in pictures}
    assert beside_of(course, "abebo") == {"cat_2021_05_img1.png": b"c"}
    assert beside_of(course, "Cy-Abe") == {"1.csv": b"1"}


def test_two_files_of_one_name_are_refused_with_the_reason(tmp_path):
    put(tmp_path / "in" / "abebo_7_8_means.ipynb")
    put(tmp_path / "in" / "abebo_7_9_1.csv", "1")
    put(tmp_path / "in" / "abebo_7_10_1.csv", "2")
    put(tmp_path / "in" / "Zoe.ipynb")
    record = collect(Course(tmp_path / "grading"), "means", tmp_path / "in")
    said = "two files beside the notebook have the name 1.csv; give them two names"
    assert (record["abebo"]["problem"], record["Zoe"]["problem"]) == (said, "")


def zip_of(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name in names:
            packed.writestr(name, "{}")
    return buffer.getvalue()


def test_a_zip_file_of_data_stays_one(tmp_path):
    course, data = Course(tmp_path / "grading"), zip_of("photos/1.png", "__MACOSX/._means.ipynb")
    put(tmp_path / "in" / "Ada" / "means.ipynb")
    put(tmp_path / "in" / "Ada" / "data" / "photos.zip", data)
    put(tmp_path / "in" / "Bo" / "work.zip", zip_of("work/means.ipynb", "work/1.csv"))
    collect(course, "means", tmp_path / "in")
    assert beside_of(course, "Ada") == {"data/photos.zip": data}
    assert beside_of(course, "Bo") == {"1.csv": b"{}"}


def test_too_much_data_is_refused_with_the_reason(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(grade_collect, "LARGEST_NOTEBOOK", 2**20)
    hand_in(tmp_path / "class" / "Ada", parts, "", **{"big.csv": "1" * (2**20 + 1)})
    record = collect(Course(tmp_path / "grading"), "means", tmp_path / "class")
    assert record["Ada"]["problem"] == "the files beside the notebook have 1 MB; at most 1 are read"


@pytest.mark.slow
def test_a_submission_finds_its_data_and_the_registered_id(tmp_path, parts):
    hand_in(
        tmp_path / "class" / "Ada", parts, "s-17 Ada", **{"data/leaves.csv": "1,2,3", "statistics.py": "1 / 0"}
    )
    hand_in(tmp_path / "class" / "Bo", parts, "", **{"data/leaves.csv": "1,2,3"})
    hand_in(tmp_path / "class" / "Cy", parts, "", **{"data/leaves.csv": "other"})
    (tmp_path / "class.csv").write_text("student_id,lms_id,name\nAda,,Ada\n")
    words = ["--assignment", "means", "--masters", MASTERS, "--roster", "class.csv"]
    assert genbook_grade("all", "class", *words, folder=tmp_path).status == 0
    rows = table(tmp_path / "grading" / "grades" / "means.csv")
    assert rows["Ada"]["mean-tests"] == "0", "registered as Ada, handed in as s-17 Ada"
    assert rows["Bo"]["mean-tests"] == "2"
    assert rows["Cy"]["mean-tests"] == "0"
    hand_in(tmp_path / "again" / "Ada", parts, "Ada", **{"data/leaves.csv": "1,2,3"})
    words[-2:] = []
    assert genbook_grade("all", "again", *words, folder=tmp_path).status == 0
    rows = table(tmp_path / "grading" / "grades" / "means.csv")
    assert rows["Ada"]["mean-tests"] == "2", "the class list of before still holds"
