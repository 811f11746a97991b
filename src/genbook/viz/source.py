"""Show a piece of the library's source inside a chapter, so that nothing is pasted and nothing drifts."""

from __future__ import annotations

import ast
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
    if not docstring:
        tree = ast.parse(text)
        body = tree.body if inspect.ismodule(thing) else getattr(tree.body[0], "body", None)
        if (
            isinstance(body, list)
            and ast.get_docstring(tree if inspect.ismodule(thing) else tree.body[0]) is not None
        ):
            lines = text.split("\n")
            before, after = lines[: body[0].lineno - 1], lines[body[0].end_lineno :]
            text = "\n".join(before + after).strip("\n")
    return _Source(text)
