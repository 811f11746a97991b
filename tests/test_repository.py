"""The repository's papers agree with each other: one address, one version, one list of requirements."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import genbook

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import set_repository as tool  # noqa: E402
from first_cell import FIRST_CELL  # noqa: E402

NEW = "https://github.com/another-owner/another.book"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
CHAPTERS = re.findall(r"file: chapters/(\w+)", (ROOT / "_toc.yml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """The project's text files in a folder of their own, with a small notebook whose output names the address."""
    for path in tool.files(ROOT):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    old = "https://github.com/" + "/".join(tool.current(ROOT))
    cells = [
        {"cell_type": "markdown", "id": "a1", "metadata": {}, "source": [f"See\n[issues]({old}/issues).\n", "γ"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": "b2",
            "metadata": {},
            "outputs": [{"name": "stdout", "output_type": "stream", "text": [f"{old}\n"]}],
            "source": FIRST_CELL.splitlines(keepends=True),
        },
    ]
    (tmp_path / "chapters").mkdir(exist_ok=True)
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    (tmp_path / "chapters" / "example.ipynb").write_text(text, encoding="utf-8")
    return tmp_path


# ---- the address --------------------------------------------------------------------------------------------


def test_one_address_stands_everywhere():
    found = list(tool.mentions(ROOT))
    assert {(owner, name) for _, owner, name in found} == {tool.current(ROOT)}
    where = {str(path.relative_to(ROOT)) for path, *_ in found}
    needed = {"_config.yml", "pyproject.toml", "README.md", "CITATION.cff", "tools/first_cell.py"}
    needed |= {f"chapters/{name}.{suffix}" for name in CHAPTERS for suffix in ("md", "ipynb")}
    assert needed <= where


def test_set_repository_carries_the_address_everywhere(copy):
    old = "/".join(tool.current(copy))
    before = json.loads((copy / "chapters" / "example.ipynb").read_text(encoding="utf-8"))
    changed = tool.set_repository(copy, NEW)
    assert len(changed) >= 6
    assert tool.current(copy) == ("another-owner", "another.book")
    for path in tool.files(copy):
        text = path.read_text(encoding="utf-8")
        if path.name != "example.ipynb":
            assert old not in text, f"{path} still names {old}"
            assert "how-generative-ai-works.github.io" not in text, path
    after = json.loads((copy / "chapters" / "example.ipynb").read_text(encoding="utf-8"))
    assert after["cells"][1]["outputs"] == before["cells"][1]["outputs"], "a stored output was changed"
    assert [cell["id"] for cell in after["cells"]] == ["a1", "b2"]
    assert f"git+{NEW}" in "".join(after["cells"][1]["source"])
    assert f"{NEW}/issues" in "".join(after["cells"][0]["source"])
    assert tool.set_repository(copy, NEW) == [], "a second run changed something"
    assert not list(copy.rglob(".*.new"))
    tool.set_repository(copy, "https://github.com/" + old)  # and back: nothing was lost on the way
    for path in tool.files(ROOT):
        assert (copy / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path


def test_the_digest_follows_the_address_and_hides_no_edit(copy):
    import nbformat

    from chapters import digest, stored_faults

    path = copy / "chapters" / f"{CHAPTERS[0]}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata["genbook"]["digest"] == digest(notebook) == tool.digest(json.loads(path.read_text()))
    tool.set_repository(copy, NEW)
    moved = nbformat.read(path, as_version=4)
    assert moved.metadata["genbook"]["digest"] == digest(moved) != digest(notebook)

    code = next(cell for cell in moved.cells if cell.cell_type == "code" and cell.outputs)
    code.outputs = code.outputs[:-1]  # an edited output must stay visible after a further move
    nbformat.write(moved, path)
    tool.set_repository(copy, "https://github.com/" + "/".join(tool.current(ROOT)))
    assert any("not those of the last execution" in fault for fault in stored_faults(path))


@pytest.mark.parametrize(
    "place", ["pyproject.toml", "README.md", "CITATION.cff", "tools/first_cell.py", "chapters/example.ipynb"]
)
def test_a_stale_address_is_caught_and_mended(copy, place):
    path = copy / place
    text = path.read_text(encoding="utf-8")
    stale = text.replace("/".join(tool.current(copy)), "old-owner/old-name", 1)
    if place.endswith(".ipynb"):  # the install cell, not the first sentence
        stale = text.replace(
            "git+https://github.com/" + "/".join(tool.current(copy)), "git+https://github.com/o/n"
        )
    assert stale != text
    path.write_text(stale, encoding="utf-8")
    assert {p for p, *found in tool.mentions(copy) if tuple(found) != tool.current(copy)} == {path}
    tool.set_repository(copy, "https://github.com/" + "/".join(tool.current(copy)))
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "github.com/owner/name",
        "http://github.com/owner/name",
        "https://gitlab.com/owner/name",
        "https://github.com/owner",
        "https://github.com/owner/name/tree/main",
        "https://github.com/own er/name",
        "https://github.com/owner/name?x=1",
        "https://github.com/-owner/name",
        'https://github.com/owner/na"me',
    ],
)
def test_a_wrong_address_changes_nothing(copy, url):
    before = {path: path.read_bytes() for path in tool.files(copy)}
    with pytest.raises(ValueError, match=r"expected the form https://github.com/OWNER/NAME"):
        tool.set_repository(copy, url)
    assert {path: path.read_bytes() for path in tool.files(copy)} == before


