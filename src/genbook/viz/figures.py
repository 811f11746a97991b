"""The plots that many chapters draw: a grid of images, a cloud of points, a density over a box."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from genbook.viz.style import colour_of, density_colours

__all__ = ["show_density", "show_images", "show_points"]


def _array(values: Any, **options: Any) -> np.ndarray:
    """Return a tensor (of any device, with or without a gradient) or whatever numpy takes as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, **options)


def show_images(
    images: Any,
    *,
    columns: int = 10,
    title: str | None = None,
    ax: Axes | None = None,
    low: float | None = None,
    high: float | None = None,
    gap: int = 1,
) -> Axes:
    """Draw images as one grid, row by row, dark ink on white; returns the axes.

    `images` is `(n, h, w)` or `(n, 1, h, w)`, a tensor or an array. `low` and `high` are the values shown as white
    and black (default: the images' own range). `gap` is the white space between images, in pixels.

    Raises ValueError for another shape and where `columns` is no whole number or less than 1.
    """
    if not isinstance(columns, Integral) or columns < 1:  # genbook.checks would bring torch
        raise ValueError(f"columns must be a whole number of at least 1, got {columns!r}")
    pixels = _array(images, dtype=float)
    if pixels.ndim == 4 and pixels.shape[1] == 1:
        pixels = pixels[:, 0]
    if pixels.ndim != 3 or len(pixels) == 0:
        raise ValueError(f"images must have shape (n, h, w) or (n, 1, h, w), got {pixels.shape}")
    n, h, w = pixels.shape
    low = float(pixels.min()) if low is None else low
    high = float(pixels.max()) if high is None else high
    columns = min(columns, n)
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap), np.nan)
    for i, image in enumerate(pixels):  # a few dozen images at most
        top, left = (i // columns) * (h + gap), (i % columns) * (w + gap)
        sheet[top : top + h, left : left + w] = image
    if ax is None:
        width = 5.2
        _, ax = plt.subplots(
            figsize=(width, max(0.7, width * sheet.shape[0] / sheet.shape[1]) + 0.35 * bool(title))
        )
    ax.imshow(sheet, vmin=low, vmax=high, cmap="gray_r")
    ax.set_axis_off()
    if title:
        ax.set_title(title)
    return ax


def show_points(x: Any, *, meaning: str = "data", ax: Axes | None = None, limit: int = 2000, **style: Any) -> Axes:
    """Scatter the first `limit` points of `x`, `(n, 2)`, in the colour of `meaning`; returns the axes.

    `style` goes to matplotlib's `scatter`. There `c` (or `color`) takes the place of `meaning`; `c` and `s` may
    hold one value a point, `(n,)`. Raises ValueError for points of another shape and an unknown meaning.
    """
    points, usual = _array(x), {"s": 4, "alpha": 0.6, "linewidths": 0, "color": colour_of(meaning)}
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"x must have shape (n, 2), got {points.shape}")
    ax = plt.subplots(figsize=(3.2, 3.2))[1] if ax is None else ax
    if "c" in style:
        del usual["color"]
    for name in {"c", "s"} & set(style):  # one value a point: cut like the points
        if (
            not isinstance(style[name], str)
            and np.ndim(values := _array(style[name]))
            and len(values) == len(points)
        ):
            style[name] = values[:limit]
    ax.scatter(*points[:limit].T, **usual | style)
    ax.set_aspect("equal")
    return ax


def show_density(
    log_prob: Callable[[Any], Any],
    bounds: Any,
    *,
    meaning: str = "model",
    ax: Axes | None = None,
    points: int = 200,
    **style: Any,
) -> Axes:
    """Draw a density over a box of one or two dimensions; returns the axes.

    `log_prob` maps a float32 tensor `(m, d)` to `(m,)` in nats; `bounds` is `(2, d)`. One dimension gives a curve,
    two give a picture whose colour runs from white to the colour of `meaning`.

    Raises ValueError for bounds of another shape and an unknown meaning.
    """
    import torch  # here, so that drawing images needs no torch

    colour, corners = colour_of(meaning), _array(bounds, dtype=float)
    if corners.ndim != 2 or corners.shape[0] != 2 or corners.shape[1] not in (1, 2):
        raise ValueError(f"bounds must have shape (2, 1) or (2, 2), got {corners.shape}")
    axes = [torch.linspace(low, high, points) for low, high in corners.T]
    with torch.no_grad():
        if len(axes) == 1:
            density = log_prob(axes[0][:, None]).exp()
            ax = plt.subplots()[1] if ax is None else ax
            ax.plot(axes[0].numpy(), density.numpy(), **{"color": colour} | style)
            return ax
        density = log_prob(torch.cartesian_prod(*axes)).exp().view(points, points)
    ax = plt.subplots(figsize=(3.2, 3.2))[1] if ax is None else ax
    ax.imshow(
        density.T.numpy(),
        origin="lower",
        extent=(corners[0, 0], corners[1, 0], corners[0, 1], corners[1, 1]),
        **{"cmap": density_colours(meaning), "interpolation": "bilinear"} | style,
    )
    return ax
