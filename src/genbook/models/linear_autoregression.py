r"""Linear autoregression: each column's levels are predicted from the columns before it, by one linear layer.

Source: the chain rule of probability; with logistic regressions for binary columns it is the fully visible belief
network of Frey, *Graphical Models for Machine Learning and Digital Communication* (1998), section 2.

Simplified: the earlier columns enter as numbers, so that a level's log-odds are linear in them; the order is
that of the columns. It is the simplest model with an exact likelihood that knows how pixels hang together.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Generator, Tensor, nn

from genbook.checks import check_count, check_levels, check_points

__all__ = ["LinearAutoregression"]


class LinearAutoregression(nn.Module):
    r"""The mass function $P(x) = \prod_i P(x_i \mid x_1 \dots x_{i-1})$ on whole numbers $0 \le x_i < L$.

    Each factor is a softmax over the L `levels`, whose inputs are linear in the earlier of the `columns`,
    scaled to [-1, 1]. Data are floating tensors `(n, columns)` that hold whole numbers.
    """

    def __init__(self, columns: int, levels: int) -> None:
        super().__init__()
        self.columns = check_count(columns, name="columns")
        self.levels = check_count(levels, name="levels", least=2)
        self.weight = nn.Parameter(torch.zeros(columns, columns * levels))
        self.bias = nn.Parameter(torch.zeros(columns, levels))
        earlier = torch.ones(columns, columns).triu(1)  # [j, i]: column j comes before column i
        self.register_buffer("mask", earlier.repeat_interleave(levels, 1), persistent=False)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Self:
        """Set the biases to the log-frequencies of each column's levels, half an example added to each."""
        counts = torch.stack([(x == level).sum(0) for level in range(self.levels)], 1) + 0.5
        self.bias.copy_((counts / counts.sum(1, keepdim=True)).log())
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of `x`, `(n, columns)`, in nats, `(n,)`: a mass, never above 0."""
        x = check_levels(check_points(x, self.columns), self.levels)
        return self._log_chances(x).gather(2, x.long()[:, :, None])[:, :, 0].sum(1)

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of `x` in nats, a scalar."""
        return -self.log_prob(x).mean()

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` examples, `(n, columns)`, column by column: each needs the ones before it."""
        x = torch.zeros(check_count(n), self.columns).to(self.bias)
        for i in range(self.columns):
            chances = self._log_chances(x)[:, i].exp().cpu()
            x[:, i : i + 1] = torch.multinomial(chances, 1, generator=generator).to(x)
        return x

    def _log_chances(self, x: Tensor) -> Tensor:
        """Return the log-probability of every level of every column, `(n, columns, levels)`."""
        scaled = 2 * x / (self.levels - 1) - 1
        weight = (self.weight * self.mask).to(x)
        inputs = (scaled @ weight).unflatten(1, (self.columns, self.levels)) + self.bias
        return inputs.log_softmax(2)
