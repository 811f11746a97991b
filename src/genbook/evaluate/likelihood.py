"""Averages of log-likelihoods, with the uncertainty that a finite test set leaves, and dequantisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from genbook.checks import check_count

__all__ = ["dequantised", "mean_and_error", "paired_difference"]


def mean_and_error(values: Tensor) -> tuple[float, float]:
    r"""Return the mean of `values`, `(n,)`, and its standard error $s / \sqrt n$; needs at least two values."""
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values must have shape (n,) with n ≥ 2, got {tuple(values.shape)}")
    values = values.detach().to(torch.float64)
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def paired_difference(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return the mean of `first - second` over the same examples, and its standard error.

    Two models scored on one test set share its easy and its hard examples; the difference example by example is
    far less uncertain than the two means are.
    """
    if first.shape != second.shape:
        raise ValueError(f"first and second must have one shape, got {tuple(first.shape)}, {tuple(second.shape)}")
    return mean_and_error(first.detach().to(torch.float64) - second.detach().to(torch.float64))


@torch.no_grad()
def dequantised(
    log_prob: Callable[[Tensor], Tensor], x: Tensor, *, draws: int = 20, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return a lower bound on the log-probability of whole numbers under a density, and its standard error.

    Both are `(n,)`. A density p gives the whole number x the probability $P(x) = \int_0^1 p(x + u)\,du$, over
    the unit cube in as many dimensions as x has. The logarithm of the mean of `draws` densities at x + u, u
    uniform, has an expectation below log P(x). Theis, van den Oord and Bethge (2015), arXiv:1511.01844, section
    3.1. `x` is `(n, d)`; a density learnt from whole numbers must have been taught with such noise added.
    """
    k = check_count(draws, name="draws")
    uniform = torch.rand(k, *x.shape, generator=generator, dtype=x.dtype)
    values = torch.stack([log_prob(x + u).double() for u in uniform.to(x.device)])
    weights = (values - values.max(0).values).exp()
    error = weights.std(0) / (weights.mean(0) * math.sqrt(k)) if k > 1 else torch.full_like(weights[0], math.nan)
    return values.logsumexp(0) - math.log(k), error
