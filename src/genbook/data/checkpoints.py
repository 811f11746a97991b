"""The weights that travel with the book: each a `.safetensors` file beside a card that says where it comes from.

A checkpoint is made by `genbook train NAME`. Its card, `NAME.json`, names the command, the date, the steps, the
seed, the seconds, the machine, what was measured, and the SHA-256 of the weights, which `path` holds them to.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from genbook.data._files import data_folder

__all__ = ["card", "names", "path"]


def names(folder: Path | str | None = None) -> list[str]:
    """Return the names of the checkpoints that ship or lie in a folder of your own, in order."""
    return sorted(file.stem for file in _folder(folder).glob("*.json"))


def card(name: str, folder: Path | str | None = None) -> dict[str, Any]:
    """Return the card of a checkpoint: what it is, how it was made, what was measured, its digest.

    Raises ValueError for a name that is not there, and for a card that cannot be read.
    """
    known = names(folder)
    if name not in known:
        raise ValueError(f"no checkpoint is called {name!r}; there are: {', '.join(known) or 'none'}")
    file = _folder(folder) / f"{name}.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["command"], content["sha256"]
    except (ValueError, KeyError, TypeError) as error:  # no text, no JSON, or JSON without what every card has
        raise ValueError(
            f"{file} is no card of a checkpoint ({error!r}); `genbook train {name}` makes it"
        ) from None
    return content


def path(name: str, folder: Path | str | None = None) -> Path:
    """Return where the weights of a checkpoint lie, after holding the file to the SHA-256 of its card.

    Raises ValueError for a name that is not there or a file with another digest, FileNotFoundError for a card
    without weights.
    """
    about, file = card(name, folder), _folder(folder) / f"{name}.safetensors"
    again = f"`{about['command']}` makes it anew"
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise FileNotFoundError(f"{file} is missing, only its card is there; {again}") from None
    if found != about["sha256"]:
        raise ValueError(
            f"{file} is not the file of its card: expected SHA-256 {about['sha256']}, found {found}; {again}"
        )
    return file


def _folder(folder: Path | str | None) -> Path:
    return data_folder() / "checkpoints" if folder is None else Path(folder)
