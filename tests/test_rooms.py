"""The rooms of `src/genbook`: who may import whom, read from the source and enforced."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import genbook

ROOT = Path(genbook.__file__).parent
#: What each room may import of the package. `checks` lies under all rooms.
MAY_IMPORT = {
    "checks": set(),
    "protocols": set(),
    "data": set(),
    "prob": set(),
    "nn": set(),
    "samplers": set(),
    "models": {"prob", "nn", "samplers"},
    "train": {"protocols"},
    "evaluate": {"protocols", "prob", "nn", "samplers"},
    "viz": set(),
    "labs": {"nn"},
    "cli": {"checks", "protocols", "data", "prob", "nn", "samplers", "models", "train", "evaluate", "viz", "labs"},
}
#: Families that are compositions of others, written down one by one.
COMPOSITIONS: dict[str, set[str]] = {}
#: Modules outside `viz` that may import part of matplotlib: its fonts are the glyphs' origin, and commands draw.
MATPLOTLIB = {
    "data.glyph_renderer": {"matplotlib", "matplotlib.ft2font"},
    "data.photos": {"matplotlib"},
    "cli.labs": {"matplotlib"},
    "cli.grade_report": {"matplotlib.figure"},
    "cli.grade_run": {"matplotlib"},  # where its list of fonts lies
}
NETWORK_AND_FILES = {"data", "train", "cli"}
FORBIDDEN_CALLS = {
    "print": "prints",
    "manual_seed": "seeds",
    "set_num_threads": "sets threads",
    "cuda": "chooses a device",
    "set_default_device": "chooses a device",
}
NETWORK = {"urllib", "socket", "requests", "http", "ftplib", "pooch"}
#: Imports of such names that reach nobody: a pair of sockets within the machine, the spelling of addresses.
NO_NETWORK = {"cli.grade_sandbox": {"socket"}, "cli.grade_report": {"urllib.parse", "urllib.parse.quote"}}
FILE_CALLS = {"open", "read_text", "write_text", "read_bytes", "write_bytes", "load", "save", "savez", "urlopen"}
#: Files of the package's own that a module outside `data`, `train` and `cli` may read, or here write: the labs.
MAY_READ = {"viz.style": {"read_text"}, "labs.frames": {"read_text"}, "labs.pages": {"read_text", "write_text"}}
#: Modules with a command of their own (`make glyphs`), which says what it wrote.
MAY_WRITE_TO_THE_TERMINAL = {"data.glyph_renderer"}


def modules(root: Path = ROOT) -> list[Path]:
    return sorted(p for p in root.rglob("*.py") if "_data" not in p.parts)


def dotted(path: Path, root: Path = ROOT) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide which room is meant"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def faults(root: Path = ROOT) -> list[str]:
    """Return every broken rule as one line."""
    out = []
    for path in modules(root):
        name = dotted(path, root)
        room = name.split(".")[0] if path != root / "__init__.py" else ""
        names = imports(path)
        ours = {n.removeprefix("genbook.") for n in names if n.startswith("genbook.")}
        if room == "":
            out += [f"__init__ re-exports {n}" for n in sorted(ours)]
            continue
        if room not in MAY_IMPORT:
            out.append(f"{name}: no such room")
            continue
        for other in sorted(ours):
            target = other.split(".")[0]
            if target != room and target != "checks" and target not in MAY_IMPORT[room]:
                out.append(f"{name} imports {other}: {room} may not import {target}")
            if room == target == "models" and other.split(".")[1] not in COMPOSITIONS.get(path.stem, {path.stem}):
                out.append(f"{name} imports {other}: families do not import each other")
        for other in sorted(n for n in names if n.split(".")[0] == "matplotlib" and room != "viz"):
            if not any(other == a or other.startswith(f"{a}.") for a in MATPLOTLIB.get(name, ())):
                out.append(f"{name} imports {other}: no matplotlib outside viz")
        names -= NO_NETWORK.get(name, set())
        for other in sorted(n for n in names if n.split(".")[0] in NETWORK and room != "data"):
            out.append(f"{name} imports {other}: no network outside data")
        out += calls(path, name, room)
    return out


def calls(path: Path, name: str, room: str) -> list[str]:
    out = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        whole = ast.unparse(node.func)
        if room != "cli" and (whole.endswith("random.seed") or whole in {"torch.seed", "torch.cuda.seed"}):
            out.append(f"{name}:{node.lineno} seeds")
        terminal = whole.endswith(("stdout.write", "stderr.write"))
        if terminal and room != "cli" and name not in MAY_WRITE_TO_THE_TERMINAL:
            out.append(f"{name}:{node.lineno} prints")
        passed = [*node.args, *(keyword.value for keyword in node.keywords)]
        if room != "cli" and called == "to" and any(names_cuda(value) for value in passed):
            out.append(f"{name}:{node.lineno} chooses a device")
        if called in FORBIDDEN_CALLS and room != "cli" and not (room == "train" and called == "manual_seed"):
            local = called == "manual_seed" and isinstance(node.func.value, ast.Call)  # a Generator of its own
            if not local:
                out.append(f"{name}:{node.lineno} {FORBIDDEN_CALLS[called]}")
        if called in FILE_CALLS - MAY_READ.get(name, set()) and room not in NETWORK_AND_FILES:
            out.append(f"{name}:{node.lineno} {called} opens a file outside data and train")
    return out


def names_cuda(value: ast.expr) -> bool:
    """Whether "cuda" or "cuda:1" stands in the value as a literal, also as `torch.device("cuda")`."""
    literals = (n.value for n in ast.walk(value) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return any(text.split(":")[0] == "cuda" for text in literals)


def test_the_rooms_keep_to_their_walls():
    assert faults() == []


def test_every_room_of_the_table_exists():
    present = {dotted(p).split(".")[0] for p in modules()} - {"", "__init__"}
    assert present == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("path", "line", "message"),
    [
        ("models/intruder.py", "from genbook.data.truths import Moons", "models may not import data"),
        ("models/intruder.py", "from genbook.models.mixture import GaussianMixture", "families do not import"),
        ("train.py", "import genbook.models.mixture", "train may not import models"),
        ("data/intruder.py", "from genbook.prob import gaussian", "data may not import prob"),
        ("prob/intruder.py", "import matplotlib.pyplot as plt", "no matplotlib outside viz"),
        ("samplers/intruder.py", "print(1)", "prints"),
        ("models/intruder.py", "import torch; torch.manual_seed(0)", "seeds"),
        ("models/intruder.py", "net.cuda()", "chooses a device"),
        ("models/intruder.py", "net.to('cuda')", "chooses a device"),
        ("train.py", "net.to(device=torch.device('cuda:1'))", "chooses a device"),
        ("train.py", "torch.set_default_device('cpu')", "chooses a device"),
        ("train.py", "print(1)", "prints"),
        ("prob/intruder.py", "import sys; sys.stdout.write('x')", "prints"),
        ("samplers/intruder.py", "import numpy as np; np.random.seed(0)", "seeds"),
        ("train.py", "import random; random.seed(0)", "seeds"),
        ("samplers/intruder.py", "torch.seed()", "seeds"),
        ("evaluate/intruder.py", "open('x')", "opens a file"),
        ("evaluate/intruder.py", "import torch; torch.load('x')", "load opens a file"),
        ("models/intruder.py", "torch.save({}, 'x')", "save opens a file"),
        ("prob/intruder.py", "np.savez('x', a=1)", "savez opens a file"),
        ("nn/intruder.py", "Path('x').read_bytes()", "read_bytes opens a file"),
        ("viz/style.py", "Path('x').write_text('')", "write_text opens a file"),
        ("viz/figures.py", "Path('x').read_text()", "read_text opens a file"),
        ("evaluate/intruder.py", "urlopen('x')", "urlopen opens a file"),
        ("train.py", "import urllib.request", "no network outside data"),
        ("cli/intruder.py", "from http.client import HTTPConnection", "no network outside data"),
        ("evaluate/intruder.py", "import pooch", "no network outside data"),
        ("viz/intruder.py", "from socket import socket", "no network outside data"),
        ("attic/intruder.py", "import math", "no such room"),
        ("__init__.py", "from genbook.train import fit", "re-exports"),
    ],
)
def test_a_broken_wall_is_seen(tmp_path, path, line, message):
    target = tmp_path / path
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_text(line + "\n")
    assert any(message in fault for fault in faults(tmp_path)), faults(tmp_path)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("train.py", "devices = [device] if device.type == 'cuda' else []"),
        ("train.py", "torch.manual_seed(0); path.write_text(''); batch.to(device)"),
        ("models/intruder.py", "x.to(torch.float64)"),
        ("samplers/intruder.py", "import torch; torch.Generator().manual_seed(0)"),
        ("data/intruder.py", "import socket, urllib.request; path.read_bytes()"),
        ("viz/style.py", "Path('x').read_text()"),
    ],
)
def test_what_is_allowed_is_not_refused(tmp_path, path, line):
    target = tmp_path / path
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_text(line + "\n")
    assert faults(tmp_path) == []


def test_a_family_fits_on_a_few_screens():
    long = {p.name: n for p in (ROOT / "models").glob("*.py") if (n := len(p.read_text().splitlines())) > 220}
    assert not long, f"one family, one file, about 200 lines: {long}"
