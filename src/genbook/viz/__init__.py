"""Figures: the book's style and colours, and the few plots that many chapters draw."""

from genbook.viz.figures import show_density, show_images, show_points
from genbook.viz.source import show_source
from genbook.viz.style import COLOURS, density_colours, use_style

__all__ = [
    "COLOURS",
    "density_colours",
    "show_density",
    "show_images",
    "show_points",
    "show_source",
    "use_style",
]
