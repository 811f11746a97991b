"""The stored measurements that chapters read: what takes too long to run live is measured by `genbook bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genbook.data._files import PACKAGE, data_folder

__all__ = ["load"]


def load(name: str) -> dict[str, Any]:
    """Return the record of `genbook bench NAME`: its command, date, hardware and results.

    Raises ValueError for a name without a record, and for one that cannot be read.
    """
    folder = _folder()
    known = sorted(file.stem for file in folder.glob("*.json"))
    if name not in known:
        raise ValueError(f"no measurement is called {name!r}; there are: {', '.join(known) or 'none'}")
    try:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{folder / name}.json is no JSON ({error}); `genbook bench {name}` makes it") from None


def _folder() -> Path:
    """Return `genbook/_data/benchmarks` in an installed package, `benchmarks/` in a checkout."""
    installed = data_folder() / "benchmarks"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "benchmarks"
