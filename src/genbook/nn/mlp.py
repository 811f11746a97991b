"""A stack of linear layers: the network of every two-dimensional experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from genbook.checks import check_count

__all__ = ["mlp"]


def mlp(sizes: Sequence[int], *, activation: Callable[[], nn.Module] = nn.SiLU) -> nn.Sequential:
    """Return linear layers from `sizes[0]` inputs to `sizes[-1]` outputs, with an activation between each two.

    Maps `(n, sizes[0])` to `(n, sizes[-1])`. Raises ValueError for fewer than two sizes or one below 1.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes must name inputs and outputs at least, got {list(sizes)}")
    widths = [check_count(size, name="each of sizes") for size in sizes]
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [activation()] if i else []
        layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)
