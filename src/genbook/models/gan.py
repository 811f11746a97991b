r"""Generative adversarial networks: two players, the parts of their games, and what keeps the games stable.

Sources: Goodfellow et al. (2014), arXiv:1406.2661, the minimax game and the non-saturating loss; Arjovsky,
Chintala and Bottou (2017), arXiv:1701.07875, the Wasserstein game; Gulrajani et al. (2017), arXiv:1704.00028, the
gradient penalty; Mescheder, Geiger and Nowozin (2018), arXiv:1801.04406, R1; Miyato et al. (2018),
arXiv:1802.05957, spectral normalisation; Zhao et al. (2020), arXiv:2006.10738, differentiable augmentation.

A critic returns one number an example, its *logit*. In the two games of Goodfellow et al. D(x) = sigmoid(logit) is
the probability that x is real, and the best logit is log p(x) - log q(x). In the Wasserstein game it is a bare
number. A game, penalties on the critic's slope, an augmentation and the normalisation of the networks' weights are
separate parts; any of them can be combined.

Simplified from the papers: one critic step knows one batch (no replay, no minibatch statistics); R1 is taken in
every step, not every sixteenth; the weight clipping of Arjovsky et al. is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import normalize, softplus
from torch.nn.utils import parametrize

from genbook.checks import check_count, check_points, check_positive

__all__ = [
    "GAN",
    "MINIMAX",
    "NON_SATURATING",
    "WASSERSTEIN",
    "Game",
    "SpectralNorm",
    "gradient_penalty",
    "r1",
    "r2",
    "spectral_norm",
]

Penalty = Callable[..., Tensor]


# ---- games: what each player minimises, given the critic's logits -----------------------------------------------
class Game(NamedTuple):
    """Two losses: `critic(real_logits, fake_logits)` and `generator(fake_logits)`, each a scalar to minimise."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    """Return -E log D(real) - E log(1 - D(fake)): minus the value V of Goodfellow et al., equation 1."""
    return softplus(-real).mean() + softplus(fake).mean()


def _fooled(fake: Tensor) -> Tensor:
    """Return E log(1 - D(fake)): falls as the critic is fooled, but is flat while the critic is sure."""
    return -softplus(fake).mean()


def _believed(fake: Tensor) -> Tensor:
    """Return -E log D(fake): the same fixed point, but a strong slope where the critic is sure (section 3)."""
    return softplus(-fake).mean()


def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return E f(fake) - E f(real): minus the Wasserstein-1 distance, if f is the best function of slope ≤ 1."""
    return fake.mean() - real.mean()


def _wasserstein_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


MINIMAX = Game(_cross_entropy, _fooled)
NON_SATURATING = Game(_cross_entropy, _believed)
WASSERSTEIN = Game(_wasserstein_critic, _wasserstein_generator)


