"""Quality and variety apart: precision and recall, density and coverage, by balls around samples.

The ball of a sample reaches to its k-th nearest neighbour in its own set. Sources: Kynkäänniemi et al. (2019),
arXiv:1904.06991, for precision and recall; Naeem et al. (2020), arXiv:2002.09797, for density and coverage.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genbook.checks import check_count, check_points

__all__ = ["Manifold", "compare_manifolds"]


@dataclass(frozen=True)
class Manifold:
    """Four shares that say how two sets of samples overlap.

    - `precision`: fakes that lie in the ball of some real sample. High when no fake is odd.
    - `recall`: real samples that lie in the ball of some fake. High when nothing is missing; one outlier among the
      fakes, with its wide ball, can raise it.
    - `density`: real balls that a fake lies in, over k, on average. Like precision, but an outlier among the real
      samples counts little; about 1 for equal laws, and it may exceed 1.
    - `coverage`: real samples whose own ball holds a fake.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def compare_manifolds(real: Tensor, fake: Tensor, *, k: int = 5) -> Manifold:
    """Return precision, recall, density and coverage of `fake` `(m, d)` against `real` `(n, d)`.

    Both sets need more than `k` rows; for precision and recall they should have the same number.
    """
    real = check_points(real, name="real", finite=True).to(torch.float64)
    fake = check_points(fake, real.shape[1], name="fake", finite=True).to(torch.float64)
    check_count(k, name="k")
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"real and fake need more than k={k} rows, got {len(real)} and {len(fake)}")
    radius_real, radius_fake = (_radii(v, k) for v in (real, fake))
    if bool((radius_real == 0).all()) or bool((radius_fake == 0).all()):
        raise ValueError(f"every row of real or fake repeats more than k={k} times: the balls have no size")
    between = torch.cdist(real, fake, compute_mode="donot_use_mm_for_euclid_dist")
    in_real = between < radius_real[:, None]  # fake j lies in the ball of real i
    return Manifold(
        precision=float(in_real.any(0).double().mean()),
        recall=float((between < radius_fake[None, :]).any(1).double().mean()),
        density=float(in_real.sum(0).double().mean() / k),
        coverage=float((between.amin(1) < radius_real).double().mean()),
    )


def _radii(x: Tensor, k: int) -> Tensor:
    """Return each row's distance to its k-th nearest other row."""
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    return distance.kthvalue(k + 1, dim=1).values  # the nearest of all is the row itself
