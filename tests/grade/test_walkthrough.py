"""What a newcomer types, word for word: release, grade the sample class, open the table; and each step alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

from conftest import MEANS, genbook_grade, table  # noqa: E402
from sample_class import sample_class  # noqa: E402

from genbook.cli import grade  # noqa: E402

ROOT = Path(__file__).parents[2]
COMMANDS = ("release", "collect", "grade", "feedback", "gradebook", "all")
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
WALK = "## Grade a class"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder as a newcomer has it: what the README's lines name, and nothing else of the repository."""
    folder = tmp_path_factory.mktemp("newcomer")
    here = Path(__file__).parent.relative_to(ROOT)
    for name in ("sample_class.py", "fixtures/means.md"):
        (folder / here / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / here / name, folder / here / name)
    return folder


@pytest.fixture(scope="module")
def walked(folder):
    """The README's own lines, run one after the other as a person types them; returns what each said."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split(WALK, 1)[1]
    lines = BLOCK.search(section)[1].strip().splitlines()
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    said = {}
    for line in lines:
        done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True,
                              encoding="utf-8", timeout=300, check=False)  # fmt: skip
        assert done.returncode == 0 and "Traceback" not in done.stderr, f"{line}\n{done.stdout}{done.stderr}"
        said[line.split("#")[0].split("--")[0].strip()] = done.stdout
    return said


@pytest.mark.slow
def test_from_the_readme_to_the_open_table(folder, walked):
    released, made, graded = walked.values()
    assert released == f"means: hand out {Path('grading/release/means/means.ipynb')}\n"
    handed_out = json.loads((folder / "grading/release/means/means.ipynb").read_text(encoding="utf-8"))
    assert "raise NotImplementedError" in json.dumps(handed_out)
    kinds = {kind: student for student, kind in (line.split(maxsplit=1) for line in made.splitlines())}
    assert len(kinds) == 6

    named = [line.strip() for line in graded.splitlines() if line.startswith("  grading")]
    assert all((folder / name).is_file() for name in named) and len(named) == 4
    rows = table(folder / "grading" / "grades" / "means.csv")
    assert set(rows) == set(kinds.values())
    by_kind = {kind: rows[student] for kind, student in kinds.items()}
    assert by_kind["right"]["score"] == by_kind["stripped"]["score"] == "5"
    assert by_kind["tampered"]["score"] == by_kind["empty"]["score"] == "0"
    assert 0 < float(by_kind["partly"]["score"]) < 5
    assert by_kind["empty"]["reason"] == "the file is empty"
    assert all((folder / "grading" / row["feedback"]).is_file() for row in rows.values())
    told = re.search(r"then:  genbook-grade (.*)$", graded, re.MULTILINE)[1]
    after = genbook_grade(*shlex.split(told), folder=folder)
    assert after.status == 0 and "0 marks taken over" in after.out


@pytest.mark.slow
def test_each_step_works_by_itself_in_a_course_elsewhere(tmp_path, monkeypatch, capsys):
    folder = tmp_path
    monkeypatch.chdir(folder)
    (folder / "assignments").mkdir()
    shutil.copy(MEANS, folder / "assignments")
    (student,) = sample_class(MEANS, folder / "two", class_of={"right": 1})
    (folder / "two" / "Eve.ipynb").write_text("")
    course, name = ["--course", "my course"], ["--assignment", "means"]
    steps = {
        "release": ["means"],
        "collect": ["two", *name],
        "grade": [*name, "--cell-seconds", "20"],
        "feedback": [*name, "--show-hidden"],
        "gradebook": name,
    }
    said = {}
    for step, words in steps.items():
        assert grade.main([step, *course, *words]) == 0, step
        said[step] = capsys.readouterr().out
    assert "means: 2 notebooks collected, 0 students without one" in said["collect"]
    assert "1/2" in said["grade"] and "Eve: the file is empty" in said["grade"]
    assert "means: feedback for 2 in" in said["feedback"]
    assert "means: 0 graded, 1 to be marked, 1 not graded" in said["gradebook"]
    rows = table(folder / "my course" / "grades" / "means.csv")
    assert (rows[student.student]["score"], rows["Eve"]["score"]) == ("5", "0")
    page = (folder / "my course" / rows[student.student]["feedback"]).read_text(encoding="utf-8")
    assert "HIDDEN TESTS" in page, "they were asked for"


def test_a_name_that_the_terminal_cannot_show_ends_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "Zoë.ipynb").write_text("{}")
    (tmp_path / "in" / "Łucja 王_7_8_x.png").write_text("")
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "genbook.cli.grade", "collect", "in", "--assignment", "means"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\u0141ucja-\\u738b: no notebook" in done.stdout and b"Zo\xeb" in done.stdout


def test_every_command_explains_itself(capsys):
    for words in ([], *([command] for command in COMMANDS)):
        with pytest.raises(SystemExit) as caught:
            grade.parse([*words, "--help"])
        assert caught.value.code == 0
        said = capsys.readouterr().out
        assert said.startswith("usage: genbook-grade") and all(len(line) <= 100 for line in said.splitlines())
    ended = genbook_grade("--help")
    assert (ended.status, ended.err) == (0, "")
    assert all(re.search(rf"^    {command}\s+\w", ended.out, re.MULTILINE) for command in COMMANDS)


def test_what_the_pages_say_to_type_can_be_typed():
    pages = [ROOT / "README.md", *sorted((ROOT / "pages" / "instructors").glob("*.md"))]
    lines = [
        (page.name, line.strip())
        for page in pages
        for block in re.findall(
            r"^```[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        for line in block.replace("\\\n", " ").splitlines()
        if re.match(r"\s*(\$ )?genbook-grade ", line)
    ]
    assert lines
    for page, line in lines:
        words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
        assert grade.parse(words).command in COMMANDS, (page, line)
