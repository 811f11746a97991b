"""The zoo: one specimen of every public family, fitted to data whose density is known.

`test_zoo.py` holds each specimen against every promise of `genbook.protocols`. A family that is not here fails
`test_every_family_is_in_the_zoo`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor

from genbook.data.truths import Mixture1D, Moons, RingOfGaussians
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.histogram import Histogram
from genbook.models.kernel_density import KernelDensity
from genbook.models.mixture import GaussianMixture

CALLS = (
    "fit", "loss", "critic_loss", "generator_loss", "sample", "log_prob", "elbo", "energy", "score",
    "encode", "decode", "translate",
)  # fmt: skip


class DiscreteTruth:
    """A mass function on pairs of levels, by a table: the smallest discrete truth."""

    dim, levels = 2, 6

    def __init__(self):
        rows = torch.tensor([0.05, 0.30, 0.15, 0.10, 0.30, 0.10], dtype=torch.float64)
        shift = torch.stack([rows.roll(i) for i in range(6)])
        self.table = shift / shift.sum()

    def sample(self, n, *, generator=None):
        cell = torch.multinomial(self.table.flatten(), n, replacement=True, generator=generator)
        return torch.stack([cell // 6, cell % 6], dim=1).float()

    def log_prob(self, x):
        return self.table[x[:, 0].long(), x[:, 1].long()].log()


@dataclass(frozen=True, eq=False)
class Specimen:
    """One family with the truth that it learns and the promises it makes.

    `make()` returns a fresh model that has seen nothing; `calls` are the calls it offers, and it must offer no
    other; `kl` is the largest allowed KL divergence from the truth after fitting 4,000 points, in nats.
    """

    family: type
    make: Callable[[], Any]
    truth: Any
    calls: frozenset[str]
    kl: float
    levels: int | None = None  # for masses on whole numbers
    smooth: bool = True  # whether the density has no jumps
    scale_exact: bool = True  # whether scaling the data scales the density exactly
    fit_with: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name shown by pytest."""
        return f"{self.family.__name__}-{type(self.truth).__name__}"


DENSITY = frozenset({"fit", "loss", "sample", "log_prob"})
SMOOTH = DENSITY | {"score"}
SPECIMENS = (
    Specimen(Histogram, lambda: Histogram(40), Mixture1D(), DENSITY, kl=0.015, smooth=False),
    Specimen(Histogram, lambda: Histogram(24, smoothing=0.05), Moons(), DENSITY, kl=0.15, smooth=False),
    Specimen(KernelDensity, lambda: KernelDensity(0.15), Mixture1D(), SMOOTH, kl=0.008, scale_exact=False),
    Specimen(KernelDensity, KernelDensity, Moons(), SMOOTH, kl=0.4),
    Specimen(KernelDensity, lambda: KernelDensity(0.05), RingOfGaussians(), SMOOTH, kl=0.045,
             scale_exact=False),
    Specimen(GaussianMixture, lambda: GaussianMixture(3, ridge=0.0), Mixture1D(), SMOOTH, kl=0.003),
    Specimen(GaussianMixture, lambda: GaussianMixture(8, ridge=0.0), RingOfGaussians(), SMOOTH, kl=0.01,
             fit_with={"starts": 4}),
    Specimen(CategoricalMixture, lambda: CategoricalMixture(6, 6, smoothing=0.01), DiscreteTruth(), DENSITY,
             kl=0.012, levels=6),
)  # fmt: skip


@cache
def training_data(specimen: Specimen) -> Tensor:
    """Return the 4,000 points that the specimen is fitted to."""
    return specimen.truth.sample(4000, generator=torch.Generator().manual_seed(1))


@cache
def fitted(specimen: Specimen) -> Any:
    """Return the specimen after learning; made once, and no test may change it."""
    return fit(specimen, training_data(specimen))


def fit(specimen: Specimen, x: Tensor) -> Any:
    """Return a fresh model fitted to `x`, with a fixed generator where the family draws its start."""
    options = dict(specimen.fit_with)
    if "generator" in specimen.family.fit.__annotations__:
        options["generator"] = torch.Generator().manual_seed(2)
    return specimen.make().fit(x.clone(), **options)
