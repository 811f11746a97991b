"""Scoring a long sequence with a model that sees a window of it."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genbook.checks import check_count

__all__ = ["sliding_log_prob"]


class ScoresTokens(Protocol):
    """Knows the probability of every token of a sequence, given those before it."""

    def token_log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of every token of `x`, `(n, T)`."""
        ...


@torch.no_grad()
def sliding_log_prob(
    model: ScoresTokens, x: Tensor, *, window: int, stride: int | None = None, batch_size: int = 32
) -> Tensor:
    """Return the log-probability of every token of the sequence `x`, `(T,)`, each scored once, in nats, `(T,)`.

    Windows of `window` tokens start every `stride` tokens (half a window unless told), and of each only what the
    one before has not scored counts: a token that is not in the first window has at least `window - stride`
    before it. The smaller the stride, the more a model sees, and the longer it takes.
    """
    if x.ndim != 1 or len(x) == 0:
        raise ValueError(f"x must be one sequence (T,) that is not empty, got {tuple(x.shape)}")
    check_count(window, name="window")
    stride = max(window // 2, 1) if stride is None else check_count(stride, name="stride")
    if stride > window:
        raise ValueError(f"stride must be at most the window {window}, got {stride}")
    window = min(window, len(x))
    starts = [*range(0, len(x) - window, stride), len(x) - window]
    found, done = x.new_empty(len(x), dtype=torch.float64), 0
    for group in torch.tensor(starts).split(check_count(batch_size, name="batch_size")):
        rows = model.token_log_prob(x.unfold(0, window, 1)[group]).double()
        for start, row in zip(group.tolist(), rows, strict=True):
            found[done : start + window] = row[done - start :]
            done = start + window
    return found
