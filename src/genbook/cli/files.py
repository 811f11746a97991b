"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_together"]


def write_together(files: dict[Path, bytes]) -> None:
    """Write files into one folder: all to temporary names first, then each takes its own, in the order given."""
    temporary = {path: path.with_name(f".{path.name}.tmp") for path in files}
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path].write_bytes(content)
        for path in files:
            os.replace(temporary[path], path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
