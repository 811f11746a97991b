r"""Exponential families as layers of units: what a unit does once the sum of its inputs is known.

Given inputs s, one a feature, a layer of independent units has the law $p(v) = r(v)\,e^{s^\top v - A(s)}$: the
*carrier* r and the *log-normaliser* A say which kind of unit it is, and the gradient of A is the mean of v.
Source: Welling, Rosen-Zvi and Hinton, "Exponential family harmoniums" (2004), equations 1 to 5.

A kind turns data into features (`features`) and back (`values`); the carrier includes the change of units, so that
densities are those of the data. All tensors are `(n, features)` unless said otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot, softplus

from genbook.checks import check_count, check_levels, check_positive
from genbook.prob.noise import choose, uniform_like

__all__ = ["Binary", "GaussianUnits", "Levels"]


class Binary:
    r"""Units that are 0 or 1: $A(s) = \sum_i \log(1 + e^{s_i})$. Data hold zeros and ones."""

    width = 1  # features a column of the data

    def features(self, x: Tensor) -> Tensor:
        """Return the data, which are their own features; ValueError for anything but zeros and ones."""
        good = (x == 0) | (x == 1)
        if not bool(good.all()):
            raise ValueError(f"x must hold zeros and ones, got {float(x[~good][0]):g}")
        return x

    def values(self, v: Tensor) -> Tensor:
        """Return features in data units."""
        return v

    def log_carrier(self, v: Tensor) -> Tensor:
        """Return log r(v) = 0, `(n,)`."""
        return v.new_zeros(v.shape[:-1])

    def log_normaliser(self, s: Tensor) -> Tensor:
        """Return A(s), `(n,)`."""
        return softplus(s).sum(-1)

    def mean(self, s: Tensor) -> Tensor:
        """Return the chance of a 1: the logistic function of the input."""
        return torch.sigmoid(s)

    def draw(self, s: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw the units given their inputs; the draw carries no gradient."""
        return (uniform_like(s, generator) < torch.sigmoid(s)).to(s.dtype)

    def bias(self, v: Tensor) -> Tensor:
        """Return the inputs `(features,)` with the means of `v`, half an example of each kind added."""
        return torch.logit((v.sum(0) + 0.5) / (len(v) + 1))


class Levels:
    r"""Columns that take one of `levels` whole numbers from 0: each is a group of one-hot features.

    $A(s) = \sum_{\text{columns}} \log\sum_k e^{s_k}$. Salakhutdinov, Mnih and Hinton (2007), section 2.
    """

    def __init__(self, levels: int) -> None:
        self.width = check_count(levels, name="levels", least=2)

    def features(self, x: Tensor) -> Tensor:
        """Return `(n, d)` whole numbers as `(n, d · levels)` zeros and ones; ValueError for other numbers."""
        return one_hot(check_levels(x, self.width).long(), self.width).to(x.dtype).flatten(1)

    def values(self, v: Tensor) -> Tensor:
        """Return features in data units, `(n, d)`."""
        return self._columns(v).argmax(-1).to(v.dtype)

    def log_carrier(self, v: Tensor) -> Tensor:
        """Return log r(v) = 0, `(n,)`."""
        return v.new_zeros(v.shape[:-1])

    def log_normaliser(self, s: Tensor) -> Tensor:
        """Return A(s), `(n,)`."""
        return self._columns(s).logsumexp(-1).sum(-1)

    def mean(self, s: Tensor) -> Tensor:
        """Return the chance of each level: the softmax of each column's inputs."""
        return self._columns(s).softmax(-1).flatten(-2)

    def draw(self, s: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw one level a column: the largest input after Gumbel noise is added to each."""
        drawn = choose(self._columns(s), generator=generator)
        return one_hot(drawn, self.width).to(s.dtype).flatten(-2)

    def bias(self, v: Tensor) -> Tensor:
        """Return the inputs `(features,)` with the means of `v`, half an example of each kind added."""
        return ((v.sum(0) + 0.5) / (len(v) + 0.5 * self.width)).log()

    def _columns(self, s: Tensor) -> Tensor:
        return s.unflatten(-1, (-1, self.width))


class GaussianUnits:
    r"""Real-valued units of variance 1: $A(s) = \tfrac12\lVert s\rVert^2 + \tfrac d2\log 2\pi$.

    A feature is (x - offset) / scale; the carrier includes -d log scale, so that densities are those of the data.
    """

    width = 1

    def __init__(self, *, offset: float = 0.0, scale: float = 1.0) -> None:
        if not math.isfinite(offset):
            raise ValueError(f"offset must be finite, got {offset}")
        self.offset, self.scale = float(offset), check_positive(scale, name="scale")

    def features(self, x: Tensor) -> Tensor:
        """Return the data in units of `scale`, counted from `offset`."""
        return (x - self.offset) / self.scale

    def values(self, v: Tensor) -> Tensor:
        """Return features in data units."""
        return self.offset + self.scale * v

    def log_carrier(self, v: Tensor) -> Tensor:
        """Return log r(v), `(n,)`: minus half the squared length, minus the change of units."""
        return -0.5 * v.square().sum(-1) - v.shape[-1] * math.log(self.scale)

    def log_normaliser(self, s: Tensor) -> Tensor:
        """Return A(s), `(n,)`: the logarithm of a Gaussian integral over the features."""
        return 0.5 * s.square().sum(-1) + 0.5 * s.shape[-1] * math.log(2 * math.pi)

    def mean(self, s: Tensor) -> Tensor:
        """Return `s`: the mean is the input."""
        return s

    def draw(self, s: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw the units given their inputs."""
        return s + torch.randn(s.shape, generator=generator, dtype=s.dtype).to(s.device)

    def bias(self, v: Tensor) -> Tensor:
        """Return the means of `v`."""
        return v.mean(0)
