"""Inverse transform sampling: push uniform draws through the inverse of the cumulative distribution."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["inverse_transform"]


def inverse_transform(grid: Tensor, cumulative: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
    """Draw `n` numbers, shape `(n,)`, from the distribution whose cumulative function is tabulated.

    `grid` is `(m,)` and increasing; `cumulative` is `(m,)`, starts at 0, ends at 1 and never falls. Between two
    entries the function is taken as a straight line, which is exact for a density that is flat in each cell.
    Raises ValueError where the table is no cumulative function.
    """
    rising = bool((cumulative.diff() >= 0).all()) and bool((grid.diff() > 0).all())
    if not rising or abs(float(cumulative[0])) > 1e-6 or abs(float(cumulative[-1]) - 1) > 1e-6:
        raise ValueError(
            "cumulative must rise from 0 to 1 on an increasing grid, "
            f"got {float(cumulative[0]):.3g} to {float(cumulative[-1]):.3g}"
        )
    uniform = torch.rand(n, generator=generator, dtype=torch.float64).to(cumulative.device)
    table = cumulative.to(torch.float64)
    right = torch.searchsorted(table, uniform, right=True).clamp(1, len(table) - 1)
    share = (uniform - table[right - 1]) / (table[right] - table[right - 1])
    return (grid[right - 1] + share * (grid[right] - grid[right - 1])).to(grid.dtype)
