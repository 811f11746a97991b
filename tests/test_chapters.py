"""The chapters as files: what `tools/chapters.py` refuses, shown on a copy that is broken on purpose."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import mutants  # noqa: E402

import chapters  # noqa: E402
import notebooks  # noqa: E402

NAME = "distributions"


@pytest.fixture
def copy(tmp_path):
    """The table of contents and the chapters in a folder of their own."""
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    shutil.copytree(ROOT / "chapters", tmp_path / "chapters", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def edit(folder, change):
    path = folder / "chapters" / f"{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def code(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def test_the_published_chapters_have_no_fault():
    assert chapters.faults() == []


def test_the_names_come_from_the_table_of_contents():
    files = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    listed = [c["file"] for part in files for c in part["chapters"] if c["file"].startswith("chapters/")]
    assert chapters.named_in_toc() == [f.removeprefix("chapters/") for f in listed]
    assert {"start_here", "distributions"} <= set(chapters.named_in_toc())


def test_a_chapter_outside_the_table_of_contents_is_refused(copy):
    for suffix in ("ipynb", "md"):
        shutil.copy(copy / "chapters" / f"{NAME}.{suffix}", copy / "chapters" / f"stray.{suffix}")
    assert chapters.faults(copy) == ["stray: in chapters/ but not in _toc.yml"]


def test_a_missing_half_is_refused(copy):
    (copy / "chapters" / f"{NAME}.md").unlink()
    assert f"{NAME}: {NAME}.md is missing" in chapters.faults(copy)


def test_a_stripped_notebook_is_refused(copy):
    def strip(notebook):
        for cell in code(notebook):
            cell.outputs, cell.execution_count = [], None

    edit(copy, strip)
    faults = " ".join(chapters.faults(copy))
    assert "no stored outputs" in faults
    assert "not executed from top to bottom" in faults


def test_an_edited_stored_output_is_refused(copy):
    def flatter(notebook):
        cell = next(c for c in code(notebook) if "product:" in c.source)
        cell.outputs[0].text = cell.outputs[0].text.replace("2.0", "1.0")

    edit(copy, flatter)
    assert chapters.faults(copy) == [
        f"{NAME}: the stored outputs are not those of the last execution: make execute"
    ]


def test_a_cell_without_a_count_is_refused(copy):
    edit(copy, lambda n: code(n)[3].__setitem__("execution_count", None))
    assert any("not executed from top to bottom" in f for f in chapters.faults(copy))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeded(10)", "seeded(99)"),  # code
        ("## Data are draws", "## Data are not draws"),  # prose
        ("curve with three humps at", "curve with no humps at"),  # alt text
    ],
)
def test_a_pair_out_of_step_is_refused(copy, old, new):
    path = copy / "chapters" / f"{NAME}.md"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert any("the pair is out of step" in f for f in chapters.faults(copy))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"output_type": "error", "ename": "E", "evalue": "", "traceback": []}, "stores an error"),
        ({"output_type": "stream", "name": "stderr", "text": "UserWarning"}, "stores a warning"),
        ({"output_type": "stream", "name": "stdout", "text": "/home/me/x"}, "shows a path"),
        ({"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}, "without alt text"),
    ],
)
def test_unclean_outputs_are_refused(copy, output, message):
    edit(copy, lambda n: code(n)[1].outputs.append(nbformat.from_dict(output)))
    assert any(message in f for f in chapters.faults(copy)), chapters.faults(copy)


def test_long_cells_large_files_widget_state_and_another_first_cell_are_refused(copy):
    def spoil(notebook):
        code(notebook)[0].source = "import genbook"
        code(notebook)[2].source = "\n".join(f"x{i} = {i}" for i in range(50))
        code(notebook)[2].outputs = [nbformat.v4.new_output("stream", text="a" * 800_000)]
        notebook.metadata["widgets"] = {"state": {}}

    edit(copy, spoil)
    faults = " ".join(chapters.faults(copy))
    for message in ("first code cell", "code cells too long", "kB, more than 700", "widget state"):
        assert message in faults


def test_nbval_sees_an_edited_output_and_counts_the_notebooks(tmp_path):
    """The runner itself, on two notebooks of one cell: one true, one whose stored number is not what it prints."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "chapters").mkdir()
    (tmp_path / "_toc.yml").write_text("root: index\nchapters: [{file: chapters/good}, {file: chapters/bad}]\n")
    for name, stored in (("good", "4\n"), ("bad", "5\n")):
        cell = nbformat.v4.new_code_cell("# NBVAL_CHECK_OUTPUT\nprint(2 + 2)", execution_count=1)
        cell.outputs = [nbformat.v4.new_output("stream", text=stored)]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(
            nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "chapters" / f"{name}.ipynb"
        )
    command = [sys.executable, "tools/notebooks.py", "test", "--workers", "1"]
    both = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert both.returncode == 1
    assert "notebooks executed: 2 of 2" in both.stdout
    assert "bad.ipynb" in both.stdout and "1 passed" in both.stdout
    (tmp_path / "_toc.yml").write_text("root: index\nchapters: [{file: chapters/good}]\n")
    one = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert one.returncode == 0, one.stdout
    assert "notebooks executed: 1 of 1" in one.stdout


