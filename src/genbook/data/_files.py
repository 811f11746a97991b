"""Where the shipped files lie, and how a file is written so that nobody ever sees half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PACKAGE = Path(__file__).resolve().parents[1]


def data_folder() -> Path:
    """Return the folder of the shipped files: `genbook/_data` in an installed package, `data/` in a checkout."""
    installed = PACKAGE / "_data"
    folder = installed if installed.is_dir() else PACKAGE.parents[1] / "data"
    if not folder.is_dir():
        raise FileNotFoundError(f"the shipped data is neither in {installed} nor in {folder}: install again")
    return folder


@contextmanager
def atomic_write(path: Path | str) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; on success it takes the name `path`, on any error it is removed.

    Raises FileNotFoundError where the folder of `path` is not there.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
