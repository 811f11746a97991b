"""Live labs: trained models that run in the reader's browser, one self-contained HTML file each."""

from __future__ import annotations

from typing import Any

from genbook.labs.frames import show

__all__ = ["export", "show"]


def __getattr__(name: str) -> Any:
    """Import `export` when it is asked for: it needs PyTorch, `show` does not."""
    if name == "export":
        from genbook.labs.pages import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
