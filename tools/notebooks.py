"""Chapters by command: `pairs` checks the files, `execute` runs and stores, `test` runs all under nbval."""

from __future__ import annotations

import argparse
import base64
import datetime
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

import chapters

ROOT = chapters.ROOT
STATUS = ROOT / "benchmarks" / "chapters.json"
WIDGET = "application/vnd.jupyter.widget-view+json"
#: One state of a tqdm bar: `fit:  50%|█████     | 5/10 [00:01<00:01, 5.0it/s]`, or `7it [00:01, 5.0it/s]`.
BAR = re.compile(r"[^\r\n]*?(?:\d+%\|[^\r\n|]*\| ?)?\d[\w./]*(?:it)? \[\d+:\d+[^\]\r\n]*\](?:\x1b\[A)?\s*")


def smaller(png: str) -> str:
    """Return a base64 PNG with a palette of 256 colours: to the eye the same figure, in a third of the bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    packed = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return min(base64.b64encode(packed.getvalue()).decode(), png, key=len)


def without_bars(text: str) -> str:
    """Return a stream's text without the states of progress bars: what else stands in it, a warning say, stays."""
    lines = [piece for line in text.split("\n") for piece in line.split("\r")]
    if not any(BAR.fullmatch(line) for line in lines):
        return text
    return "\n".join(line for line in lines if line.strip(" \x1b[A") and not BAR.fullmatch(line))


def clean(notebook: nbformat.NotebookNode) -> None:
    """Strip what must not be stored (widget views, progress bars, timestamps) and pack the figures."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr" and (rest := without_bars(output.text)) != output.text:
                if not rest:
                    continue  # progress bars and nothing else
                output.text = rest  # a warning beside a bar stays, and is refused
            if WIDGET in output.get("data", {}):
                continue  # needs a kernel; the cell leaves a static figure beside it
            if output.get("metadata", {}).get("genbook") == "lab-frame":
                continue  # a whole lab with its weights; the link that stands beside it stays
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
            kept.append(output)
        if cell.cell_type == "code":
            cell.outputs = kept


def execute(name: str, threads: int) -> tuple[str, dict]:
    """Run one chapter from its `.md`, store its outputs in the `.ipynb`; return what the status page shows."""
    path = ROOT / "chapters" / f"{name}.ipynb"
    if path.exists():  # keep the cell ids: a sync, not a new notebook; of a copy, for a cell may fail
        with tempfile.TemporaryDirectory() as folder:
            copy = shutil.copy(path, folder)
            subprocess.run([sys.executable, "-m", "jupytext", "--quiet", "--update", "--to", "ipynb",
                            "--output", copy, str(path.with_suffix(".md"))], check=True)  # fmt: skip
            notebook = nbformat.read(copy, as_version=4)
        for cell, source in zip(notebook.cells, jupytext.read(path.with_suffix(".md")).cells, strict=True):
            cell.metadata = source.metadata  # an update may leave the tags of the cell that stood there before
    else:
        notebook = jupytext.read(path.with_suffix(".md"))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources, record_timing=False,
                            coalesce_streams=True)  # fmt: skip
    start, first = time.perf_counter(), None
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            if first is None and any("image/png" in o.get("data", {}) for o in cell.get("outputs", [])):
                first = time.perf_counter() - start
        seconds = time.perf_counter() - start
        status = Path(f"/proc/{client.km.provisioner.pid}/status")
        peak = [line for line in status.read_text().splitlines() if "VmHWM" in line] if status.exists() else []
    clean(notebook)
    notebook.metadata.pop("genbook", None)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["genbook"] = {"digest": chapters.digest(notebook)}
    replace(path, nbformat.writes(notebook) + "\n")
    code = [c.source for c in notebook.cells if c.cell_type == "code"]
    return name, {
        "seconds": round(seconds, 1),
        "first_figure_seconds": None if first is None else round(first, 1),
        "peak_mb": int(peak[0].split()[1]) // 1024 if peak else None,
        "cells": len(code),
        "asserts": sum(line.lstrip().startswith("assert ") for source in code for line in source.splitlines()),
        "kb": path.stat().st_size // 1000,
        "threads": threads,
        "torch": version("torch"),
        "python": platform.python_version(),
        "cpu": cpu(),
        "date": datetime.date.today().isoformat(),
    }


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def cpu() -> str:
    """Return the processor's name and the number of its cores that this machine has."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{name}, {os.cpu_count()} cores"


def run_execute(names: list[str], workers: int) -> int:
    """Execute chapters in parallel processes, share the cores among them, and store the status figures."""
    names = names or chapters.named_in_toc()
    workers = min(workers, len(names))
    with ProcessPoolExecutor(workers) as pool:
        jobs = {n: pool.submit(execute, n, max(1, (os.cpu_count() or 2) // workers)) for n in names}
    failed = {n: job.exception() for n, job in jobs.items() if job.exception()}
    status = json.loads(STATUS.read_text()) if STATUS.exists() else {}
    status |= dict(job.result() for n, job in jobs.items() if n not in failed)
    status = {n: status[n] for n in chapters.named_in_toc() if n in status}
    replace(STATUS, json.dumps(status, indent=2) + "\n")
    for name in names:
        print(f"{name}: FAILED\n{failed[name]}" if name in failed else f"{name}: {status.get(name)}")
    return len(failed)


def run_test(workers: int) -> int:
    """Run every chapter of `_toc.yml` under nbval and print how many of how many ran."""
    names = chapters.named_in_toc()
    report = ROOT / "_build" / "notebooks.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    threads = max(1, (os.cpu_count() or 2) // min(workers, len(names)))
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300",
         "-n", str(workers), "--dist", "loadfile", "-o", "addopts=", "-o", "filterwarnings=",
         "-p", "no:cacheprovider",
         f"--junitxml={report}", *(f"chapters/{n}.ipynb" for n in names)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else []
    ran = {c.get("classname", "").replace("/", ".").split(".")[1] for c in cases if c.find("skipped") is None}
    print(f"notebooks executed: {len(ran & set(names))} of {len(names)}")
    return result.returncode or (ran != set(names))


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["pairs", "execute", "test"])
    parser.add_argument("names", nargs="*", help="chapters to execute (default: all)")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.command == "pairs":
        found = chapters.faults()
        print("\n".join(found) or f"chapters in step: {len(chapters.named_in_toc())}")
        return len(found)
    if arguments.command == "execute":
        return run_execute(arguments.names, arguments.workers)
    return run_test(arguments.workers)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
