"""Show a piece of the library's source inside a chapter, so that nothing is pasted and nothing drifts."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

__all__ = ["show_source"]


class _Source:
    """Source text that a notebook shows with highlighting, and a terminal as plain text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"

    def __repr__(self) -> str:
        return self.text


def show_source(thing: Any, *, docstring: bool = False) -> _Source:
    """Return the source of a function, method, class or module for display; without its docstring by default.

    Raises TypeError for something that has no source file.
    """
    text = textwrap.dedent(inspect.getsource(thing)).rstrip()
    documentation = getattr(thing, "__doc__", None)
    if not docstring and documentation:
        for quote in ('r"""', '"""'):
            start = text.find(quote)
            if start >= 0:
                end = text.index('"""', start + len(quote)) + 3
                line = text.rfind("\n", 0, start)
                text = text[: max(line, 0)] + text[end:]
                break
    return _Source(text)