# ---- penalties on the critic's slope ----------------------------------------------------------------------------
def _slope(critic: nn.Module, x: Tensor) -> Tensor:
    """Return each example's gradient of the logit by the input, `(n, inputs)`, as part of the graph."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return gradient.flatten(1)


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor, *, mix: Tensor | None = None) -> Tensor:
    r"""Return $E(\lVert\nabla f(\hat x)\rVert - 1)^2$ at random points between pairs of real and fake examples.

    `real` and `fake` have one shape; `mix`, `(n,)` in [0, 1], places $\hat x$ = mix·real + (1 - mix)·fake (drawn
    where not given). Gulrajani et al. (2017), equation 3, where its weight is 10.
    """
    mix = torch.rand(len(real), device=real.device) if mix is None else mix
    mix = mix.to(real).view(-1, *[1] * (real.ndim - 1))
    slope = _slope(critic, mix * real + (1 - mix) * fake)
    return (slope.norm(dim=1) - 1).square().mean()


def r1(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    r"""Return $\tfrac12 E\lVert\nabla f(x)\rVert^2$ on the real examples; Mescheder et al. (2018), equation 9."""
    return 0.5 * _slope(critic, real).square().sum(1).mean()


def r2(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    r"""Return $\tfrac12 E\lVert\nabla f(x)\rVert^2$ on the fake examples; Mescheder et al. (2018), equation 10."""
    return 0.5 * _slope(critic, fake).square().sum(1).mean()


class SpectralNorm(nn.Module):
    r"""A parametrisation that divides a weight matrix by its largest singular value σ, found by power iteration.

    The weight is flattened to `(outputs, rest)`. Each forward pass in training mode takes one step of
    $v \leftarrow W^\top u/\lVert\cdot\rVert$, $u \leftarrow W v/\lVert\cdot\rVert$, and $\sigma = u^\top W v$; the
    steps carry no gradient, σ does (Miyato et al. 2018, algorithm 1 and equation 8).
    """

    def __init__(self, weight: Tensor, *, generator: Generator | None = None, warmup: int = 15) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", normalize(torch.randn(len(matrix), generator=generator).to(matrix), dim=0))
        self.register_buffer("v", normalize(matrix.T @ self.u, dim=0))
        for _ in range(check_count(warmup, name="warmup", least=0)):
            self._iterate(matrix)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.v = normalize(matrix.T @ self.u, dim=0)
        self.u = normalize(matrix @ self.v, dim=0)

    def forward(self, weight: Tensor) -> Tensor:
        """Return `weight` divided by its estimated largest singular value."""
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix)
        return weight / torch.dot(self.u, matrix @ self.v)


def spectral_norm(network: nn.Module, *, generator: Generator | None = None) -> nn.Module:
    """Put `SpectralNorm` on every linear and convolutional weight of `network`, in place; returns the network."""
    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight, generator=generator))
    return network


# ---- the two players --------------------------------------------------------------------------------------------
class GAN(nn.Module):
    """A generator that turns noise into examples, and a critic that compares them with real ones.

    `generator` maps noise `(n, latent)`, standard normal, to examples in the networks' units; `critic` maps
    examples to logits `(n,)` or `(n, 1)`. Examples in data units are `offset + scale ·` those in the networks'
    units. `penalties` are pairs (weight, penalty); `augment` is a differentiable random map that every batch
    passes, real or fake, before the critic sees it, and that `sample` does not apply.

    There is no `log_prob`: the generator pushes noise forward, and nothing in it can be asked how probable an
    image is. After training the critic is not needed. Both losses are surrogates: neither tells sample quality.
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        *,
        latent: int,
        game: Game = NON_SATURATING,
        penalties: Sequence[tuple[float, Penalty]] = (),
        augment: Callable[[Tensor], Tensor] | None = None,
        offset: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.generator, self.critic = generator, critic
        self.latent = check_count(latent, name="latent")
        self.game, self.augment = game, augment or nn.Identity()
        self.penalties = [(check_positive(weight, name="the weight of a penalty"), p) for weight, p in penalties]
        self.scale = check_positive(scale, name="scale")
        if not math.isfinite(offset):
            raise ValueError(f"offset must be finite, got {offset}")
        self.offset = float(offset)

    def draw_noise(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` latent vectors, `(n, latent)`, from the standard normal, on the generator's device."""
        noise = torch.randn(check_count(n), self.latent, generator=generator)
        return noise.to(next(self.generator.parameters()).device)

    def critic_loss(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the critic's loss on the real batch `x`, in data units, against as many fakes; penalties added.

        A surrogate. `noise`, `(n, latent)`, is drawn where not given. No gradient reaches the generator.
        """
        check_points(x.flatten(1) if isinstance(x, Tensor) and x.ndim > 2 else x)
        with torch.no_grad():  # the critic's step must not move the generator
            fake = self.generator(self._latent_vectors(len(x), noise))
        real, fake = self.augment((x - self.offset) / self.scale), self.augment(fake)
        loss = self.game.critic(self.critic(real), self.critic(fake))
        return loss + sum(weight * penalty(self.critic, real, fake) for weight, penalty in self.penalties)

    def generator_loss(self, n: int, *, noise: Tensor | None = None) -> Tensor:
        """Return the generator's loss on `n` fakes; a surrogate. `noise`, `(n, latent)`, is drawn if not given."""
        noise = self._latent_vectors(n, noise)
        return self.game.generator(self.critic(self.augment(self.generator(noise))))

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` examples, in data units."""
        return self.decode(self.draw_noise(n, generator=generator))

    def decode(self, z: Tensor) -> Tensor:
        """Return the examples, in data units, that the latent vectors `z`, `(n, latent)`, stand for."""
        return self.offset + self.scale * self.generator(z)

    def _latent_vectors(self, n: int, noise: Tensor | None) -> Tensor:
        """Return the noise given, where it is `(n, latent)`, or draw it."""
        if noise is not None and noise.shape != (check_count(n), self.latent):
            raise ValueError(f"noise must have shape ({n}, {self.latent}), got {tuple(noise.shape)}")
        return self.draw_noise(n) if noise is None else noise
