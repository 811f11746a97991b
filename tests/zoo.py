"""The zoo: one specimen of every public family, taught with data whose density is known.

`test_zoo.py` holds each specimen against the promises of `genbook.protocols` that its declared calls make. A
family that is not here fails `test_every_family_is_in_the_zoo`, a declared call that no test asks for fails
`test_offers_the_calls_it_declares_and_no_other`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from genbook.data.truths import Mixture1D, Moons, RingOfGaussians
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.gan import GAN, NON_SATURATING, WASSERSTEIN, r1
from genbook.models.histogram import Histogram
from genbook.models.kernel_density import KernelDensity
from genbook.models.mixture import GaussianMixture
from genbook.nn.mlp import mlp
from genbook.train import fit_adversarial

CALLS = (
    "fit", "loss", "critic_loss", "generator_loss", "sample", "log_prob", "elbo", "energy", "score",
    "encode", "decode", "translate",
)  # fmt: skip

#: Public classes of `genbook.models` that are parts of a family and answer no call themselves.
PARTS = {"Game", "SpectralNorm"}


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


# ---- ways of learning: each takes a fresh model, the data, a seed and whether a few steps are enough, and returns
# ---- the model. A family that follows the gradient of one loss would bring `by_descent`, around `train.fit`.
def by_counting(**options: Any) -> Callable[..., Any]:
    """Learn by the model's own `fit`, with a fixed generator where the family draws its start."""

    def learn(model: Any, x: Tensor, seed: int, quick: bool) -> Any:
        drawn = (
            {"generator": torch.Generator().manual_seed(seed)} if "generator" in model.fit.__annotations__ else {}
        )
        return model.fit(x, **options, **drawn)

    return learn


COUNTING = by_counting()


def by_playing(**options: Any) -> Callable[..., Any]:
    """Learn by a game of two players, and end in evaluation mode."""

    def learn(model: Any, x: Tensor, seed: int, quick: bool) -> Any:
        fit_adversarial(model, x, seed=seed, progress=False, **(options | ({"steps": 15} if quick else {})))
        return model.eval()

    return learn


@dataclass(frozen=True, eq=False)
class Specimen:
    """One family with the truth that it learns and the promises it makes.

    `make()` returns a fresh model that has seen nothing; `calls` are the calls it offers, and it must offer no
    other; `learn` teaches it. How far from the truth it may be after learning 4,000 points is stated as `kl`, in
    nats, where it has a `log_prob`, and otherwise as `distance`: the Wasserstein-1 distance of its samples in data
    units, averaged over directions.
    """

    family: type
    make: Callable[..., Any]  # of a two-player family: takes offset= and scale=, and starts from the same weights
    truth: Any
    calls: frozenset[str]
    learn: Callable[..., Any] = COUNTING
    kl: float | None = None
    distance: float | None = None
    levels: int | None = None  # for masses on whole numbers
    smooth: bool = True  # whether the density has no jumps
    scale_exact: bool = True  # whether scaling the data scales the density exactly

    @property
    def name(self) -> str:
        """The name shown by pytest."""
        return f"{self.family.__name__}-{type(self.truth).__name__}"


def ring_gan(**units: float) -> GAN:
    """Return a small GAN for the ring, its weights always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        players = mlp([4, 48, 48, 2]), mlp([2, 48, 48, 1])
    units = {"scale": 2.0} | units
    return GAN(*players, latent=4, game=NON_SATURATING, penalties=[(0.1, r1)], **units)


def line_gan(**units: float) -> GAN:
    """Return a small Wasserstein GAN for points on the line, its weights always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        players = mlp([2, 32, 32, 1]), mlp([1, 32, 32, 1])
    return GAN(
        *players, latent=2, game=WASSERSTEIN, penalties=[(0.3, r1)], **({"offset": 0.5, "scale": 3.0} | units)
    )


DENSITY = frozenset({"fit", "loss", "sample", "log_prob"})
SMOOTH = DENSITY | {"score"}
TWO_PLAYERS = frozenset({"critic_loss", "generator_loss", "sample", "decode"})
SPECIMENS = (
    Specimen(Histogram, lambda: Histogram(40), Mixture1D(), DENSITY, kl=0.015, smooth=False),
    Specimen(Histogram, lambda: Histogram(24, smoothing=0.05), Moons(), DENSITY, kl=0.15, smooth=False),
    Specimen(KernelDensity, lambda: KernelDensity(0.15), Mixture1D(), SMOOTH, kl=0.008, scale_exact=False),
    Specimen(KernelDensity, KernelDensity, Moons(), SMOOTH, kl=0.4),
    Specimen(KernelDensity, lambda: KernelDensity(0.05), RingOfGaussians(), SMOOTH, kl=0.045,
             scale_exact=False),
    Specimen(GaussianMixture, lambda: GaussianMixture(3, ridge=0.0), Mixture1D(), SMOOTH, kl=0.003),
    Specimen(GaussianMixture, lambda: GaussianMixture(8, ridge=0.0), RingOfGaussians(), SMOOTH, kl=0.01,
             learn=by_counting(starts=4)),
    Specimen(CategoricalMixture, lambda: CategoricalMixture(6, 6, smoothing=0.01), DiscreteTruth(), DENSITY,
             kl=0.012, levels=6),
    Specimen(GAN, ring_gan, RingOfGaussians(), TWO_PLAYERS, distance=0.25,
             learn=by_playing(steps=300, learning_rate=8e-3, schedule=lambda share: 1 - share)),
    Specimen(GAN, line_gan, Mixture1D(), TWO_PLAYERS, distance=0.35,
             learn=by_playing(steps=400, learning_rate=5e-3, schedule=lambda share: 1 - share)),
)  # fmt: skip


@cache
def training_data(specimen: Specimen) -> Tensor:
    """Return the 4,000 points that the specimen learns from."""
    return specimen.truth.sample(4000, generator=torch.Generator().manual_seed(1))


@cache
def fitted(specimen: Specimen) -> Any:
    """Return the specimen after learning; made once, and no test may change it."""
    return teach(specimen, training_data(specimen))


def teach(specimen: Specimen, x: Tensor, *, seed: int = 2, quick: bool = False) -> Any:
    """Return a fresh model that has learnt from `x`; `quick` asks for a few steps only, where there are steps."""
    return specimen.learn(specimen.make(), x.clone(), seed, quick)
