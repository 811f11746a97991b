"""One place for the checks of arguments, so that every family and every truth refuses bad input in one voice.

This module lies under all rooms: any of them may import it, and it imports none.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch
from torch import Tensor

__all__ = ["check_count", "check_levels", "check_points", "check_positive", "check_tokens"]


def check_points(x: Tensor, dim: int | None = None, *, name: str = "x", finite: bool = False) -> Tensor:
    """Return `x` if it is a floating tensor of shape `(n, dim)` with n ≥ 1 and no NaN, else raise.

    `dim=None` allows any number of columns; `finite=True` refuses infinities too. Raises TypeError for
    something that is no floating tensor, ValueError for a wrong shape or value; the message names the argument.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = f"a {x.dtype} tensor" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be a floating-point tensor, got {what}; try torch.as_tensor(x).float()")
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        wanted = f"(n, {dim})" if dim is not None else "(n, d)"
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"{name} is empty: shape {tuple(x.shape)}")
    bad = ~torch.isfinite(x) if finite else torch.isnan(x)
    if bool(bad.any()):
        kind = "values that are NaN or infinite" if finite else "NaN"
        raise ValueError(f"{name} holds {int(bad.sum())} {kind} in {x.numel()} numbers")
    return x


def check_levels(x: Tensor, levels: int, *, name: str = "x") -> Tensor:
    """Return `x`, of any shape, if it holds only whole numbers from 0 to `levels` - 1, else raise ValueError."""
    good = (x == x.round()) & (x >= 0) & (x < levels)
    if not bool(good.all()):
        raise ValueError(f"{name} must hold whole numbers from 0 to {levels - 1}, got {float(x[~good][0]):g}")
    return x


def check_tokens(x: Tensor, vocabulary: int, *, name: str = "x", empty: bool = False) -> Tensor:
    """Return `x` if it is an int64 tensor `(n, T)` of whole numbers below `vocabulary`, else raise.

    n and T are at least 1; with `empty` T may be 0. Raises TypeError for another type, ValueError for a wrong
    shape or value.
    """
    if not isinstance(x, Tensor) or x.dtype != torch.int64:
        what = f"a {x.dtype} tensor" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{name} must be an int64 tensor, got {what}; try torch.as_tensor(x).long()")
    if x.ndim != 2:
        raise ValueError(f"{name} must have shape (n, T), got {tuple(x.shape)}")
    if len(x) == 0 or (x.numel() == 0 and not empty):
        raise ValueError(f"{name} is empty: shape {tuple(x.shape)}")
    if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < vocabulary:
        span = f"{int(x.min())} to {int(x.max())}"
        raise ValueError(f"{name} must hold whole numbers from 0 to {vocabulary - 1}, got {span}")
    return x


def check_count(n: int, *, name: str = "n", least: int = 1) -> int:
    """Return `n` if it is a whole number of at least `least`, else raise TypeError or ValueError."""
    if isinstance(n, bool) or not isinstance(n, Integral):
        raise TypeError(f"{name} must be a whole number, got {n!r}")
    if n < least:
        raise ValueError(f"{name} must be at least {least}, got {n}")
    return int(n)


def check_positive(value: float, *, name: str, zero: bool = False) -> float:
    """Return `value` if it is a finite number above 0 (or 0 itself, if `zero`), else raise ValueError."""
    good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be a finite number {'≥' if zero else '>'} 0, got {value!r}")
    return float(value)
