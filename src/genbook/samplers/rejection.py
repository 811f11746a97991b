"""Rejection sampling: propose, then keep a proposal with the right chance.

Source: von Neumann, "Various techniques used in connection with random digits" (1951).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from genbook.checks import check_count

__all__ = ["rejection"]


@torch.no_grad()
def rejection(
    log_prob: Callable[[Tensor], Tensor],
    propose: Callable[..., Tensor],
    log_proposal: Callable[[Tensor], Tensor],
    log_bound: float,
    n: int,
    *,
    generator: Generator | None = None,
    max_proposals: int = 10_000_000,
) -> tuple[Tensor, float]:
    r"""Draw `n` exact samples of a density known up to a constant; return them and the share that was kept.

    `log_prob` and `log_proposal` map `(m, d)` to `(m,)`; `propose(m, generator=)` draws `(m, d)`. `log_bound` is
    $\log M$ with $p(x) \le M q(x)$ everywhere; a proposal is kept with chance $p(x) / (M q(x))$. Raises ValueError
    as soon as a proposal shows that the bound does not hold, and RuntimeError when `max_proposals` did not give
    `n` samples.
    """
    check_count(n)
    if not math.isfinite(log_bound):
        raise ValueError(f"log_bound must be finite, got {log_bound}")
    kept: list[Tensor] = []
    accepted = proposed = 0
    while accepted < n:
        if proposed >= max_proposals:
            raise RuntimeError(
                f"rejection kept {accepted} of {proposed} proposals and {n} were asked for: "
                "the proposal is too unlike the target"
            )
        size = min(max(1024, 2 * (n - accepted)), max_proposals - proposed)
        x = propose(size, generator=generator)
        log_ratio = log_prob(x) - log_proposal(x) - log_bound
        if bool(log_ratio.isnan().any()):
            raise ValueError("log_prob or log_proposal is NaN at a proposal")
        if bool((log_ratio > 1e-4).any()):
            raise ValueError(
                f"log_bound={log_bound:.4g} is too small: at a proposal the target exceeds the bound by "
                f"{float(log_ratio.max()):.4g} nats"
            )
        uniform = torch.rand(size, generator=generator, dtype=torch.float64).to(x.device)
        keep = uniform.log() < log_ratio
        kept.append(x[keep])
        accepted += int(keep.sum())
        proposed += size
    return torch.cat(kept)[:n], accepted / proposed
