"""Inverse transform sampling: push uniform draws through the inverse of the cumulative distribution."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genbook.checks import check_count

__all__ = ["inverse_transform"]


def inverse_transform(grid: Tensor, cumulative: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
    """Draw `n` numbers, shape `(n,)`, from the distribution whose cumulative function is tabulated.

    `grid` is `(m,)` and increasing; `cumulative` is `(m,)`, starts at 0, ends at 1 and never falls. Between two
    entries the function is taken as a straight line, which is exact for a density that is flat in each cell.
    Raises ValueError where the table is no cumulative function.
    """
    check_count(n)
    if grid.ndim != 1 or grid.shape != cumulative.shape or not grid.is_floating_point():
        raise ValueError(
            f"grid and cumulative must be floating and of one shape (m,), got {grid.dtype} {tuple(grid.shape)} "
            f"and {tuple(cumulative.shape)}"
        )
    rising = bool((cumulative.diff() >= 0).all()) and bool((grid.diff() > 0).all())
    if not rising or abs(float(cumulative[0])) > 1e-6 or abs(float(cumulative[-1]) - 1) > 1e-6:
        raise ValueError(
            "cumulative must rise from 0 to 1 on an increasing grid, "
            f"got {float(cumulative[0]):.3g} to {float(cumulative[-1]):.3g}"
        )
    uniform = torch.rand(n, generator=generator, dtype=torch.float64).to(cumulative.device)
    table = cumulative.to(torch.float64)
    table = (table - table[0]) / (table[-1] - table[0])  # exactly 0 to 1: no draw falls off the end
    right = torch.searchsorted(table, uniform, right=True).clamp(1, len(table) - 1)
    share = (uniform - table[right - 1]) / (table[right] - table[right - 1])
    return (grid[right - 1] + share * (grid[right] - grid[right - 1])).to(grid.dtype)