def test_an_interrupted_run_leaves_no_half_written_file(copy, monkeypatch):
    before = {path: path.read_bytes() for path in tool.files(copy)}
    real, calls = os.replace, []

    def fails_on_the_third(source, target):
        calls.append(target)
        if len(calls) == 3:
            raise OSError("No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", fails_on_the_third)
    with pytest.raises(OSError, match="No space left"):
        tool.set_repository(copy, NEW)
    monkeypatch.undo()
    assert not list(copy.rglob(".*.new"))
    assert sum(path.read_bytes() != content for path, content in before.items()) == 2
    tool.set_repository(copy, NEW)
    assert {tuple(found) for _, *found in tool.mentions(copy)} == {("another-owner", "another.book")}


def test_the_command_says_what_is_wrong():
    command = [sys.executable, ROOT / "tools" / "set_repository.py", "https://example.com/a/b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("set_repository: URL: got 'https://example.com/a/b', expected")


# ---- the papers ---------------------------------------------------------------------------------------------


def requirements(*extras):
    table = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    for extra in extras:
        for requirement in table[extra]:
            inner = re.fullmatch(r"genbook\[(\w+)\]", requirement)
            yield from requirements(inner[1]) if inner else [requirement]


def test_environment_lists_the_requirements_of_pyproject():
    environment = yaml.safe_load(read("environment.yml"))
    conda, (pip,) = environment["dependencies"][:-1], environment["dependencies"][-1].values()
    wanted = list(dict.fromkeys(requirements("core", "book", "test", "grade")))
    lines = "\n".join(f'      - "{requirement}"' for requirement in wanted)
    assert pip == wanted, f"the pip section of environment.yml should be\n{lines}"
    python = "python" + ",".join(sorted(PROJECT["requires-python"].split(","), reverse=True))
    assert conda == [python, "pip"]


def test_versions_are_equal():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == PROJECT["version"] == genbook.__version__
    assert citation["title"].startswith(yaml.safe_load(read("_config.yml"))["title"])
    assert PROJECT["version"] in read("CHANGELOG.md") or "## [Unreleased]" in read("CHANGELOG.md")


def test_wheel_has_ranges_and_carries_the_data(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; `make test` installs it")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        labs = {f"genbook/labs/built/{path.name}" for path in (ROOT / "src/genbook/labs/built").glob("*.html")}
        assert labs and labs | {"genbook/labs/runtime.js", "genbook/labs/page.html"} <= set(archive.namelist())
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    wanted = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    assert len(wanted) >= len(PROJECT["dependencies"])
    pinned = [line for line in wanted if "==" in line.split(";")[0]]
    assert not pinned, f"the wheel pins {pinned}; an install in Colab would replace what Colab brings"
    assert "genbook/protocols.py" in names
    shipped = [name for name in names if name.startswith("genbook/_data/")]
    tracked = [path for path in (ROOT / "data").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    read = {
        f"genbook/_data/benchmarks/{name}.json"
        for path in (ROOT / "chapters").glob("*.md")
        for name in re.findall(r'benchmarks\.load\("([\w-]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert {name for name in shipped if "/benchmarks/" in name} == read  # what chapters read, they find in Colab
    assert len(shipped) - len(read) == len(tracked) >= 1


REGISTRIES = [
    "pypi|org",
    "pythonhosted|org",
    "npmjs|org",
    "npmjs|com",
    "debian|org/debian",
    "download.pytorch|org",
]
REGISTRIES += ["conda.anaconda|org", "mirrors.aliyun|com", "files.pythonhosted|org", "registry.yarnpkg|com"]
# `me` is the made-up person of other tests
FOREIGN = re.compile(
    r"\.\./sha"
    + r"red\b|(?<![\w./:-])/(?:wo"
    + r"rk|ro"
    + r"ot|ho"
    + r"me/(?!me/)\w+)/|/tm"
    + r"p/(?:br|ba)|"
    # registries of packages: dots are put back here, so that this file does not hold their addresses
    + "|".join(r"\b" + re.escape(name.replace("|", ".")) for name in REGISTRIES)
)


def tracked_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return list(tool.files(ROOT)) + [path for path in (ROOT / "tests").rglob("*.py")]


def test_nothing_refers_to_another_machine_or_to_a_registry():
    found, read_files = [], 0
    for path in tracked_files():
        if "mathjax" in path.parts or path.suffix in {".npz", ".png", ".woff2", ".safetensors", ".ico", ".gz"}:
            continue
        read_files += 1
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), 1):
            found += [f"{path.relative_to(ROOT)}:{number}: {match[0]}" for match in FOREIGN.finditer(line)]
    assert read_files > 20
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "caught"),
    [
        ("see ../sha" + "red/DESIGN.md", True),
        ("/wo" + "rk/main/data", True),
        ('"/ho' + 'me/somebody/book"', True),
        ("--index-url https://pypi" + ".org/simple", True),
        ("https://download.pytorch" + ".org/whl/cpu", True),
        ("https://pytorch.org/get-started/locally/", False),
        ("what a shared room is", False),
        ("https://example.com/work/page", False),
    ],
)
def test_the_search_for_foreign_addresses_can_fail(line, caught):
    assert bool(FOREIGN.search(line)) is caught


# ---- the first cell -----------------------------------------------------------------------------------------


def test_every_chapter_begins_with_the_same_code_cell():
    assert CHAPTERS
    assert len(FIRST_CELL.splitlines()) <= 8
    for name in CHAPTERS:
        notebook = json.loads(read(f"chapters/{name}.ipynb"))
        cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
        assert "".join(cell["source"]).strip() == FIRST_CELL.strip(), f"chapters/{name}.ipynb"
        first_fence = read(f"chapters/{name}.md").split("```python")[1]
        assert first_fence.split("\n", 1)[1].split("```")[0].strip() == FIRST_CELL.strip(), f"chapters/{name}.md"


# ---- README -------------------------------------------------------------------------------------------------


def test_readme_links_what_exists_and_marks_the_rest_as_planned():
    readme = read("README.md")
    linked = re.findall(r"^- \[[^\]]+\]\(chapters/(\w+)\.ipynb\)", readme, re.MULTILINE)
    assert linked == CHAPTERS, "README.md and _toc.yml name different chapters"
    badges = re.findall(
        r"\(https://colab\.research\.google\.com/github/[\w./-]+/blob/main/chapters/(\w+)\.ipynb\)", readme
    )
    assert set(badges) == set(CHAPTERS)
    planned = re.findall(r"^- ([^\[\n]+) \(planned\)$", readme, re.MULTILINE)
    assert planned and not {name.lower().replace(" ", "_") for name in planned} & set(CHAPTERS)
    parts = [part["caption"] for part in TOC["parts"] if part["caption"].startswith("Part ")]
    assert set(parts) <= set(re.findall(r"^### (Part .*)$", readme, re.MULTILINE))


def test_what_the_papers_point_at_exists():
    for paper in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", read(paper)):
            assert (ROOT / target).exists(), f"{paper} points at {target}"
    targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", read("README.md") + read("CONTRIBUTING.md")))
    named |= set(re.findall(r"^make ([a-z-]+)", read("README.md"), re.MULTILINE))
    assert {"book", "test", "set-repository"} <= named <= targets


# ---- continuous integration ---------------------------------------------------------------------------------


def workflow(name):
    content = yaml.safe_load(read(f".github/workflows/{name}.yml"))
    return content, content[True]  # YAML reads the key `on` as the truth value


def steps(content):
    return [step for job in content["jobs"].values() for step in job["steps"]]


def test_workflows_listen_to_the_branch_that_is_published():
    branch = yaml.safe_load(read("_config.yml"))["repository"]["branch"]
    assert {path.stem for path in WORKFLOWS} == {"tests", "publish", "colab", "links"}
    assert workflow("tests")[1]["pull_request"] == {"branches": [branch]}
    assert workflow("publish")[1]["push"] == {"branches": [branch]}
    for name in ("colab", "links"):
        content, on = workflow(name)
        minute, hour, day, month, weekday = on["schedule"][0]["cron"].split()
        assert (day, month) == ("*", "*") and weekday.isdigit() and minute.isdigit() and hour.isdigit()
        checkout = next(step for step in steps(content) if step.get("uses", "").startswith("actions/checkout@"))
        assert checkout["with"]["ref"] == branch


def test_weekly_workflows_open_an_issue_on_failure():
    for name in ("colab", "links"):
        content, _ = workflow(name)
        last = steps(content)[-1]
        assert last["if"] == "failure()" and ".github/open-issue.sh" in last["run"]
        assert content["permissions"]["issues"] == "write" and "GH_TOKEN" in last["env"]


def test_workflows_pin_actions_and_limit_time():
    for path in WORKFLOWS:
        content = yaml.safe_load(path.read_text())
        for step in steps(content):
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) if "uses" in step else step["run"]
        assert all(job["timeout-minutes"] <= 180 for job in content["jobs"].values())
        assert content["permissions"]["contents"] == "read", path


