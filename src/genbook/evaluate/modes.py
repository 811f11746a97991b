"""Mode coverage: which of the known modes a model's samples reach, how often, and how wide it makes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genbook.checks import check_points, check_positive

__all__ = ["ModeCoverage", "mode_coverage"]


@dataclass(frozen=True)
class ModeCoverage:
    """What `mode_coverage` found, for K modes.

    - `weights`: `(K,)`, each mode's share of the samples that are near a mode; they sum to 1
    - `widths`: `(K,)`, the standard deviation per coordinate of each mode's samples; NaN for fewer than two
    - `near`: the share of all samples within `radius` standard deviations of some mode
    - `covered`: how many modes have at least a quarter of their due
    """

    weights: Tensor
    widths: Tensor
    near: float
    covered: int


def mode_coverage(x: Tensor, means: Tensor, scale: float, *, radius: float = 3.0) -> ModeCoverage:
    """Give the samples `x`, `(n, d)`, to the nearest of `means`, `(K, d)`, and describe what each mode got.

    The modes are round, equally likely Gaussians of standard deviation `scale`. A mode counts as covered when its
    near samples are at least a quarter of n / K (Metz et al. 2017 count a mode with any sample; one stray is not
    coverage).
    """
    x = check_points(x, finite=True)
    means = check_points(means, x.shape[1], name="means", finite=True).to(x.dtype)
    check_positive(scale, name="scale")
    check_positive(radius, name="radius")
    distance, mode = torch.cdist(x, means, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    near = distance <= radius * scale
    counts = torch.bincount(mode[near], minlength=len(means)).double()
    offset = (x - means[mode])[near]
    square, total = (torch.zeros(len(means), x.shape[1], dtype=x.dtype) for _ in range(2))
    square.index_add_(0, mode[near], offset**2)
    total.index_add_(0, mode[near], offset)
    n = counts[:, None]
    variance = ((square - total**2 / n) / (n - 1)).mean(1)  # NaN where a mode has fewer than two samples
    widths = torch.where(counts > 1, variance.clamp_min(0).sqrt(), torch.nan)
    covered = int((counts >= 0.25 * len(x) / len(means)).sum())
    return ModeCoverage(counts / counts.sum().clamp_min(1), widths, float(near.double().mean()), covered)
