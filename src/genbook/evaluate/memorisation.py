"""Does a model copy? Distances to the nearest training example, held against those of fresh real data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genbook.checks import check_points

__all__ = ["Copying", "nearest_examples", "share_of_copies"]


def nearest_examples(samples: Tensor, training: Tensor, *, block: int = 1024) -> tuple[Tensor, Tensor]:
    """Return, for each row of `samples`, the index of the nearest training row and its distance, `(n,)` each."""
    samples = check_points(samples, name="samples", finite=True)
    training = check_points(training, samples.shape[1], name="training", finite=True).to(samples.dtype)
    pairs = [
        torch.cdist(part, training, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
        for part in samples.split(block)
    ]
    return torch.cat([p.indices for p in pairs]), torch.cat([p.values for p in pairs])


@dataclass(frozen=True)
class Copying:
    """How many samples lie suspiciously close to a training example.

    `share` is the share of samples at most `limit` away, `standard_error` its error, and `expected` the share of
    *fresh real* examples that are: `share` says something only where it clearly exceeds `expected`.
    """

    share: float
    standard_error: float
    expected: float
    limit: float


def share_of_copies(samples: Tensor, training: Tensor, fresh: Tensor, *, expected: float = 0.01) -> Copying:
    """Count samples as near to the training set as the nearest share `expected` of `fresh` real examples.

    All three are matrices of `d` columns. The test sees copies, also slightly blurred ones; a model that blurs its
    training set widely passes it, and is found by its likelihood on held-out data.
    """
    if not 0 < expected < 1:
        raise ValueError(f"expected must lie strictly between 0 and 1, got {expected}")
    reference = nearest_examples(fresh, training)[1].double()
    limit = float(reference.quantile(expected))
    close = (nearest_examples(samples, training)[1].double() <= limit).double()
    share = float(close.mean())
    realised = float((reference <= limit).double().mean())  # more than asked for where fresh examples repeat
    return Copying(share, (share * (1 - share) / len(close)) ** 0.5, realised, limit)
