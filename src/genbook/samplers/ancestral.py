"""Ancestral sampling: draw the cause, then the effect given the cause."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["ancestral_mixture", "categorical"]


def categorical(probabilities: Tensor, n: int, *, generator: Generator | None = None) -> Tensor:
    """Draw `n` indices, shape `(n,)`, index `k` with chance `probabilities[k]`.

    `probabilities` is `(K,)`, not negative; it need not sum to 1. The draw is by inverse transform on the
    cumulative sums in float64, so that any number of categories is allowed.
    """
    cumulative = probabilities.to(torch.float64).cumsum(0)
    total = float(cumulative[-1])
    if not (bool((probabilities >= 0).all()) and 0 < total < float("inf")):
        raise ValueError("probabilities must be finite, not negative and not all zero")
    uniform = torch.rand(n, generator=generator, dtype=torch.float64, device=probabilities.device) * total
    return torch.searchsorted(cumulative, uniform, right=True).clamp_max(len(probabilities) - 1)


def ancestral_mixture(
    weights: Tensor, means: Tensor, scale_tril: Tensor, n: int, *, generator: Generator | None = None
) -> Tensor:
    r"""Draw `n` points from a mixture of Gaussians, shape `(n, d)`: first the component, then the point.

    `weights` is `(K,)`, `means` `(K, d)`, `scale_tril` `(K, d, d)` (lower Cholesky factors): with component
    $k$ drawn, the point is $\mu_k + L_k \varepsilon$ with $\varepsilon$ standard normal.
    """
    component = categorical(weights, n, generator=generator)
    noise = torch.randn(n, means.shape[1], generator=generator, dtype=means.dtype, device=means.device)
    points = means[component]
    for k in component.unique().tolist():  # one matrix product a component, not a matrix a point
        chosen = component == k
        points[chosen] += noise[chosen] @ scale_tril[k].T
    return points
