"""The histogram: a density that is flat in every cell of a grid, learnt by counting.

Source: Pearson (1895) named it; Scott, *Multivariate Density Estimation* (1992), chapter 3, derives its error.

Simplified: all cells have one size, and the number of cells an axis is given, not estimated.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_points, check_positive
from genbook.samplers.ancestral import categorical

__all__ = ["Histogram"]


class Histogram:
    """A piecewise constant density on a box of `bins` equal cells an axis.

    `bounds` is `(2, d)`, the lower and the upper corner of the box; without it the box is the data's own range,
    and every later point outside has density 0. `smoothing` is added to every cell's count (Laplace): with 0 an
    empty cell has density 0. The grid has `bins ** d` cells, so d is 1, 2 or 3.
    Raises ValueError or TypeError for bad arguments.
    """

    def __init__(self, bins: int, *, bounds: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.bins = check_count(bins, name="bins")
        self.smoothing = check_positive(smoothing, name="smoothing", zero=True)
        self._given = (
            None if bounds is None else check_points(bounds, name="bounds", finite=True).to(torch.float64)
        )
        if self._given is not None and not (
            len(self._given) == 2 and bool((self._given[1] > self._given[0]).all())
        ):
            raise ValueError(f"bounds must be (2, d) with lower < upper, got {self._given.tolist()}")
        self.bounds = self._given  # the box in use: given, or the range of the data seen by fit
        self.probabilities: Tensor | None = None  # (bins ** d,), the mass of each cell

    def fit(self, x: Tensor) -> Self:
        """Count the points `x`, `(n, d)`, cell by cell; points outside a given box are refused by ValueError."""
        self.bounds = self._given
        x = check_points(x, None if self.bounds is None else self.bounds.shape[1], finite=True)
        if x.shape[1] > 3 or self.bins ** x.shape[1] > 50_000_000:
            raise ValueError(
                f"x has {x.shape[1]} columns: a histogram would need {self.bins} ** {x.shape[1]} cells; "
                "use d ≤ 3 and fewer bins"
            )
        if self.bounds is None:
            low, high = x.to(torch.float64).aminmax(dim=0)
            if not bool((high > low).all()):
                raise ValueError("x has a column whose values are all equal: pass bounds=")
            self.bounds = torch.stack([low, high])
        cell, inside = self._cell(x)
        if not bool(inside.all()):
            raise ValueError(f"x has {int((~inside).sum())} of {len(x)} points outside bounds")
        counts = torch.bincount(cell, minlength=self.bins ** x.shape[1]).to(torch.float64) + self.smoothing
        self.probabilities = counts / counts.sum()
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of `x`, `(n, d)`: the cell's mass over its volume; -inf outside the box."""
        probabilities, bounds = self._fitted()
        x = check_points(x, bounds.shape[1])
        cell, inside = self._cell(x)
        log_volume = ((bounds[1] - bounds[0]) / self.bins).log().sum()
        log_density = torch.where(inside, probabilities[cell], 0.0).log() - log_volume
        return log_density.to(x.dtype)

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of `x` in nats, a scalar."""
        return -self.log_prob(x).mean()

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, `(n, d)`: a cell by its mass, then a place in the cell, all alike."""
        probabilities, bounds = self._fitted()
        d = bounds.shape[1]
        cell = categorical(probabilities, check_count(n), generator=generator)
        index = torch.stack(torch.unravel_index(cell, (self.bins,) * d), dim=1)
        within = torch.rand(n, d, generator=generator, dtype=torch.float64)
        width = (bounds[1] - bounds[0]) / self.bins
        x = (bounds[0] + (index + within) * width).float()
        left = self._cell(x)[0] != cell  # rounding to float32 may step over an edge: step back
        centre = (bounds[0] + (index + 0.5) * width).float()
        return torch.where((left | ~self._cell(x)[1])[:, None], torch.nextafter(x, centre), x)

    def _fitted(self) -> tuple[Tensor, Tensor]:
        if self.probabilities is None or self.bounds is None:
            raise RuntimeError("this Histogram has seen no data yet: call fit(x) first")
        return self.probabilities, self.bounds

    def _cell(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flat index of each point's cell and whether the point lies in the box at all."""
        x, (low, high) = x.to(torch.float64), self.bounds
        inside = ((x >= low) & (x <= high)).all(dim=1)  # the last cell owns its upper edge
        index = ((x - low) / (high - low) * self.bins).nan_to_num(0).floor().long().clamp(0, self.bins - 1)
        strides = self.bins ** torch.arange(x.shape[1] - 1, -1, -1)
        return (index * strides).sum(1), inside
