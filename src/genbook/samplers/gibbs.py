"""Block Gibbs sampling: two groups of variables take turns, each drawn whole from its law given the other.

Source: Geman and Geman, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of images"
(1984). Written for models in two layers, where every variable of a layer is independent of its neighbours once the
other layer is known, so that one draw serves a whole layer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from genbook.checks import check_count

__all__ = ["block_gibbs"]

Draw = Callable[..., Tensor]


@torch.no_grad()
def block_gibbs(
    draw_hidden: Draw,
    draw_visible: Draw,
    start: Tensor,
    steps: int,
    *,
    clamped: Tensor | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Run `c` chains side by side for `steps` rounds of hidden given visible, then visible given hidden.

    `start` is `(c, visible)`, and so is what comes back: the last visible states. `draw_hidden(v, generator=)`
    and `draw_visible(h, generator=)` draw one layer given the other. Where `clamped`, bool and broadcast to
    `start`, is true, the visible state keeps its start: the rest is then drawn given that part. Raises
    ValueError for a `clamped` of another shape.
    """
    shapes = (start.shape, start.shape[1:], (1, *start.shape[1:]))
    if clamped is not None and (clamped.dtype != torch.bool or clamped.shape not in shapes):
        raise ValueError(
            f"clamped must be bool of shape {tuple(start.shape)} or {tuple(start.shape[1:])}, "
            f"got {clamped.dtype} {tuple(clamped.shape)}"
        )
    visible = start.clone()
    for _ in range(check_count(steps, name="steps", least=0)):
        hidden = draw_hidden(visible, generator=generator)
        visible = draw_visible(hidden, generator=generator)
        if clamped is not None:
            visible = torch.where(clamped, start, visible)
    return visible
