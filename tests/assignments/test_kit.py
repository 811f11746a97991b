"""The pages for instructors say what is so: points, rubrics, wrong answers, commands, chapters, addresses."""

from __future__ import annotations

import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import grading
import pytest

grading.needs("nbgrader", "jupytext")

from wrong_answers import WRONG  # noqa: E402

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from set_repository import current  # noqa: E402

PAGES = ROOT / "pages" / "instructors"
MASTERS = sorted(path.stem for path in grading.FOLDER.glob("*.md") if "nbgrader=" in path.read_text("utf-8"))
CHAPTERS = set(re.findall(r"file: chapters/(\w+)", (ROOT / "_toc.yml").read_text(encoding="utf-8")))
ADDRESS = "/".join(current(ROOT))
TITLES = {
    "distributions": "### Distributions",
    "markov_models": "### Markov models",
    "rbms": "### RBMs",
    "autoencoders": "### Autoencoders",
    "vaes": "### VAEs",
    "gans": "### GANs",
    "attention": "### Attention",
    "gpt": "### GPT",
    "concept_test_before": "### Concept test, before",
    "concept_test_after": "### Concept test, after",
    "capstone": "### Capstone",
}


def page(name):
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def master(name):
    return (grading.FOLDER / f"{name}.md").read_text(encoding="utf-8")


def rows(text):
    """Return the rows of all tables of a text, as lists of cells."""
    lines = (line.strip() for line in text.splitlines())
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if re.match(r"\|.*\|$", line)]


def joined(text):
    """Return a text in one line, without the marks of lists."""
    return re.sub(r"\s+", " ", re.sub(r"^\s*- ", "", text, flags=re.MULTILINE)).strip()


def section(text, heading):
    """Return what stands below a heading, up to the next of the same or a higher level."""
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"no section {heading!r}"
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


# ---- points and time --------------------------------------------------------------------------------------------
def test_the_table_of_points_and_time_is_that_of_the_masters():
    shown = [[cell.replace("*", "") for cell in row] for row in rows(section(page("index"), "## Points and time"))]
    for name in MASTERS:
        expected = [[cell.replace("*", "") for cell in row] for row in rows(master(name)) if len(row) == 5]
        expected = [row for row in expected if row[0] not in ("question", "part") and "---" not in row[0]]
        assert [row[1:] for row in shown if row[0] == name] == expected, f"the table and {name}.md differ"
        assert expected[-1][0] == "total"
    assert {row[0] for row in shown[2:]} == set(MASTERS)


def test_the_capstones_points_by_tests_and_by_hand():
    notebook = grading.read("capstone")
    worth = {
        role: sum(c.metadata["nbgrader"]["points"] for c in grading.cells(notebook, role).values())
        for role in ("tests", "manual")
    }
    total = sum(worth.values())
    assert f"({worth['tests']} of the {total})" in page("index")
    assert f"({worth['manual']} of its {total} points by hand)" in page("rubrics")


# ---- rubrics ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MASTERS)
def test_every_rubric_stands_in_the_page_word_by_word(name):
    shown = joined(page("rubrics"))
    for grade_id, cell in grading.cells(grading.read(name), "manual").items():
        source = re.sub(r"^# ", "", cell.source, flags=re.MULTILINE)  # in a cell of code it is a comment
        rubric = re.split(r"Rubric \(\d+ points\)\.(?:\*\*)?", source, maxsplit=1)[1]
        points = cell.metadata["nbgrader"]["points"]
        assert re.search(rf"^##.*\({points} points\)$", page("rubrics"), re.MULTILINE), grade_id
        rubric = re.split(r"\n\n(?=[A-Z])|\n### END|\nrows = ", rubric.strip(), maxsplit=1)[0]
        assert len(re.findall(r"\b\d(?:, \*\*\w+\*\*)?: ", rubric)) >= 3, grade_id
        assert joined(rubric) in shown, f"{grade_id}: {joined(rubric)}"


def test_the_sample_answers_marks_add_up():
    text = page("rubrics").partition("## Wrong answers")[0]
    blocks = re.split(r"^(##+ .*\((\d+) points\))$", text, flags=re.MULTILINE)
    checked = 0
    for heading, most, body in zip(blocks[1::3], blocks[2::3], blocks[3::3], strict=True):
        sums = re.findall(r"((?:[\d.]+ \+ )+[\d.]+) = (\d+)", body)
        assert len(sums) == 2, f"{heading}: a full and a middling answer, each with its marks"
        for parts, total in sums:
            assert sum(map(float, parts.split(" + "))) == int(total), heading
        assert int(sums[0][1]) == int(most), heading
        assert 0.4 * int(most) <= int(sums[1][1]) <= 0.7 * int(most), heading
        checked += 1
    assert checked == sum(len(grading.cells(grading.read(name), "manual")) for name in MASTERS)