def test_what_is_stored_is_cleaned():
    bar = nbformat.v4.new_output("stream", name="stderr", text="\rfit:  50%|█████     | 5/10 [00:01, 5.0it/s]")
    warning = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: look")
    view = nbformat.v4.new_output(
        "display_data", data={notebooks.WIDGET: {"model_id": "1"}, "text/plain": "slider"}
    )
    kept = nbformat.v4.new_output("stream", text="3\n")
    cell = nbformat.v4.new_code_cell("x", outputs=[bar, warning, view, kept])
    cell.metadata["execution"] = {"iopub.status.busy": "2026-01-01"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": 1}})
    notebooks.clean(notebook)
    assert [o.text for o in cell.outputs] == [warning.text, kept.text]  # a warning stays, and is refused later
    assert "execution" not in cell.metadata
    assert "widgets" not in notebook.metadata


BARS = "\rfit:   0%|          | 0/10 [00:00<?, ?it/s]\rfit: 100%|██████████| 10/10 [00:02<00:00,  5.0it/s, a=1]\n"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (BARS, None),
        ("\r0it [00:00, ?it/s]\r7it [00:01, 5.00it/s]\n", None),
        ("\r 30%|███       | 3.0M/10M [00:01<00:02, 3.1MB/s]", None),
        (BARS + "a.py:3: UserWarning: look\n  warn()\n", "a.py:3: UserWarning: look\n  warn()"),
        ("UserWarning: slow, 3 it/s, 50%|50%\n", "UserWarning: slow, 3 it/s, 50%|50%\n"),
        (
            "\rfit:  50%|█████     | 5/10 [00:01<00:01,  5.0it/s]look",
            "\rfit:  50%|█████     | 5/10 [00:01<00:01,  5.0it/s]look",
        ),
        ("UserWarning: half\n" + BARS + "UserWarning: whole\n", "UserWarning: half\nUserWarning: whole"),
    ],
)
def test_a_warning_beside_a_progress_bar_stays(text, rest):
    output = nbformat.v4.new_output("stream", name="stderr", text=text)
    cell = nbformat.v4.new_code_cell("x", outputs=[output])
    notebooks.clean(nbformat.v4.new_notebook(cells=[cell]))
    assert [o.text for o in cell.outputs] == ([] if rest is None else [rest])


