"""The Metropolis algorithm: a random walk that visits each place as often as its density asks.

Source: Metropolis, Rosenbluth, Rosenbluth, Teller and Teller, "Equation of state calculations by fast computing
machines" (1953). Simplified from Hastings (1970): the proposal is symmetric, so its density cancels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_points, check_positive

__all__ = ["metropolis"]


@torch.no_grad()
def metropolis(
    log_prob: Callable[[Tensor], Tensor],
    start: Tensor,
    steps: int,
    scale: float,
    *,
    generator: Generator | None = None,
) -> tuple[Tensor, float]:
    r"""Run `c` chains side by side; return all their states, `(steps, c, d)`, and the share of accepted moves.

    `start` is `(c, d)`; `log_prob` maps `(c, d)` to `(c,)` and may lack its constant. Each step proposes
    $x' = x + \text{scale}\cdot\varepsilon$ and moves there with chance $\min(1, p(x')/p(x))$; a chain that does
    not move **repeats its state**, and the repeat counts. Raises ValueError when a chain starts where the
    density is 0.
    """
    check_points(start, name="start", finite=True)
    check_count(steps, name="steps")
    check_positive(scale, name="scale")
    x, log_p = start.clone(), log_prob(start)
    if not bool(torch.isfinite(log_p).all()):
        raise ValueError("start has a chain at a point of zero density: no move from there can be weighed")
    states = torch.empty(steps, *start.shape, dtype=start.dtype)
    accepted = 0.0
    for step in range(steps):
        noise = torch.randn(start.shape, generator=generator, dtype=start.dtype)
        proposal = x + scale * noise
        log_p_proposal = log_prob(proposal)
        uniform = torch.rand(len(x), generator=generator, dtype=torch.float64)
        move = uniform.log() < log_p_proposal - log_p
        x = torch.where(move[:, None], proposal, x)
        log_p = torch.where(move, log_p_proposal, log_p)
        states[step] = x
        accepted += float(move.to(torch.float64).mean())
    return states, accepted / steps
