"""Importance sampling: draw from the wrong distribution and weigh the draws right.

Source: Kahn and Marshall, "Methods of reducing sample size in Monte Carlo computations" (1953); the effective
sample size is Kish's (1965).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

__all__ = ["effective_sample_size", "importance", "weighted_mean"]


@torch.no_grad()
def importance(
    log_prob: Callable[[Tensor], Tensor],
    propose: Callable[..., Tensor],
    log_proposal: Callable[[Tensor], Tensor],
    n: int,
    *,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Draw `n` points from the proposal; return them, `(n, d)`, and their log-weights, `(n,)`.

    The weight is $p(x)/q(x)$. `log_prob` may lack its constant: then the weights lack the same one. The proposal
    must be able to reach every place that the target can.
    """
    x = propose(n, generator=generator)
    return x, log_prob(x) - log_proposal(x)


@torch.no_grad()
def weighted_mean(values: Tensor, log_weights: Tensor) -> tuple[float, float]:
    r"""Return the self-normalised estimate of a mean under the target and its standard error.

    `values` and `log_weights` are `(n,)`. The estimate is $\sum w_i f_i / \sum w_i$; the standard error is that
    of the ratio, $\sqrt{\sum w_i^2 (f_i - \bar f)^2} / \sum w_i$ (Owen, *Monte Carlo theory*, equation 9.9).
    """
    weights = _normalised(log_weights)
    if values.shape != weights.shape:
        raise ValueError(
            f"values must have the shape of log_weights, {tuple(weights.shape)}, got {tuple(values.shape)}"
        )
    mean = (weights * values).sum()
    return float(mean), float((weights**2 * (values - mean) ** 2).sum().sqrt())


@torch.no_grad()
def effective_sample_size(log_weights: Tensor) -> float:
    r"""Return $(\sum w_i)^2 / \sum w_i^2$: how many equally weighted draws the weighted ones are worth."""
    return float(1 / _normalised(log_weights).square().sum())


def _normalised(log_weights: Tensor) -> Tensor:
    """Return the weights divided by their sum; raise ValueError where there is nothing to weigh."""
    if log_weights.ndim != 1 or not bool(torch.isfinite(log_weights).any()) or bool(log_weights.isnan().any()):
        raise ValueError("log_weights must have shape (n,), no NaN, and at least one finite value")
    return torch.softmax(log_weights.detach().to(torch.float64), 0)
