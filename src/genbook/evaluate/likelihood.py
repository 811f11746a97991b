"""Averages of log-likelihoods, with the uncertainty that a finite test set leaves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["mean_and_error", "paired_difference"]


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
