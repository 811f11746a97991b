"""`genbook bench NAME`: measure what the book quotes and store it with its seeds and hardware."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genbook.cli import bench_density

__all__ = ["main"]

BENCHES: dict[str, Callable[[], dict[str, Any]]] = {"density": bench_density.measure}


def hardware() -> dict[str, Any]:
    """Return what a reader needs to judge the seconds: processor, cores, Python and the libraries' versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    versions = {package: version(package).split("+")[0] for package in ("torch", "numpy", "scikit-learn")}
    return {"cpu": name, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def store(name: str, results: dict[str, Any], folder: Path) -> Path:
    """Write `folder/NAME.json`, whole or not at all, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path, temporary = folder / f"{name}.json", folder / f".{name}.json.tmp"
    command = f"genbook bench {name}"
    record = {"command": command, "date": date.today().isoformat(), "hardware": hardware(), "results": results}
    try:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="genbook", description="Measure what the book quotes.")
    parser.add_argument("--version", action="version", version=f"genbook {version('genbook')}")
    commands = parser.add_subparsers(dest="command", required=True)
    bench = commands.add_parser("bench", help="measure several seeds and store the result")
    bench.add_argument("names", nargs="*", help=f"what to measure: {', '.join(BENCHES)} (default: all)")
    bench.add_argument("--folder", type=Path, default=Path("benchmarks"), help="where the JSON goes")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHES))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(BENCHES)}")
    for name in options.names or BENCHES:
        print(f"{name}: stored in {store(name, BENCHES[name](), options.folder)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
