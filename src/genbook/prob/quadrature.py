"""Integrals over a box by the midpoint rule: how the book checks that a density integrates to 1."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["evaluate", "integrate", "midpoints"]


def midpoints(bounds: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return the midpoints of a regular grid on a box and the volume of one cell.

    `bounds` is `(2, d)`: the lower corner, then the upper one. The midpoints are `(points ** d, d)` in float64,
    in the order of `torch.cartesian_prod`; the volume is a scalar. Raises ValueError where `bounds` is no box.
    """
    bounds = torch.as_tensor(bounds, dtype=torch.float64)
    if bounds.ndim != 2 or bounds.shape[0] != 2 or not bool((bounds[1] > bounds[0]).all()):
        raise ValueError(f"bounds must be a (2, d) tensor with lower < upper, got {bounds.tolist()}")
    step = (bounds[1] - bounds[0]) / points
    middle = torch.arange(points, dtype=torch.float64) + 0.5
    axes = [bounds[0, i] + step[i] * middle for i in range(bounds.shape[1])]
    grid = axes[0][:, None] if len(axes) == 1 else torch.cartesian_prod(*axes)
    return grid, step.prod()


@torch.no_grad()
def integrate(function: Callable[[Tensor], Tensor], bounds: Tensor, points: int = 1000) -> float:
    """Return the integral of `function` over the box `bounds` by the midpoint rule with `points` per axis.

    `function` maps `(m, d)` float64 to `(m,)`. For a smooth function that is negligible at the edges of the box
    the error falls faster than any power of the step; across a jump it falls like the step.
    """
    grid, volume = midpoints(bounds, points)
    return float(evaluate(function, grid).sum() * volume)


def evaluate(function: Callable[[Tensor], Tensor], grid: Tensor, *, name: str = "function") -> Tensor:
    """Return `function(grid)`, shape `(m,)`; ValueError names a place where it is NaN, or a wrong shape."""
    values = function(grid)
    if values.shape != (len(grid),):
        raise ValueError(f"{name} must map ({len(grid)}, d) to ({len(grid)},), got {tuple(values.shape)}")
    if bool(values.isnan().any()):
        raise ValueError(f"{name} is NaN at {grid[values.isnan()][0].tolist()}")
    return values
