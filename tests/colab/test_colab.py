"""The Colab rehearsal: the wheel alone, in an environment with Colab's versions, from an empty folder.

`constraints.txt` is a snapshot of what Colab has installed. The rehearsal uses the torch of our lock and this
machine's Python, as no other torch can be relied on here; the weekly workflow runs in Colab's own image, and there
every chapter. Here run those that the last commits changed, and of the others a third, another one each day; with
`COLAB_REHEARSAL=all` in the environment, all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from datetime import date
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from chapters import named_in_toc  # noqa: E402
from first_cell import FIRST_CELL  # noqa: E402

SNAPSHOT = Path(__file__).with_name("constraints.txt")
PINS = dict(line.split("==") for line in SNAPSHOT.read_text().split() if "==" in line)
TORCH = next(line for line in (ROOT / "constraints.txt").read_text().split() if line.startswith("torch=="))
ASSIGNMENTS = sorted(path.stem for path in (ROOT / "assignments" / "solutions").glob("*.ipynb"))
COMMITS, DAYS = 10, 3
PIP = ["-m", "pip", "--disable-pip-version-check", "-q"]


def run(*command, **options):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert result.returncode == 0, (
        f"{' '.join(map(str, command))}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    )
    return result.stdout


def recent(folder):
    """Return the names of the notebooks in a folder that the last commits touched; None where none are known."""
    log = subprocess.run(
        ["git", "log", f"-{COMMITS}", "--name-only", "--format="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return None if log.returncode else {Path(f).stem for f in log.stdout.split() if f.startswith(f"{folder}/")}


def due(names, changed, today):
    """Return those of `names` to be rehearsed today: what changed, and each other one on every third day."""
    if changed is None or os.environ.get("COLAB_REHEARSAL") == "all":
        return list(names)
    return [name for i, name in enumerate(names) if name in changed or i % DAYS == today % DAYS]


TODAY = date.today().toordinal()
CHAPTERS = due(named_in_toc(), recent("chapters"), TODAY)
REHEARSED = due(ASSIGNMENTS, recent("assignments"), TODAY)


def test_every_chapter_has_its_day(monkeypatch):
    monkeypatch.delenv("COLAB_REHEARSAL", raising=False)
    names = named_in_toc()
    days = [due(names, {names[1]}, TODAY + i) for i in range(DAYS)]
    assert set().union(*days) == set(names) and all(names[1] in day for day in days)
    assert max(map(len, days)) <= len(names) // DAYS + 2
    assert due(names, None, TODAY) == names
    monkeypatch.setenv("COLAB_REHEARSAL", "all")
    assert due(names, set(), TODAY) == names


def versions(python):
    listing = (
        "import importlib.metadata as m; print(*[d.metadata['Name'] + '=' + d.version for d in m.distributions()])"
    )
    pairs = (entry.split("=") for entry in run(python, "-c", listing).split())
    return {name.lower().replace("_", "-"): version for name, version in pairs}


@pytest.fixture(scope="session")
def colab(tmp_path_factory, testrun_uid):
    """An environment with Colab's versions, made once per snapshot, and the wheel installed on top.

    The first test worker that comes makes it while the others wait; they read what it found.
    """
    key = hashlib.sha256((SNAPSHOT.read_text() + TORCH + sys.version).encode()).hexdigest()[:12]
    folder = ROOT / "_build" / f"colab-{key}"
    python, found = folder / "bin" / "python", folder.with_name(f"{folder.name}.json")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        said = json.loads(found.read_text()) if found.exists() else {}
        if said.get("run") != testrun_uid:
            before = prepared(python, folder, tmp_path_factory.mktemp("wheel"))
            said = {"run": testrun_uid, "before": before, "after": versions(python)}
            found.write_text(json.dumps(said))
    return python, said["before"], said["after"]


def prepared(python, folder, room):
    """Make the environment if need be, and put our wheel into it; returns the versions from before."""
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        index = os.environ.get("TORCH_INDEX_URL")
        run(python, *PIP, "install", *(["--no-deps", "--index-url", index] if index else []), TORCH)
        run(python, *PIP, "install", TORCH, *(f"{name}=={pin}" for name, pin in PINS.items()))
        (folder / "ready").touch()
    run(python, *PIP, "uninstall", "-y", "genbook")
    before = versions(python)
    run(sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", room, ROOT)
    run(python, *PIP, "install", *room.glob("genbook-*.whl"))
    run(python, "-m", "ipykernel", "install", "--sys-prefix", "--name", "colab", env=alone(python))
    return before


def alone(python):
    """Return an environment in which nothing but that Python is found; a worker among several has one thread."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "MPLBACKEND")}
    threads = max(1, 2 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    return kept | {"PATH": f"{python.parent}:{kept['PATH']}", "OMP_NUM_THREADS": str(threads)}


def test_the_install_changes_nothing_that_colab_has(colab):
    _, before, after = colab
    assert {n: before[n] for n in (p.lower().replace("_", "-") for p in PINS)}.items() <= after.items()
    assert {n: v for n, v in after.items() if before.get(n) != v} == {"genbook": after["genbook"]}


def executed(python, notebook, folder, *flags):
    """Run a notebook in a folder that holds nothing else; returns its cells."""
    shutil.copy(notebook, folder)
    environment = alone(python)
    environment["JUPYTER_PATH"] = str(python.parents[1] / "share" / "jupyter")
    # the kernel is Colab's; what drives it is ours, for with the old client replies got lost on the way
    run(sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output", "done.ipynb",
        "--ExecutePreprocessor.kernel_name=colab", "--ExecutePreprocessor.timeout=600", *flags, notebook.name,
        cwd=folder, env=environment)  # fmt: skip
    assert sorted(p.name for p in folder.iterdir()) == sorted([notebook.name, "done.ipynb"])
    return [c for c in json.loads((folder / "done.ipynb").read_text())["cells"] if c["cell_type"] == "code"]


def errors(cell):
    return [output["ename"] for output in cell["outputs"] if output["output_type"] == "error"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_chapter_runs_from_an_empty_folder(colab, name, tmp_path):
    cells = executed(colab[0], ROOT / "chapters" / f"{name}.ipynb", tmp_path)
    assert all(cell["execution_count"] for cell in cells)


@pytest.mark.parametrize("name", REHEARSED)
def test_a_solution_passes_and_a_released_notebook_stops_at_the_first_question(colab, name, tmp_path):
    """Every test of the solution passes under Colab's versions, hidden ones included; the rest runs to the end."""
    (tmp_path / "solution").mkdir()
    (tmp_path / "student").mkdir()
    solved = executed(colab[0], ROOT / "assignments" / "solutions" / f"{name}.ipynb", tmp_path / "solution")
    assert len(solved) >= 10
    handed_out = ROOT / "assignments" / "student" / f"{name}.ipynb"
    blank = executed(colab[0], handed_out, tmp_path / "student", "--allow-errors")
    graded = [cell for cell in blank if cell["metadata"].get("nbgrader", {}).get("grade")]
    assert graded and all(errors(cell) for cell in graded)
    seen = {kind for cell in blank for kind in errors(cell)}
    assert seen <= {"NotImplementedError", "NameError"}, seen


def test_the_package_comes_from_the_wheel_and_carries_its_data(colab, tmp_path):
    python, *_ = colab
    code = "import genbook; from genbook.data import glyphs; print(genbook.__file__, len(glyphs.load().images))"
    where, count = run(python, "-c", code, cwd=tmp_path).split()
    assert f"_build{os.sep}colab-" in where
    assert int(count) >= 53_000


@pytest.mark.parametrize(
    ("in_colab", "installed", "expected"), [(True, False, 1), (True, True, 0), (False, False, 0), (False, True, 0)]
)
def test_the_first_cell_installs_in_colab_alone(in_colab, installed, expected, monkeypatch):
    """The cell's own text, with Colab's marker and the search for the package set either way."""
    import importlib.util

    calls = []
    source = FIRST_CELL.replace("%pip install", "pip('").replace('book"\n', "book\"')\n")
    monkeypatch.setitem(sys.modules, "google.colab", object()) if in_colab else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    exec(compile(source, "first cell", "exec"), {"pip": calls.append})
    assert len(calls) == expected
    assert all("--quiet" in c and "genbook @ git+https://github.com/" in c and "==" not in c for c in calls)
