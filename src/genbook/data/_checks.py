"""The checks that the truths share: one clear error for each kind of bad input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def check_points(x: Tensor, dim: int) -> Tensor:
    """Return `x` where it is a floating tensor of shape `(n, dim)` without NaN, else raise.

    Raises TypeError for anything that is not a floating tensor, ValueError for a wrong shape or a NaN.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor of shape (n, {dim}), got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"x must be floating (float32 or float64), got {x.dtype}")
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"x must have shape (n, {dim}), got {tuple(x.shape)}")
    if bool(x.isnan().any()):
        raise ValueError(f"x holds NaN in {int(x.isnan().any(1).sum())} of {len(x)} rows")
    return x


def check_count(n: int, name: str = "n") -> int:
    """Return `n` where it is a positive integer, else raise TypeError or ValueError."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"{name} must be a positive int, got {n!r} of type {type(n).__name__}")
    if n < 1:
        raise ValueError(f"{name} must be a positive int, got {n}")
    return n


def check_positive(value: float, name: str, maximum: float = math.inf) -> float:
    """Return `value` as a float where it is finite, above 0 and at most `maximum`, else raise ValueError."""
    value = float(value)
    if not (math.isfinite(value) and 0 < value <= maximum):
        limit = "" if maximum == math.inf else f" and at most {maximum:g}"
        raise ValueError(f"{name} must be finite, above 0{limit}, got {value:g}")
    return value


def check_vector(values: Sequence[float] | Tensor, name: str) -> Tensor:
    """Return `values` as a float32 vector where it is one-dimensional, finite and not empty, else raise."""
    vector = torch.as_tensor(values, dtype=torch.float32).detach()
    if vector.ndim != 1 or len(vector) == 0:
        raise ValueError(f"{name} must be a vector with at least one entry, got shape {tuple(vector.shape)}")
    if not bool(vector.isfinite().all()):
        raise ValueError(f"{name} must be finite, got {vector.tolist()}")
    return vector
