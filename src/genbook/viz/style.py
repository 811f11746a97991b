"""The visual language: a colour has one meaning in every figure, on the site and in the labs.

`palette.json` beside this file is the one place where the colours stand; the site's style sheet is made from it.
Figures are drawn for a white ground; the site turns them over in dark mode, so that black truth becomes white.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

__all__ = ["COLOURS", "colour_of", "density_colours", "use_style"]

PALETTE = json.loads((Path(__file__).parent / "palette.json").read_text(encoding="utf-8"))

#: The colour of each meaning on a white ground: data, model, noise, truth, attention.
COLOURS: dict[str, str] = {meaning: entry["light"] for meaning, entry in PALETTE.items()}


def use_style() -> None:
    """Draw every later figure of this session in the book's style."""
    plt.style.use(Path(__file__).parent / "genbook.mplstyle")
    mpl.rcParams["axes.prop_cycle"] = mpl.cycler(
        color=[COLOURS[name] for name in ("model", "data", "attention", "noise", "truth")]
    )


def colour_of(meaning: str) -> str:
    """Return the colour of `meaning` as "#rrggbb"; raises ValueError for a meaning that the palette lacks."""
    if meaning not in COLOURS:
        raise ValueError(f"meaning must be one of {', '.join(COLOURS)}, got {meaning!r}")
    return COLOURS[meaning]


def density_colours(meaning: str = "model") -> LinearSegmentedColormap:
    """Return a colour map from white (no density) to the colour of `meaning` (`data`, `model`, `truth` …)."""
    return LinearSegmentedColormap.from_list(meaning, ["#FFFFFF", colour_of(meaning)])
