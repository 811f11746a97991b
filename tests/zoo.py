"""The zoo: one specimen of every public family, taught with data whose density is known.

`test_zoo.py` holds each specimen against the promises of `genbook.protocols` that its declared calls make. A
family that is not here fails `test_every_family_is_in_the_zoo`, a declared call that no test asks for fails
`test_offers_the_calls_it_declares_and_no_other`.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from genbook.data.truths import Mixture1D, Moons, RingOfGaussians
from genbook.models.autoencoder import PCA, Autoencoder
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.gan import GAN, NON_SATURATING, WASSERSTEIN, r1
from genbook.models.gpt import GPT
from genbook.models.histogram import Histogram
from genbook.models.hmm import HiddenMarkov
from genbook.models.kernel_density import KernelDensity
from genbook.models.linear_autoregression import LinearAutoregression
from genbook.models.mixture import GaussianMixture
from genbook.models.ngram import NGram
from genbook.models.probabilistic_pca import ProbabilisticPCA
from genbook.models.rbm import RBM
from genbook.models.vae import VAE
from genbook.nn.mlp import mlp
from genbook.prob.exponential import GaussianUnits, Levels
from genbook.prob.gaussian import log_normal
from genbook.prob.likelihoods import BernoulliPixels, CategoricalPixels, GaussianPixels, LogisticMixturePixels
from genbook.prob.smoothing import AddK, KneserNey, WittenBell
from genbook.train import fit, fit_adversarial, warmup_cosine

CALLS = (
    "fit", "loss", "critic_loss", "generator_loss", "sample", "log_prob", "elbo", "energy", "score",
    "encode", "decode", "translate",
)  # fmt: skip

#: Public classes of `genbook.models` that are parts of a family and answer no call themselves.
PARTS = {"Block", "Game", "SpectralNorm"}


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


class Diagonal(DiscreteTruth):
    """A mass function on pairs of levels that are seldom far apart."""

    def __init__(self):
        levels = torch.arange(6, dtype=torch.float64)
        table = torch.exp(-0.8 * (levels[:, None] - levels).square())
        self.table = table / table.sum()


class Bits:
    """A mass function on triples of bits, by a table."""

    dim, levels = 3, 2
    table = torch.tensor([0.30, 0.04, 0.05, 0.10, 0.03, 0.12, 0.06, 0.30], dtype=torch.float64)

    def sample(self, n, *, generator=None):
        cell = torch.multinomial(self.table, n, replacement=True, generator=generator)
        return (cell[:, None] >> torch.tensor([2, 1, 0]) & 1).float()

    def log_prob(self, x):
        return self.table[(x @ torch.tensor([4, 2, 1]).to(x)).long()].log()


class Chain:
    """A Markov chain of two steps' memory on sequences of four tokens: each law sums to 1 by the others."""

    dim, levels = 4, 3
    first = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    second = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.3, 0.3, 0.4]], dtype=torch.float64)
    later = torch.tensor(
        [
            [[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3]],
            [[0.2, 0.6, 0.2], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2]],
            [[0.1, 0.1, 0.8], [0.7, 0.2, 0.1], [0.2, 0.5, 0.3]],
        ],
        dtype=torch.float64,
    )

    def sample(self, n, *, generator=None):
        draw = partial(torch.multinomial, num_samples=1, generator=generator)
        x = [draw(self.first.expand(n, -1))[:, 0]]
        x.append(draw(self.second[x[0]])[:, 0])
        for _ in range(2):
            x.append(draw(self.later[x[-2], x[-1]])[:, 0])
        return torch.stack(x, 1)

    def log_prob(self, x):
        a, b, c, d = x.long().T
        return (self.first[a] * self.second[a, b] * self.later[a, b, c] * self.later[b, c, d]).log()


