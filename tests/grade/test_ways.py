"""The same class on a system without walls, and a real assignment of the book instead of a small one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

from conftest import MASTERS, MEANS, genbook_grade, table  # noqa: E402
from sample_class import sample_class  # noqa: E402

from genbook.cli import grade_class  # noqa: E402
from genbook.cli.grade_run import walls_stand  # noqa: E402

pytestmark = pytest.mark.slow

REAL = Path(__file__).parents[2] / "assignments"


def some_of(master, folder, *kinds):
    """Write the first submission of each kind into a folder; returns what each is, by kind."""
    everyone = sample_class(master, folder / "all", str(folder / "written"))
    (folder / "some").mkdir()
    chosen = {kind: next(s for s in everyone if s.kind == kind) for kind in kinds}
    for submission in chosen.values():
        files = [
            path
            for path in (folder / "all").rglob("*.ipynb")
            if submission.student in (path.stem, path.parent.name)
            or (submission.lms_id and f"_{submission.lms_id}_" in str(path.relative_to(folder)))
        ]
        assert len(files) == 1
        target = folder / "some" / files[0].relative_to(folder / "all")
        target.parent.mkdir(exist_ok=True)
        shutil.copy(files[0], target)
    return chosen


def test_without_walls_limits_hold_and_refusals_are_told(tmp_path):
    chosen = some_of(MEANS, tmp_path, "right", "writes outside", "network", "loop", "deep")
    command = [sys.executable, "-m", "genbook.cli.grade", "all", "some", "--assignment", "means", "--workers", "2"]
    command += ["--masters", str(MASTERS), "--cell-seconds", "3"]
    if walls_stand() == "" and shutil.which("unshare"):  # a system within, that has no namespaces to give
        within = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
        command = ["unshare", "-r", "sh", "-c", within, "sh", *command]
    with tempfile.TemporaryDirectory() as short:  # sockets need a short path
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONUTF8": "1", "TMPDIR": short}, capture_output=True,
            encoding="utf-8", timeout=300, check=False,
        )  # fmt: skip
        left = [path.name for path in Path(short).iterdir() if path.name.startswith("genbook-grade-")]
        for name in left:
            grade_class.remove(f"{short}/{name}")
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr, done.stderr
    if command[0] == "unshare" or walls_stand():
        assert "walls: NOT up on this system" in done.stderr
        assert "refused inside Python only; code can get round that" in done.stderr
    rows = table(tmp_path / "grading" / "grades" / "means.csv")
    by_kind = {kind: rows[submission.student] for kind, submission in chosen.items()}
    assert {kind: float(row["score"]) for kind, row in by_kind.items()} == {
        "right": 5,
        "writes outside": 5,
        "network": 5,
        "loop": 3,
        "deep": 5,
    }
    assert by_kind["writes outside"]["remarks"] == f"refused: write {tmp_path.resolve() / 'written'}"
    assert by_kind["network"]["remarks"] == "refused: look up 93.184.216.34"
    assert by_kind["loop"]["remarks"] == "mean: stopped after 3 s"
    assert not (tmp_path / "written").exists()
    assert left == [], "a folder too deep for shutil.rmtree goes, too"


LOOKS = """
import subprocess
look = '''
echo x > ../new && echo written beside; echo x > own && echo written inside
ls /run /tmp; ls ..; sed 1,2d /proc/net/dev
'''
print(subprocess.run(["sh", "-c", look], capture_output=True, text=True).stdout)
"""


@pytest.mark.skipif(walls_stand() != "", reason="this system has no namespaces")
def test_a_program_that_a_submission_starts_meets_the_walls_too(tmp_path):
    chosen = some_of(MEANS, tmp_path, "right")
    (file,) = (tmp_path / "some").rglob("*.ipynb")
    notebook = nbformat.read(file, as_version=4)
    next(cell for cell in notebook.cells if "def my_mean" in cell.source).source += LOOKS
    nbformat.write(notebook, file)
    words = ["--assignment", "means", "--masters", MASTERS]
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="not-to-be-seen-"):
        assert genbook_grade("all", tmp_path / "some", *words, folder=tmp_path).status == 0
    student = chosen["right"].student
    executed = tmp_path / "grading" / "autograded" / student / "means" / "means.ipynb"
    cells = nbformat.read(executed, as_version=4).cells
    said = next(cell for cell in cells if "def my_mean" in cell.source).outputs[0].text
    assert "written inside" in said and "written beside" not in said, said
    assert "not-to-be-seen" not in said and "/run:\n\n/tmp:\n" in said, said
    assert {"k-1", "k-5", "kernel.json", "notes", "work"} <= set(said.splitlines()) and "\nnew\n" not in said
    assert " lo: " in said and "eth" not in said, said
    row = table(tmp_path / "grading" / "grades" / "means.csv")[student]
    assert (row["score"], row["remarks"]) == ("5", "")


def test_a_real_assignment_is_graded_as_its_master_says(tmp_path):
    from genbook.cli.grade_course import read_master

    chosen = some_of(REAL / "distributions.md", tmp_path, "right", "colab", "tampered")
    words = ["--assignment", "distributions", "--masters", REAL, "--workers", 2]
    ended = genbook_grade("all", tmp_path / "some", *words, folder=tmp_path)
    assert ended.status == 0
    rows = table(tmp_path / "grading" / "grades" / "distributions.csv")
    by_kind = {kind: rows[submission.student] for kind, submission in chosen.items()}
    marks = [cell.metadata.get("nbgrader", {}) for cell in read_master(REAL / "distributions.md").notebook.cells]
    most = {mark["grade_id"]: mark["points"] for mark in marks if mark.get("grade")}
    by_tests = {mark["grade_id"] for mark in marks if mark.get("grade") and not mark["solution"]}
    assert len(by_tests) >= 8
    for question in by_tests:
        assert float(by_kind["right"][question]) == float(by_kind["colab"][question]) == most[question], question
        assert by_kind["tampered"][question] == "0", question
    assert {row["max_score"] for row in rows.values()} == {str(sum(most.values()))}
    assert {row["status"] for row in rows.values()} == {"to be marked"}
    assert by_kind["right"]["remarks"] == ""
    assert by_kind["colab"]["remarks"].endswith("were attached again")
    assert by_kind["tampered"]["remarks"].startswith("changed, and restored: ")
    assert all(0 < float(row["seconds"]) <= 60 for row in rows.values()), "the bar: a minute to grade one"
