"""Distances between two sets of samples, each with its standard error.

All of them take points as rows: data in a few dimensions as they are, images as the features of a network. A
distance between two finite sets of the same law is not zero; `floor` gives what it is for real against real, and
belongs beside every score.

Sources: Gretton et al., "A kernel two-sample test" (2012); Heusel et al. (2017), arXiv:1706.08500, the Fréchet
distance of features; Bińkowski et al. (2018), arXiv:1801.01401, the kernel distance. The standard errors are
delete-a-group jackknife estimates (Efron and Stein 1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_points, check_positive

__all__ = ["floor", "frechet_distance", "jackknife", "kernel_distance", "mmd"]

Metric = Callable[[Tensor, Tensor], float]


def jackknife(metric: Metric, x: Tensor, y: Tensor, *, groups: int = 10) -> tuple[float, float]:
    r"""Return `metric(x, y)` and its standard error, by leaving out a tenth of both sets at a time.

    Row $i$ is left out with group $i \bmod g$: order the rows at random first if neighbours are alike. The error
    is $\sqrt{\tfrac{g-1}{g} \sum_j (m_j - \bar m)^2}$.
    """
    check_count(groups, name="groups", least=2)
    if min(len(x), len(y)) < 2 * groups:
        raise ValueError(f"x and y need at least {2 * groups} rows for {groups} groups, got {len(x)} and {len(y)}")
    in_x, in_y = torch.arange(len(x)) % groups, torch.arange(len(y)) % groups
    parts = torch.tensor([metric(x[in_x != g], y[in_y != g]) for g in range(groups)], dtype=torch.float64)
    error = math.sqrt((groups - 1) / groups * float((parts - parts.mean()).square().sum()))
    return metric(x, y), error


def _pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = check_points(x, finite=True).to(torch.float64)
    return x, check_points(y, x.shape[1], name="y", finite=True).to(torch.float64)


def frechet_distance(x: Tensor, y: Tensor, *, groups: int = 10) -> tuple[float, float]:
    r"""Return the squared Fréchet distance of two sets of features `(n, d)`, `(m, d)`, and its standard error.

    Each set is replaced by the Gaussian with its mean and covariance:
    $\lVert\mu_x-\mu_y\rVert^2 + \mathrm{tr}(\Sigma_x + \Sigma_y - 2(\Sigma_x\Sigma_y)^{1/2})$ (Heusel et al. 2017,
    equation 6). The estimate is too large by an amount that falls like one over the number of samples: compare
    only scores of equal n, each beside its `floor`.
    """
    return jackknife(_frechet, *_pair(x, y), groups=groups)


def _frechet(x: Tensor, y: Tensor) -> float:
    mean = (x.mean(0) - y.mean(0)).square().sum()
    first, second = (torch.atleast_2d(torch.cov(v.T)) for v in (x, y))
    # tr (AB)^½ = tr (A^½ B A^½)^½, and that matrix is symmetric: no complex roots
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp_min(0).sqrt().sum()
    return float(mean + first.trace() + second.trace() - 2 * cross)


def mmd(x: Tensor, y: Tensor, *, bandwidth: float, groups: int = 10) -> tuple[float, float]:
    r"""Return the unbiased squared maximum mean discrepancy with a Gaussian kernel, and its standard error.

    $\mathbb{E}k(x,x') + \mathbb{E}k(y,y') - 2\mathbb{E}k(x,y)$ with $k(a,b) = e^{-\lVert a-b\rVert^2/2h^2}$ and
    pairs of a point with itself left out (Gretton et al. 2012, equation 3). Zero on average for equal laws, so
    single values may be negative. `bandwidth` is $h$, in the units of the data.
    """
    check_positive(bandwidth, name="bandwidth")
    x, y = _pair(x, y)
    return jackknife(
        lambda a, b: _discrepancy(a, b, lambda u, v: (-0.5 * (_distance(u, v) / bandwidth) ** 2).exp()),
        x,
        y,
        groups=groups,
    )


def kernel_distance(x: Tensor, y: Tensor, *, groups: int = 10) -> tuple[float, float]:
    r"""Return the kernel distance of features (KID) and its standard error.

    The unbiased squared discrepancy with the cubic kernel $k(a, b) = (a^\top b / d + 1)^3$ (Bińkowski et al. 2018,
    equation 4). Unlike the Fréchet distance it does not depend on n on average.
    """
    x, y = _pair(x, y)
    return jackknife(lambda a, b: _discrepancy(a, b, _cubic), x, y, groups=groups)


def _distance(u: Tensor, v: Tensor) -> Tensor:
    return torch.cdist(u, v, compute_mode="donot_use_mm_for_euclid_dist")


def _cubic(u: Tensor, v: Tensor) -> Tensor:
    return (u @ v.T / u.shape[1] + 1) ** 3


def _discrepancy(x: Tensor, y: Tensor, kernel: Callable[[Tensor, Tensor], Tensor]) -> float:
    def within(v: Tensor) -> Tensor:
        gram = kernel(v, v)
        return (gram.sum() - gram.diagonal().sum()) / (len(v) * (len(v) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def floor(
    distance: Callable[[Tensor, Tensor], tuple[float, float]],
    real: Tensor,
    *,
    generator: Generator | None = None,
) -> tuple[float, float]:
    """Return `distance` between two random halves of `real`: what a perfect model could expect at that size."""
    order = torch.randperm(len(check_points(real, finite=True)), generator=generator)
    half = len(real) // 2
    return distance(real[order[:half]], real[order[half : 2 * half]])
