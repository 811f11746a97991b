"""A live lab in a notebook: `show("gans")` puts the built file into a sandboxed frame below the cell.

The notebook stores a link and a line of text, never the file, which holds the weights. The file reaches the page
on a way that leaves no trace in the outputs: in Colab by `eval_js`, elsewhere by a widget, whose state JupyterLab
keeps in memory unless it is told to save it (`nbconvert --execute` saves it; `make execute` takes it out again).
Where neither is to be had the frame is written out as HTML, marked in its metadata (`{"genbook": "lab-frame"}`) so
that a tool can drop it before a notebook is stored.

In its frame the lab may run its scripts and nothing else: it sees neither the notebook nor the network.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

__all__ = ["Shown", "built", "names", "show"]

BUILT = Path(__file__).parent / "built"
#: Where the labs of the published book are; `make set-repository` carries the address.
SITE = "https://how-generative-ai-works.github.io/book/labs"


def names(folder: Path | str | None = None) -> list[str]:
    """Return the names of the labs that travel with the package, or lie in a folder of your own, in order."""
    return sorted(path.stem for path in _folder(folder).glob("*.html"))


def built(name: str, folder: Path | str | None = None) -> Path:
    """Return the file of the lab `name`; raises ValueError for a name that is not there."""
    if name not in (known := names(folder)):
        raise ValueError(f"no lab is called {name!r}; there are: {', '.join(known) or 'none'}")
    return _folder(folder) / f"{name}.html"


def show(name: str, *, height: int = 720, folder: Path | str | None = None) -> Shown:
    """Return the lab `name`, to be displayed in a frame of `height` pixels: the last line of a cell, or `display`.

    Raises ValueError for a name that is not there and for a height below 100.
    """
    if isinstance(height, bool) or not isinstance(height, int) or height < 100:
        raise ValueError(f"height must be a whole number of at least 100 pixels, got {height!r}")
    return Shown(built(name, folder), height)


class Shown:
    """A lab that a notebook can display: its built file `path` in a frame of `height` pixels."""

    def __init__(self, path: Path, height: int) -> None:
        self.path, self.height = path, height
        self.name = path.stem

    def __repr__(self) -> str:
        """Return the short text that stands for the lab where nothing can be drawn."""
        return f"live lab {self.name!r}: {self.title}"

    @property
    def link(self) -> str:
        """The lab's address on the published site."""
        return f"{SITE}/{self.name}.html"

    @property
    def title(self) -> str:
        """The title that the lab's file gives itself."""
        return html.unescape(re.search(r"<title>(.*?)</title>", self._source(), re.DOTALL)[1])

    def short(self) -> str:
        """Return what the notebook stores, a link and a line of text as HTML; the site puts the lab there."""
        text = f"Live lab: {html.escape(self.title)}"
        return (
            f'<p class="genbook-lab" data-lab="{self.name}" data-height="{self.height}">'
            f'<a href="{self.link}">{text}</a></p>'
        )

    def frame(self) -> str:
        """Return the lab as a frame with its whole file inside, as HTML without a script of its own."""
        inside = html.escape(self._source())
        style = f"width:100%;height:{self.height}px;border:0"
        return (
            f'<iframe sandbox="allow-scripts" style="{style}" title="{html.escape(self.title)}" srcdoc="{inside}">'
            "</iframe>"
        )

    def _ipython_display_(self) -> None:
        """Display the link, which is stored, and below it the frame, which is not."""
        from IPython.display import display

        place = f"genbook-lab-{uuid4().hex}"
        in_colab = _colab_output()
        short = f'{self.short()}<div id="{place}"></div>' if in_colab else self.short()
        display({"text/html": short, "text/plain": repr(self)}, raw=True)
        if in_colab and _fill(in_colab, place, self.frame()):
            return
        data, metadata = self._frame_bundle()
        display(data, metadata=metadata, raw=True)

    def _frame_bundle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the frame as a mimebundle and its metadata: a view of a widget, or where there is none, HTML."""
        try:
            from ipywidgets import HTML, Layout
        except ImportError:
            return {"text/html": self.frame(), "text/plain": repr(self)}, {"genbook": "lab-frame"}
        # the widget holds the frame; the output only names the widget
        widget = HTML(self.frame(), layout=Layout(width="100%"))
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": repr(self)}, {}

    def _source(self) -> str:
        return self.path.read_text(encoding="utf-8")


def _colab_output() -> Any:
    """Return Colab's module of that name, or None elsewhere."""
    try:
        from google.colab import output
    except ImportError:
        return None
    return output if hasattr(output, "eval_js") else None


def _fill(output: Any, place: str, content: str) -> bool:
    """Put HTML into the element `place` of a Colab cell; returns whether that worked. Colab stores none of it.

    A widget would not do: Colab stores the state of all widgets with the notebook.
    """
    script = f"""(async () => {{
      for (let tries = 0; tries < 50; tries++) {{
        const place = document.getElementById({json.dumps(place)});
        if (place) {{ place.innerHTML = {json.dumps(content)}; return "shown"; }}
        await new Promise((resolve) => setTimeout(resolve, 100));
      }}
      return "no place";
    }})()"""
    try:
        return output.eval_js(script, timeout_sec=20) == "shown"
    except Exception:  # Colab's own kinds: nobody answers, or the page refuses; a widget then shows the lab
        return False


def _folder(folder: Path | str | None) -> Path:
    return BUILT if folder is None else Path(folder)