def test_workflows_cover_the_supported_versions():
    content, _ = workflow("tests")
    rows = content["jobs"]["ranges"]["strategy"]["matrix"]["include"]
    pythons = {re.search(r"3\.\d+$", line)[0] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert {row["python"] for row in rows} == pythons == {"3.11", "3.12", "3.13"}
    (lowest,) = (re.search(r"torch>=([\d.]+)", line)[1] for line in PROJECT["dependencies"] if "torch>" in line)
    assert {row["torch"] for row in rows} == {f"=={lowest}.*", ""}
    assert any(step.get("run") == ".ci/run" for step in content["jobs"]["everything"]["steps"])
    assert "vars.TORCH_INDEX_URL" in content["env"]["TORCH_INDEX_URL"]


def test_scripts_of_continuous_integration_are_sound():
    for name in (".ci/run", ".github/open-issue.sh", ".github/colab.sh"):
        path = ROOT / name
        assert os.access(path, os.X_OK), f"{name} is not executable"
        assert (
            path.read_text().startswith("#!/usr/bin/env bash\n") and "\nset -Eeuo pipefail\n" in path.read_text()
        )
        subprocess.run(["bash", "-n", path], check=True)
    assert "CI=true make test" in read(".ci/run")
    chapters = "sed -n 's|^ *- file: *chapters/||p' _toc.yml"
    assert "sed -n 's|^ *- file: *chapters/||p'" in read(".github/colab.sh")
    listed = subprocess.run(["bash", "-c", chapters], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout.split() == CHAPTERS


# ---- the Makefile -------------------------------------------------------------------------------------------

STUB = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> "$LOG"
[ "$(wc -l < "$LOG")" != "$FAIL" ]
"""


STAGES = ["lint", "unit", "notebooks", "site", "colab"]


@pytest.fixture
def stand_ins(tmp_path):
    """A folder where every tool is a stand-in; `run(target, fail=n)` fails the n-th command that make starts."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is missing: install it to test the Makefile")
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in ("src", "data", "tests", "chapters", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    for name in re.findall(r"[\w./-]+", read("Makefile")):  # what the stages depend on; empty files will do
        if name != "Makefile" and not name.startswith((".venv", "/")) and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
    for name in ("python", "ruff", "jupyter-book"):
        (tmp_path / ".venv" / "bin" / name).write_text(STUB)
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    for name in (".installed-book", ".installed-all"):
        (tmp_path / ".venv" / name).touch()

    def run(*arguments, fail=0, **variables):
        (tmp_path / "log").write_text("")
        environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "PYTEST_FLAGS"}}
        environment |= {"LOG": str(tmp_path / "log"), "FAIL": str(fail), "VENV": ".venv"} | variables
        done = subprocess.run(
            [make, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, (tmp_path / "log").read_text().splitlines(), done.stdout + done.stderr

    return tmp_path, run


@pytest.mark.parametrize("flags", [[], [".SHELLFLAGS=-c"]], ids=["make 4", "make 3.81"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_make_test_fails_when_any_of_its_commands_fails(stage, flags, stand_ins):
    """The n-th command fails, for each n in turn; make 3.81 (macOS) ignores `.SHELLFLAGS`."""
    folder, run = stand_ins
    stamp = folder / "_build" / "stamps" / stage
    code, commands, said = run(f"_build/stamps/{stage}", *flags)
    assert code == 0 and stamp.exists(), said
    assert commands
    for number, command in enumerate(commands, 1):
        stamp.unlink(missing_ok=True)
        code, _, said = run(f"_build/stamps/{stage}", *flags, fail=number)
        assert code != 0 and not stamp.exists(), f"{stage} passes although this failed: {command}\n{said}"


def test_make_test_runs_again_exactly_when_something_changed(stand_ins):
    folder, run = stand_ins
    (folder / "chapters" / "a name with spaces.md").touch()
    (folder / "tests" / "test_old.py").touch()
    (folder / "README.md").touch()
    code, all_commands, said = run("test")
    assert code == 0 and len(all_commands) >= len(STAGES), said
    assert run("test")[:2] == (0, []), "a second run had something to do"
    (folder / "tests" / "test_old.py").unlink()
    assert run("test")[:2] == (0, all_commands), "a deleted file went unnoticed"
    (folder / "chapters" / "a name with spaces.md").unlink()
    assert run("test")[:2] == (0, all_commands), "a deleted chapter went unnoticed"
    assert run("test", TORCH_INDEX_URL="https://example.com")[:2] == (0, all_commands)
    assert run("test", CI="true")[1] == all_commands == run("test", CI="")[1]
    assert run("lint")[:2] == (0, all_commands[:3]), "make lint does nothing but lint"
    os.utime(folder / ".gitignore", (4e9, 4e9))
    assert {"lint", "unit", "site", "colab"} <= set(re.findall(r"^== (\w+)", run("test")[2], re.MULTILINE))


def test_part_of_the_tests_leaves_no_stamp(stand_ins):
    folder, run = stand_ins
    code, commands, said = run("test", PYTEST_FLAGS="-k digits")
    assert code == 0 and any(c.endswith("-k digits") for c in commands), said
    assert "All stages passed" not in said
    assert [p.name for p in (folder / "_build" / "stamps").iterdir()] == ["files"]


def test_the_environment_may_lie_anywhere(stand_ins, tmp_path_factory):
    folder, run = stand_ins
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "venv"
    (folder / ".venv").rename(elsewhere)
    (elsewhere / "bin" / "python").write_text('#!/usr/bin/env bash\necho "$PATH" >> "$LOG"\n')
    code, commands, said = run("_build/stamps/colab", VENV=str(elsewhere))
    assert code == 0 and commands[0].split(":")[0] == str(elsewhere / "bin"), said