class Switches:
    """Sequences of four tokens from a machine with two hidden states that it seldom leaves, all paths added."""

    dim, levels = 4, 3
    start = torch.tensor([0.7, 0.3], dtype=torch.float64)
    move = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    emit = torch.tensor([[0.8, 0.15, 0.05], [0.05, 0.25, 0.7]], dtype=torch.float64)

    def sample(self, n, *, generator=None):
        draw = partial(torch.multinomial, num_samples=1, generator=generator)
        state, x = draw(self.start.expand(n, -1))[:, 0], []
        for _ in range(4):
            x.append(draw(self.emit[state])[:, 0])
            state = draw(self.move[state])[:, 0]
        return torch.stack(x, 1)

    def log_prob(self, x):
        x, total = x.long(), 0.0
        for path in itertools.product(range(2), repeat=4):
            term = self.start[path[0]] * self.emit[path[0], x[:, 0]]
            for t in range(1, 4):
                term = term * self.move[path[t - 1], path[t]] * self.emit[path[t], x[:, t]]
            total = total + term
        return total.log()


class TiltedGaussian:
    """A Gaussian in the plane: variance 4 along one direction, `least` along the other."""

    dim, least = 2, 0.09
    mean = torch.tensor([1.0, -2.0])
    bounds = torch.tensor([[-11.0, -14.0], [13.0, 10.0]])
    axes = torch.tensor([[0.8, 0.6], [-0.6, 0.8]])
    scales = torch.tensor([2.0, math.sqrt(least)])

    def sample(self, n, *, generator=None):
        return self.mean + (torch.randn(n, 2, generator=generator) * self.scales) @ self.axes

    def log_prob(self, x):
        return log_normal((x - self.mean.to(x)) @ self.axes.T.to(x), 0.0, self.scales).sum(1)


# ---- ways of learning: each takes a fresh model, the data, a seed and whether a few steps are enough, and returns
# ---- the model.
def by_counting(**options: Any) -> Callable[..., Any]:
    """Learn by the model's own `fit`, with a fixed generator where the family draws its start."""

    def learn(model: Any, x: Tensor, seed: int, quick: bool) -> Any:
        drawn = (
            {"generator": torch.Generator().manual_seed(seed)} if "generator" in model.fit.__annotations__ else {}
        )
        return model.fit(x, **options, **drawn)

    return learn


COUNTING = by_counting()


def by_descent(**options: Any) -> Callable[..., Any]:
    """Learn by following the gradient of one loss, from biases set to the data where the family does so."""

    def learn(model: Any, x: Tensor, seed: int, quick: bool) -> Any:
        if hasattr(model, "initialise"):
            drawn = "generator" in model.initialise.__annotations__
            model.initialise(x, **({"generator": torch.Generator().manual_seed(seed)} if drawn else {}))
        known = {"schedule": warmup_cosine(0.02)} | options | ({"steps": 15} if quick else {})
        fit(model, x, seed=seed, progress=False, **known)
        return model.eval()

    return learn


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
    other; `learn` teaches it. How far from the truth it may be after learning 4,000 points is stated

    - as `kl`, in nats, where its density is known: by `log_prob`, or by `density(model, x)`, a sum or an integral;
    - as `distance` where it only samples: the Wasserstein-1 distance of its samples in data units, averaged over
      directions;
    - as `error` where it encodes and decodes: the squared distance, on average, between an example and what comes
      back.
    """

    family: type
    make: Callable[..., Any]  # where `moves`, takes offset= and scale=, and starts from the same weights
    truth: Any
    calls: frozenset[str]
    learn: Callable[..., Any] = COUNTING
    density: Callable[[Any, Tensor], Tensor] | None = None
    kl: float | None = None
    distance: float | None = None
    error: float | None = None
    levels: int | None = None  # for masses on whole numbers
    smooth: bool = True  # whether the density has no jumps
    scale_exact: bool = True  # whether scaling the data scales the density exactly
    moves: bool = False  # whether its units are arguments of `make`
    tokens: bool = False  # whether data are int64 sequences

    def log_density(self, model: Any, x: Tensor) -> Tensor:
        """Return the log-density of `x`, `(n,)`: the model's own, or ours."""
        return model.log_prob(x) if self.density is None else self.density(model, x)

    @property
    def has_density(self) -> bool:
        """Whether the density of a taught model is known."""
        return "log_prob" in self.calls or self.density is not None

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


