"""How far apart two distributions are: entropy, cross-entropy, Kullback-Leibler and Jensen-Shannon.

The functions take log-densities, so that truths and models serve alike, and integrate on a grid: exact to
many digits in one or two dimensions, out of reach in more. Everything is in nats.

Source: Kullback and Leibler, "On information and sufficiency" (1951); Lin, "Divergence measures based on the
Shannon entropy" (1991).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbook.prob.quadrature import evaluate, midpoints

__all__ = ["cross_entropy", "entropy", "jensen_shannon", "kl_divergence", "kl_normal"]

LogDensity = Callable[[Tensor], Tensor]


@torch.no_grad()
def cross_entropy(log_p: LogDensity, log_q: LogDensity, bounds: Tensor, points: int = 1000) -> float:
    r"""Return $-\int p(x) \log q(x)\,dx$ over the box `bounds`; infinite where q is 0 and p is not."""
    grid, volume = midpoints(bounds, points)
    p, log_q_values = evaluate(log_p, grid, name="log_p").exp(), evaluate(log_q, grid, name="log_q")
    return float(-torch.where(p > 0, p * log_q_values, 0.0).sum() * volume)


def entropy(log_p: LogDensity, bounds: Tensor, points: int = 1000) -> float:
    r"""Return $-\int p(x) \log p(x)\,dx$, the smallest average surprise that any model can reach."""
    return cross_entropy(log_p, log_p, bounds, points)


def kl_divergence(log_p: LogDensity, log_q: LogDensity, bounds: Tensor, points: int = 1000) -> float:
    r"""Return $\mathrm{KL}(p \Vert q) = \int p(x) \log\frac{p(x)}{q(x)}\,dx$, never negative, 0 when equal."""
    return cross_entropy(log_p, log_q, bounds, points) - entropy(log_p, bounds, points)


def jensen_shannon(log_p: LogDensity, log_q: LogDensity, bounds: Tensor, points: int = 1000) -> float:
    r"""Return the mean KL divergence of p and q from their even mixture: symmetric, at most $\log 2$."""

    def log_mixture(x: Tensor) -> Tensor:
        return torch.logaddexp(log_p(x), log_q(x)) - math.log(2)

    return 0.5 * sum(kl_divergence(log, log_mixture, bounds, points) for log in (log_p, log_q))


def kl_normal(mean_p: Tensor, scale_p: Tensor, mean_q: Tensor, scale_q: Tensor) -> Tensor:
    r"""Return $\mathrm{KL}(N(\mu_p, \sigma_p^2) \Vert N(\mu_q, \sigma_q^2))$ element by element, in closed form.

    $\log\frac{\sigma_q}{\sigma_p} + \frac{\sigma_p^2 + (\mu_p - \mu_q)^2}{2\sigma_q^2} - \tfrac12$; the arguments
    are tensors that broadcast.
    """
    return (scale_q / scale_p).log() + (scale_p**2 + (mean_p - mean_q) ** 2) / (2 * scale_q**2) - 0.5
