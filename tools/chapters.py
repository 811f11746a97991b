"""The chapters as files: which there are, and what must be true of a notebook before it is published.

`faults(root)` returns every broken promise as one line of text; `make lint` and the tests print them.
"""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from pathlib import Path

import jupytext
import nbformat
import yaml

from first_cell import FIRST_CELL

ROOT = Path(__file__).resolve().parents[1]
MOST_KILOBYTES, MOST_LINES = 700, 40


def named_in_toc(root: Path = ROOT) -> list[str]:
    """Return the names of the chapters that `_toc.yml` lists, in its order."""

    def walk(node):
        if isinstance(node, dict):
            yield from ([node["file"]] if "file" in node else [])
            node = list(node.values())
        for child in node if isinstance(node, list) else []:
            yield from walk(child)

    files = walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8")))
    return [name.removeprefix("chapters/") for name in files if name.startswith("chapters/")]


def digest(notebook: nbformat.NotebookNode) -> str:
    """Return the SHA-256 of every cell's source and outputs: it changes when a stored output is edited."""
    cells = [[c.cell_type, c.source, c.get("execution_count"), c.get("outputs", [])] for c in notebook.cells]
    return hashlib.sha256(json.dumps(cells, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def faults(root: Path = ROOT) -> list[str]:
    """Return what is wrong with the chapters under `root`: the folder, the pairs, the stored outputs."""
    named, folder = named_in_toc(root), root / "chapters"
    out = [f"{n}: named twice in _toc.yml" for n in {n for n in named if named.count(n) > 1}]
    present = {p.stem for p in folder.glob("*.ipynb")} | {p.stem for p in folder.glob("*.md")}
    out += [f"{n}: in chapters/ but not in _toc.yml" for n in sorted(present - set(named))]
    for name in named:
        pair = folder / f"{name}.ipynb", folder / f"{name}.md"
        missing = [p.name for p in pair if not p.exists()]
        out += [f"{name}: {m} is missing" for m in missing]
        if not missing:
            out += [f"{name}: {fault}" for fault in (*pair_faults(*pair), *stored_faults(pair[0]))]
    return out


def pair_faults(ipynb: Path, md: Path) -> list[str]:
    """Compare the two halves of a chapter cell by cell, by content and not by file time."""
    halves = [jupytext.read(path).cells for path in (ipynb, md)]
    if len(halves[0]) != len(halves[1]):
        return [f"the pair is out of step: {len(halves[0])} cells in .ipynb, {len(halves[1])} in .md"]
    out = []
    for i, (a, b) in enumerate(zip(*halves, strict=True)):
        same = (a.cell_type, a.source.strip(), dict(a.metadata)) == (
            b.cell_type,
            b.source.strip(),
            dict(b.metadata),
        )
        if not same:
            out.append(f"the pair is out of step at cell {i}: {a.source[:50]!r} is not {b.source[:50]!r}")
    return out


def stored_faults(path: Path) -> list[str]:
    """Check what is stored in one notebook: every cell run in order, clean outputs, alt text, sizes."""
    notebook = nbformat.read(path, as_version=4)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    out = []
    if [c.execution_count for c in code] != list(range(1, len(code) + 1)):
        out.append("not executed from top to bottom (a code cell lacks its count): make execute")
    if notebook.metadata.get("genbook", {}).get("digest") != digest(notebook):
        out.append("the stored outputs are not those of the last execution: make execute")
    if not any(c.outputs for c in code):
        out.append("no stored outputs")
    if not code or code[0].source.strip() != FIRST_CELL.strip():
        out.append("the first code cell is not that of tools/first_cell.py")
    if notebook.metadata.get("widgets"):
        out.append("widget state is stored")
    if (size := path.stat().st_size // 1000) > MOST_KILOBYTES:
        out.append(f"{size} kB, more than {MOST_KILOBYTES}")
    for i, cell in enumerate(code, start=1):
        text = json.dumps(cell.outputs)
        if any(o.output_type == "error" for o in cell.outputs):
            out.append(f"code cell {i} stores an error")
        if any(o.get("name") == "stderr" for o in cell.outputs):
            out.append(f"code cell {i} stores a warning or other stderr")
        if "image/png" in text and not cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
            out.append(f"code cell {i} draws a figure without alt text")
        if re.search(r"/(home|root|work|tmp|Users)/", text):
            out.append(f"code cell {i} shows a path of this machine")
    lines = sorted(sum(bool(line.strip()) for line in c.source.splitlines()) for c in code) or [0]
    if lines[-1] > MOST_LINES or statistics.median(lines) > 8 or lines[int(0.9 * (len(lines) - 1))] > 20:
        out.append(f"code cells too long: median {statistics.median(lines)}, longest {lines[-1]} lines")
    return out