# ---- densities that a family does not tell itself ---------------------------------------------------------------
@torch.no_grad()
def normalised_energy(model: RBM, x: Tensor) -> Tensor:
    """Return minus the energy and the exact log Z, in float64."""
    model = copy.deepcopy(model).double()
    return -model.energy(x.double()) - model.log_partition()


@torch.no_grad()
def evidence(model: VAE, x: Tensor, points: int = 1500) -> Tensor:
    """Return log p(x) of a model with one latent number: an integral over it on a grid, in float64."""
    decoder = copy.deepcopy(model.decoder).double()
    edge = torch.linspace(-8, 8, points, dtype=torch.float64)
    parameters, log_mass = decoder(edge[:, None]), log_normal(edge) + math.log(edge[1] - edge[0])
    rows, inverse = torch.unique(x.double(), dim=0, return_inverse=True)
    found = []
    for part in rows.split(400):
        every = model.likelihood.log_prob(part.repeat_interleave(points, 0), parameters.repeat(len(part), 1))
        found.append((every.view(len(part), points) + log_mass).logsumexp(1))
    return torch.cat(found)[inverse]


# ---- small networks, their weights always the same --------------------------------------------------------------
def seeded(make: Callable[[], Any]) -> Any:
    """Return what `make` builds, its weights always the same, and leave the global generator alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def line_rbm(**units: float) -> RBM:
    """Return a machine with real-valued units for points on the line."""
    kind = GaussianUnits(**({"offset": 0.0, "scale": 0.5} | units))
    return RBM(1, 6, units=kind, chains=200, gibbs_steps=5, generator=torch.Generator().manual_seed(0))


def line_vae(**units: float) -> VAE:
    """Return a variational autoencoder with Gaussian noise for points on the line."""
    units = {"offset": 0.0, "scale": 2.0} | units
    noise = GaussianPixels(0.15 * units["scale"], offset=units["offset"], unit=units["scale"])
    networks = seeded(lambda: (mlp([1, 32, 32, 2]), mlp([1, 32, 32, 1])))
    return VAE(*networks, noise, latent=1, shape=(1,), **units)


def discrete_vae(dim: int, likelihood: Any, scale: float) -> Callable[[], VAE]:
    """Return a maker of variational autoencoders of `dim` whole numbers with one latent number."""
    sizes = [1, 32, 32, dim * likelihood.outputs]
    return lambda: VAE(
        *seeded(lambda: (mlp([dim, 32, 32, 2]), mlp(sizes))), likelihood, latent=1, shape=(dim,), scale=scale
    )


def plane_autoencoder(**units: float) -> Autoencoder:
    """Return an autoencoder of points in the plane with one number for a code."""
    networks = seeded(lambda: (mlp([2, 48, 48, 1]), mlp([1, 48, 48, 2])))
    return Autoencoder(*networks, **({"scale": 2.0} | units))


def tiny_gpt() -> GPT:
    """Return a small GPT for sequences of four tokens, its weights always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPT(3, 4, width=16, layers=2, heads=2, rotary=False).double()


