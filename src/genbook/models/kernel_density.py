"""Kernel density estimation: a small Gaussian on every training point, all averaged.

Source: Rosenblatt (1956); Parzen, "On estimation of a probability density function and mode" (1962); the rule of
thumb for the bandwidth is Silverman's, *Density Estimation for Statistics and Data Analysis* (1986), equation
4.14.

Simplified: the kernel is Gaussian and has one bandwidth for all directions and all places. Scale the columns of
the data alike first.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_points, check_positive
from genbook.prob.gaussian import LOG_TWO_PI

__all__ = ["KernelDensity", "silverman_bandwidth"]


def silverman_bandwidth(x: Tensor) -> float:
    r"""Return Silverman's rule of thumb, $h = \bar\sigma\,(4 / ((d + 2) n))^{1/(d+4)}$, for `x` of shape `(n, d)`.

    $\bar\sigma$ is the mean of the columns' standard deviations. The rule is right for one Gaussian, and too wide
    for data with several modes.
    """
    x = check_points(x, finite=True)
    n, d = x.shape
    return float(x.std(dim=0).mean()) * (4 / ((d + 2) * n)) ** (1 / (d + 4))


class KernelDensity:
    r"""The density $p(x) = \frac1N \sum_i N(x; x_i, h^2 I)$ with bandwidth h, in data units.

    `bandwidth=None` takes `silverman_bandwidth` of the data when it is fitted. Distances are computed in blocks
    of `block` query points, so that memory stays at `block × N` numbers. Raises ValueError for bad arguments.
    """

    def __init__(self, bandwidth: float | None = None, *, block: int = 1024) -> None:
        self._given = None if bandwidth is None else check_positive(bandwidth, name="bandwidth")
        self.bandwidth = self._given  # the one in use: given, or chosen by fit
        self.block = check_count(block, name="block")
        self.points: Tensor | None = None

    def fit(self, x: Tensor) -> Self:
        """Remember the data `x`, `(n, d)`: that is all the learning there is."""
        x = check_points(x, finite=True)
        if self._given is None:  # chosen anew for each data set
            if len(x) < 2:
                raise ValueError("x holds one point: a bandwidth cannot be guessed from it, pass bandwidth=")
            self.bandwidth = check_positive(silverman_bandwidth(x), name="bandwidth (from constant data)")
        self.points = x.clone()
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of `x`, `(n, d)`, in nats, shape `(n,)`."""
        x = check_points(x, self._fitted().shape[1])
        return torch.cat([self._log_kernels(block).logsumexp(1) for block in x.split(self.block)]) - math.log(
            len(self._fitted())
        )

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of `x` in nats, a scalar."""
        return -self.log_prob(x).mean()

    def leave_one_out(self) -> Tensor:
        """Return the log-density of each training point under the estimate made from all the others, `(n,)`.

        Its mean, unlike that of `log_prob` on the training points, does not grow without end as the bandwidth
        shrinks (Habbema, Hermans and van den Broek 1974).
        """
        points = self._fitted()
        if len(points) < 2:
            raise RuntimeError("leave_one_out needs at least two training points")
        rows = []
        for start in range(0, len(points), self.block):
            log_kernels = self._log_kernels(points[start : start + self.block])
            own = torch.arange(len(log_kernels))
            log_kernels[own, start + own] = -torch.inf
            rows.append(log_kernels.logsumexp(1))
        return torch.cat(rows) - math.log(len(points) - 1)

    def score(self, x: Tensor) -> Tensor:
        r"""Return $\nabla_x \log p(x)$, `(n, d)`: the pull to the training points, each weighted by its kernel."""
        points = self._fitted()
        x = check_points(x, points.shape[1], finite=True)
        shift = [
            torch.softmax(self._log_kernels(block), dim=1) @ points.to(x.dtype) - block
            for block in x.split(self.block)
        ]
        return torch.cat(shift) / self.bandwidth**2

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, `(n, d)`: pick a training point, all alike, and add Gaussian noise of size h."""
        points = self._fitted()
        chosen = torch.randint(len(points), (check_count(n),), generator=generator)
        noise = torch.randn(n, points.shape[1], generator=generator, dtype=points.dtype)
        return points[chosen] + self.bandwidth * noise

    def _fitted(self) -> Tensor:
        if self.points is None:
            raise RuntimeError("this KernelDensity has seen no data yet: call fit(x) first")
        return self.points

    def _log_kernels(self, x: Tensor) -> Tensor:
        """Return log N(x_j; x_i, h² I) for every query j and training point i, `(m, n)`."""
        points = self._fitted().to(x.dtype)
        # "donot_use_mm": the fast formula |a|² - 2ab + |b|² loses the small distances that matter here
        distance = torch.cdist(x, points, compute_mode="donot_use_mm_for_euclid_dist")
        d = points.shape[1]
        return -0.5 * (distance / self.bandwidth) ** 2 - d * (math.log(self.bandwidth) + 0.5 * LOG_TWO_PI)