# ---- wrong answers ----------------------------------------------------------------------------------------------
def test_every_wrong_answer_is_in_the_page_with_what_it_costs():
    for name, wrongs in WRONG.items():
        found = section(page("rubrics"), TITLES[name])
        shown = re.findall(r"^- \*\*(.+?)\*\* \((.+?)\)\. \*Believes:\* (.+) \*Say:\* (.+)$", found, re.MULTILINE)
        costs = {
            wrong.name: ", ".join(f"{key.removesuffix('-test')} −{v}" for key, v in wrong.loses.items())
            for wrong in wrongs
        }
        assert {title: cost for title, cost, *_ in shown} == costs, name
        assert len(shown) == len(wrongs)


# ---- what is claimed of the rest of the repository --------------------------------------------------------------
def commands():
    """Return the calls of genbook-grade in the pages' blocks of code and in their text."""
    found = []
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        found += re.findall(r"^ *(genbook-grade .+)$", text, re.MULTILINE)
        found += re.findall(r"`(genbook-grade \w[^`]+)`", text)
    return [" ".join(command.split()) for command in found]


def test_every_command_is_one_that_the_program_takes():
    from genbook.cli.grade import parse

    assert len(commands()) >= 8
    for command in commands():
        words = shlex.split(command)[1:]
        assert parse(words).command == words[0], command
    known = set(re.findall(r'"(--[a-z-]+)"', (ROOT / "src/genbook/cli/grade.py").read_text(encoding="utf-8")))
    for name in ("index", "syllabus", "rubrics", "integrity"):
        assert set(re.findall(r"(?<![\w-])--[a-z]+[a-z-]*", page(name))) <= known, name


def test_the_student_notebooks_links_are_right():
    shown = section(page("index"), "## The student notebooks")
    for name in MASTERS:
        for place in ("https://github.com", "https://colab.research.google.com/github"):
            assert f"({place}/{ADDRESS}/blob/main/assignments/student/{name}.ipynb)" in shown, name
        assert f"genbook-grade release {name}" in shown


def test_addresses_of_files_lead_to_files():
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for place in re.findall(rf"\(https://github\.com/{ADDRESS}/(?:blob|tree)/main/([^)#]+)", text):
            if not place.startswith("assignments/student/"):
                assert (ROOT / place).exists(), f"{path.name} links {place}"


def test_the_first_page_links_every_finished_chapter():
    assert set(re.findall(r"\(\.\./\.\./chapters/(\w+)\.ipynb\)", page("index"))) == CHAPTERS


def test_the_id_in_the_integrity_page_is_the_one_the_masters_know():
    variables = set(re.findall(r"GENBOOK_\w+", page("integrity")))
    assert variables == {"GENBOOK_STUDENT_ID"}
    for form in ("before", "after"):
        assert all(variable in master(f"concept_test_{form}") for variable in variables)
    for name in MASTERS:
        assert re.findall(r"^TERM_SEED = (\d+)", master(name), re.MULTILINE) == ["2026"]
    assert "`TERM_SEED = 2026`" in page("integrity")


# ---- the syllabus -----------------------------------------------------------------------------------------------
def plans():
    """Return the three plans: heading, rows of the table."""
    parts = re.split(r"^## (.+)$", page("syllabus"), flags=re.MULTILINE)
    return [
        (head, [row for row in rows(body) if row[0].isdigit()])
        for head, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


def test_the_plans_have_their_weeks_and_every_assignment():
    found = {head: found for head, found in plans() if found}
    lengths = (len(CHAPTERS) + 1, 10, 14)  # in the first plan every chapter takes a week, and one of them two
    assert [[int(row[0]) for row in r] for r in found.values()] == [list(range(1, n + 1)) for n in lengths]
    for head, weeks in found.items():
        handed = " ".join(row[4] for row in weeks)
        for needed in (
            "before",
            "`distributions`",
            "`markov_models`",
            "`rbms`",
            "`autoencoders`",
            "`vaes`",
            "`gans`",
            "`attention`",
            "`gpt`",
            "after",
        ):
            assert needed in handed, f"{head}: {needed}"
        assert "capstone" in handed or head == "What can be taught today"


def test_each_chapters_minutes_are_its_own():
    for head, weeks in plans():
        minutes = Counter()
        for _, chapter, read, *_ in weeks:
            linked = re.findall(r"\(\.\./\.\./chapters/(\w+)\.ipynb\)", chapter)
            assert bool(linked) == ("planned" not in chapter), f"{head}: {chapter}"
            assert ("(" in read) == (not linked), f"{head}: {chapter}: only a plan's minutes stand in brackets"
            for name, part in zip(linked, read.split(" + ") if linked else [], strict=True):
                minutes[name] += int(part)
        for chapter, total in minutes.items():
            text = (ROOT / "chapters" / f"{chapter}.md").read_text(encoding="utf-8")
            assert int(re.search(r"\*\*Time:\*\* (\d+) minutes to read", text)[1]) == total, f"{head}: {chapter}"
        assert not weeks or set(minutes) == CHAPTERS, head


def test_what_is_called_planned_is_planned_and_planned_under_that_name():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    planned = {name.lower() for name in re.findall(r"^- (.+) \(planned\)$", readme, re.MULTILINE)}
    named = [name.strip().lower() for group in re.findall(r"\| \*(.+?) \(planned\)\*", page("syllabus"))
             for name in group.split(";")]  # fmt: skip
    assert len(named) > 10
    assert set(named) - planned == {"one chapter of part vi by vote"}