DENSITY = frozenset({"fit", "loss", "sample", "log_prob"})
SMOOTH = DENSITY | {"score"}
COUNTS = frozenset({"fit", "sample", "log_prob"})
TWO_PLAYERS = frozenset({"critic_loss", "generator_loss", "sample", "decode"})
MACHINE = frozenset({"loss", "sample", "energy"})
BOUND = frozenset({"loss", "elbo", "sample", "encode", "decode"})
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
    Specimen(LinearAutoregression, lambda: LinearAutoregression(2, 6), Diagonal(),
             frozenset({"loss", "sample", "log_prob"}), kl=0.1, levels=6,
             learn=by_descent(steps=400, learning_rate=0.05)),
    Specimen(NGram, lambda: NGram(3, 2, WittenBell()), Chain(), COUNTS, kl=0.02, levels=3, tokens=True),
    Specimen(NGram, lambda: NGram(3, 2, KneserNey()), Chain(), COUNTS, kl=0.02, levels=3, tokens=True),
    Specimen(NGram, lambda: NGram(3, 3, AddK(0.5)), Chain(), COUNTS, kl=0.02, levels=3, tokens=True),
    Specimen(HiddenMarkov, lambda: HiddenMarkov(2, 3), Switches(), COUNTS, kl=0.02, levels=3, tokens=True,
             learn=by_counting(starts=4, rounds=150)),
    Specimen(GPT, tiny_gpt, Chain(), frozenset({"loss", "sample", "log_prob"}), kl=0.03, levels=3, tokens=True,
             learn=by_descent(steps=300, learning_rate=0.01)),
    Specimen(RBM, lambda: RBM(3, 6, generator=torch.Generator().manual_seed(0)), Bits(), MACHINE, kl=0.02,
             levels=2, density=normalised_energy, learn=by_descent(steps=500, learning_rate=0.05)),
    Specimen(RBM, lambda: RBM(2, 8, units=Levels(6), chains=200, gibbs_steps=3,
                              generator=torch.Generator().manual_seed(0)),
             DiscreteTruth(), MACHINE, kl=0.05, levels=6, density=normalised_energy,
             learn=by_descent(steps=900, learning_rate=0.05)),
    Specimen(RBM, line_rbm, Mixture1D((0.3, 0.7), (-1.5, 1.0), (0.5, 0.5)), MACHINE, kl=0.04,
             density=normalised_energy, moves=True, learn=by_descent(steps=500, learning_rate=0.1)),
    Specimen(PCA, lambda: PCA(1), TiltedGaussian(), frozenset({"fit", "encode", "decode"}), error=0.093),
    Specimen(Autoencoder, plane_autoencoder, Moons(), frozenset({"loss", "encode", "decode"}), error=0.1,
             moves=True, learn=by_descent(steps=600, learning_rate=0.02)),
    Specimen(ProbabilisticPCA, lambda: ProbabilisticPCA(1), TiltedGaussian(), SMOOTH | {"encode", "decode"},
             kl=0.002, error=0.095),
    Specimen(VAE, line_vae, Mixture1D(), BOUND, kl=0.1, error=0.03, density=evidence, moves=True,
             learn=by_descent(steps=900, learning_rate=0.01)),
    Specimen(VAE, discrete_vae(3, BernoulliPixels(), 1.0), Bits(), BOUND, kl=0.04, error=0.4, levels=2,
             density=evidence, learn=by_descent(steps=500, learning_rate=0.01)),
    Specimen(VAE, discrete_vae(2, CategoricalPixels(6), 2.0), Diagonal(), BOUND, kl=0.02, error=0.4, levels=6,
             density=evidence, learn=by_descent(steps=500, learning_rate=0.01)),
    Specimen(VAE, discrete_vae(2, LogisticMixturePixels(6, 3), 2.0), Diagonal(), BOUND, kl=0.02, error=0.4,
             levels=6, density=evidence, learn=by_descent(steps=500, learning_rate=0.01)),
    Specimen(GAN, ring_gan, RingOfGaussians(), TWO_PLAYERS, distance=0.25, moves=True,
             learn=by_playing(steps=300, learning_rate=8e-3, schedule=lambda share: 1 - share)),
    Specimen(GAN, line_gan, Mixture1D(), TWO_PLAYERS, distance=0.35, moves=True,
             learn=by_playing(steps=400, learning_rate=5e-3, schedule=lambda share: 1 - share)),
)  # fmt: skip


@cache
def training_data(specimen: Specimen) -> Tensor:
    """Return the 4,000 points that the specimen learns from."""
    return specimen.truth.sample(4000, generator=torch.Generator().manual_seed(1))


@cache
def fitted(specimen: Specimen) -> Any:
    """Return the specimen after learning; made once, and no test may change it."""
    with torch.enable_grad():  # whichever test asks first
        return teach(specimen, training_data(specimen))


def teach(specimen: Specimen, x: Tensor, *, seed: int = 2, quick: bool = False) -> Any:
    """Return a fresh model that has learnt from `x`; `quick` asks for a few steps only, where there are steps."""
    return specimen.learn(specimen.make(), x.clone(), seed, quick)
