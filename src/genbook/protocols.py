"""The calls that a generative model may answer, and what each call means.

There is no base class. A family offers exactly the calls that it can answer honestly, and a missing call is
a fact about the family: an autoencoder has no `sample`, a GAN has no `log_prob`. The protocols below are
read by people and by the tests (`tests/test_zoo.py` holds every family against every promise made here).

Eight rules hold for all of them.

1. Data units in, data units out. Scaling and dequantisation live inside the model, with their Jacobians, so
   that what `sample` returns can be given to `log_prob` and plotted beside the data.
2. Log-probabilities are in nats per example, shape `(n,)`.
3. `log_prob` is exact. A lower bound is called `elbo`; Monte-Carlo estimates live in `genbook.evaluate` and
   return `(value, standard_error)`.
4. `loss(x)` equals `-log_prob(x).mean()` where `log_prob` exists, else `-elbo(x).mean()` where `elbo` exists
   (or the docstring states how it is re-weighted), else the docstring calls it a surrogate.
5. Randomness comes in by the door: `generator=` for draws, `noise=` and `t=` for losses. Every generator is
   the processor's. Families that count and the samplers are written for the processor alone; a family with
   networks draws its noise there and moves it to them.
6. Networks are arguments. A time-dependent network is `net(x, t, cond=None)` and returns the shape of `x`;
   time runs from t = 0 (data) to t = 1 (noise) in the whole book.
7. `sample` is thin: it draws a start and calls a function of `genbook.samplers`.
8. The truths of `genbook.data` answer the same calls, so every plot, sampler and metric takes either.
"""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

from torch import Generator, Tensor

__all__ = [
    "Decodes",
    "Encodes",
    "Fits",
    "HasElbo",
    "HasEnergy",
    "HasLogProb",
    "HasLoss",
    "HasScore",
    "Samples",
    "Translates",
    "TwoPlayers",
]


@runtime_checkable
class Fits(Protocol):
    """Learns in closed form, by counting or by EM, without a gradient."""

    def fit(self, x: Tensor) -> Self:
        """Learn from the data `x`, shape `(n, …)`, and return the model itself."""
        ...


@runtime_checkable
class HasLoss(Protocol):
    """Learns by following a gradient."""

    def loss(self, x: Tensor, **known: Any) -> Tensor:
        """Return the scalar to minimise on the batch `x`; `noise=` and `t=` fix what would be drawn."""
        ...


@runtime_checkable
class TwoPlayers(Protocol):
    """Learns by a game between a generator and a critic.

    The two players are the modules `critic` and `generator` of the model, and share no parameter: a training loop
    gives each an optimiser of its own (`genbook.train.fit_adversarial`). Both losses are surrogates.
    """

    def critic_loss(self, x: Tensor, **known: Any) -> Tensor:
        """Return the scalar that the critic minimises on the real batch `x`."""
        ...

    def generator_loss(self, n: int, **known: Any) -> Tensor:
        """Return the scalar that the generator minimises on `n` draws of its own."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Draws new data."""

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` examples, shape `(n, …)`, in data units; equal generators give equal draws."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """Knows its density, or its probability mass, exactly."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return `log p(x)` in nats, shape `(n,)`; it integrates (or sums) to 1 over the data's space."""
        ...


@runtime_checkable
class HasElbo(Protocol):
    """Knows a lower bound on its log-density."""

    def elbo(self, x: Tensor, **known: Any) -> Tensor:
        """Return a lower bound on `log p(x)` in nats, shape `(n,)`."""
        ...


@runtime_checkable
class HasEnergy(Protocol):
    """Knows its log-density up to a constant."""

    def energy(self, x: Tensor) -> Tensor:
        """Return `E(x)`, shape `(n,)`, with `p(x) = exp(-E(x)) / Z`."""
        ...


@runtime_checkable
class HasScore(Protocol):
    """Knows the gradient of its log-density."""

    def score(self, x: Tensor) -> Tensor:
        r"""Return `∇ₓ log p(x)`, the shape of `x`; time-dependent models take `t` as well."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Maps data to codes."""

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, shape `(n, …)`."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Maps codes to data."""

    def decode(self, z: Tensor) -> Tensor:
        """Return the data that the codes `z` stand for, in data units."""
        ...


@runtime_checkable
class Translates(Protocol):
    """Maps examples of one kind to examples of another."""

    def translate(self, x: Tensor) -> Tensor:
        """Return the counterpart of `x` in the other domain."""
        ...