def test_a_failing_cell_leaves_the_notebook_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    (tmp_path / "chapters").mkdir()
    md, ipynb = (tmp_path / "chapters" / f"tiny.{suffix}" for suffix in ("md", "ipynb"))
    md.write_text("# Tiny\n\n```python\nprint(1)\n```\n")
    notebooks.execute("tiny", 1)
    before = ipynb.read_bytes()
    assert chapters.digest(nbformat.read(ipynb, as_version=4)) in before.decode()
    md.write_text("# Tiny\n\n```python\nprint(2)\n```\n\n```python\n1 / 0\n```\n")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.execute("tiny", 1)
    assert ipynb.read_bytes() == before
    md.write_text("# Tiny\n\n```python\nprint(2)\n```\n")
    notebooks.execute("tiny", 1)
    old, new = json.loads(before), json.loads(ipynb.read_text())
    assert [c["id"] for c in new["cells"]] == [c["id"] for c in old["cells"]]
    assert new["cells"][1]["outputs"][0]["text"] == ["2\n"]
    assert {p.name for p in ipynb.parent.iterdir()} == {"tiny.md", "tiny.ipynb"}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    notebooks.replace(path, "old")

    def full(source, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(notebooks.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        notebooks.replace(path, "new")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_the_status_figures_are_those_of_the_stored_notebooks():
    status = json.loads((ROOT / "benchmarks" / "chapters.json").read_text())
    assert list(status) == chapters.named_in_toc()
    for name, entry in status.items():
        cells = code(nbformat.read(ROOT / "chapters" / f"{name}.ipynb", as_version=4))
        lines = [line for c in cells for line in c.source.splitlines()]
        assert entry["asserts"] == sum(line.lstrip().startswith("assert ") for line in lines) >= 4
        assert entry["cells"] == len(cells)
        assert entry["seconds"] <= 120
        assert entry["first_figure_seconds"] <= 10
        assert entry["peak_mb"] is None or entry["peak_mb"] <= 2000


def test_every_chapter_says_what_it_teaches_and_examines_it():
    parts = ("You will be able to", "Time", "Difficulty", "Prerequisites", "If you read only one section")
    for name in chapters.named_in_toc():
        text = (ROOT / "chapters" / f"{name}.md").read_text()
        wanted = [f"- **{part}:**" for part in parts] + ["## Exercises", "## Summary", "**Read next.**"]
        assert [w for w in wanted if w not in text] == [], name
        exercises = text.split("## Exercises")[1].split("## Summary")[0]
        count = len(re.findall(r"^\*\*\d\. ", exercises, flags=re.MULTILINE))
        assert 3 <= count <= 5
        assert exercises.count("<summary>Answer</summary>") == exercises.count("<summary>Hint</summary>") == count
        assert text.count("**Predict first.**") >= 2


def test_every_figure_has_a_caption_that_counts():
    for name in chapters.named_in_toc():
        cells = code(nbformat.read(ROOT / "chapters" / f"{name}.ipynb", as_version=4))
        drawn = sum(any("image/png" in o.get("data", {}) for o in c.outputs) for c in cells)
        captions = re.findall(
            r"^\*\*Figure (\d+)\.\*\* \*", (ROOT / f"chapters/{name}.md").read_text(), flags=re.MULTILINE
        )
        assert [int(c) for c in captions] == list(range(1, drawn + 1)), name


def test_every_family_has_its_mutants_and_they_apply():
    listed = mutants.load()
    families = {p.name for p in (ROOT / "src" / "genbook" / "models").glob("[a-z]*.py")}
    count = {f: sum(m["file"] == f"models/{f}" for m in listed) for f in families}
    assert min(count.values()) >= 8, count
    assert {m["layer"] for m in listed} == {"unit", "zoo", "notebook"}


def test_a_mutant_that_does_not_apply_is_refused(tmp_path, monkeypatch):
    entry = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text())["mutant"][0]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "mutants.toml").write_text(
        f"[[mutant]]\nfile = '{entry['file']}'\nwhy = 'gone'\nfind = 'not in the file'\nreplace = ''\n"
    )
    (tmp_path / "src").symlink_to(ROOT / "src")
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="'gone': find occurs 0 times"):
        mutants.load()
