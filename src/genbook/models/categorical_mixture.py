"""Mixtures of independent categorical variables: EM for data that come in levels, such as the pixels of a scan.

Source: Lazarsfeld and Henry, *Latent Structure Analysis* (1968), the latent class model; EM as in Dempster, Laird
and Rubin (1977). With one component it is the model of independent pixels.

Simplified: all columns have the same number of levels, and levels have no order: 3 is no closer to 4 than to 16.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from genbook.checks import check_count, check_levels, check_points, check_positive
from genbook.samplers.ancestral import categorical

__all__ = ["CategoricalMixture"]


class CategoricalMixture:
    r"""The mass function $P(x) = \sum_k \pi_k \prod_j \theta_{k,j,x_j}$ on whole numbers $0 \le x_j < L$.

    Data are floating tensors `(n, d)` that hold whole numbers, so `sample` and `log_prob` speak data units.
    `levels` is L. `smoothing` is a pseudo-count that each component gives to every level of every column: with 0,
    a level that was never seen has probability 0. Raises ValueError or TypeError for bad arguments.
    """

    def __init__(self, components: int, levels: int, *, smoothing: float = 0.3) -> None:
        self.components = check_count(components, name="components")
        self.levels = check_count(levels, name="levels", least=2)
        self.smoothing = check_positive(smoothing, name="smoothing", zero=True)
        self.history: list[float] = []  # the objective of `fit` before each M-step
        self.weights: Tensor | None = None  # π, (K,)
        self.tables: Tensor | None = None  # θ, (K, d, L): rows sum to 1

    def fit(
        self, x: Tensor, *, steps: int = 200, tolerance: float = 1e-4, generator: Generator | None = None
    ) -> Self:
        """Learn from `x`, `(n, d)` whole numbers, by at most `steps` rounds of EM, and return the model.

        The start gives each component one example of the data (all different) and each example to the components
        by how many columns agree. EM stops when a round adds less than `tolerance` nats to the objective: the mean
        log-likelihood, plus the smoothing's log-prior over n. `history` holds that objective before each round.
        """
        hot = self._one_hot(check_points(x, finite=True))  # (n, d * L)
        if len(x) < self.components:
            raise ValueError(f"x holds {len(x)} points for {self.components} components")
        self._columns = x.shape[1]
        seeds = hot[torch.randperm(len(x), generator=generator)[: self.components]]
        self._maximise(hot, torch.softmax(hot @ seeds.T, dim=1))
        self.history = []
        for _ in range(check_count(steps, name="steps", least=0)):
            joint = self._log_joint(hot)
            log_prior = self.smoothing * float(self.tables.log().sum()) if self.smoothing else 0.0
            self.history.append((float(joint.logsumexp(1).sum()) + log_prior) / len(x))
            if len(self.history) > 1 and self.history[-1] - self.history[-2] < tolerance:
                break
            self._maximise(hot, torch.softmax(joint, dim=1))
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of `x`, `(n, d)`, in nats, `(n,)`: a mass, never above 0."""
        x = check_points(x, self._fitted())
        return self._log_joint(self._one_hot(x)).logsumexp(dim=1).to(x.dtype)

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of `x` in nats, a scalar."""
        return -self.log_prob(x).mean()

    def responsibilities(self, x: Tensor) -> Tensor:
        """Return the posterior chance of each component, `(n, K)`; NaN for an example that is impossible."""
        return torch.softmax(self._log_joint(self._one_hot(check_points(x, self._fitted()))), dim=1).to(x.dtype)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` examples, `(n, d)`: a component by its weight, then every column on its own."""
        d = self._fitted()
        component = categorical(self.weights, check_count(n), generator=generator)
        uniform = torch.rand(n, d, 1, generator=generator, dtype=torch.float64)
        below = self.tables.cumsum(-1)[component] <= uniform  # inverse transform, column by column
        return below.sum(-1).clamp_max(self.levels - 1).float()

    def _fitted(self) -> int:
        if self.tables is None:
            raise RuntimeError("this CategoricalMixture has seen no data yet: call fit(x) first")
        return self.tables.shape[1]

    def _one_hot(self, x: Tensor) -> Tensor:
        return one_hot(check_levels(x, self.levels).long(), self.levels).to(torch.float64).flatten(1)

    def _log_joint(self, hot: Tensor) -> Tensor:
        """Return log π_k + Σ_j log θ_{k,j,x_j}, `(n, K)`, by one matrix product with the one-hot data."""
        tables = self.tables.flatten(1)
        joint = self.weights.log() + hot @ torch.where(tables > 0, tables.log(), 0.0).T
        if self.smoothing == 0:  # 0 × log 0 would be NaN in the product: count the impossible levels instead
            joint = torch.where(hot @ (tables == 0).double().T > 0, -math.inf, joint)
        return joint

    def _maximise(self, hot: Tensor, responsibilities: Tensor) -> None:
        """M-step: soft counts, the pseudo-counts added, divided by their sum."""
        counts = (responsibilities.T @ hot).view(self.components, self._columns, self.levels) + self.smoothing
        self.tables = counts / counts.sum(-1, keepdim=True)
        self.weights = responsibilities.mean(0)
