"""The games of the chapter on GANs over several seeds: the ring of eight modes, and the letters beside a DCGAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from genbook.cli import train_letters_gan
from genbook.data import checkpoints
from genbook.data.truths import RingOfGaussians
from genbook.evaluate.modes import mode_coverage
from genbook.models.gan import GAN, NON_SATURATING, WASSERSTEIN, Game, Penalty, gradient_penalty, r1, r2
from genbook.nn.fourier import FourierFeatures
from genbook.nn.mlp import mlp
from genbook.train import Ema, fit_adversarial, warmup_cosine

__all__ = ["RINGS", "letters_beside_dcgan", "ring", "ring_players", "rings"]

SEEDS = (0, 1, 2, 3, 4)
LATENT, LONGER = 2, 3
POINTS, SAMPLES = 20_000, 10_000
STEPS, BATCH, LEARNING_RATE = 2000, 256, 3e-3


@dataclass(frozen=True)
class Ring:
    """One game on the ring; `waves` says how fine a detail the critic can see."""

    game: Game
    penalties: Sequence[tuple[float, Penalty]]
    waves: float


RINGS = {
    "no penalty": Ring(NON_SATURATING, (), 8.0),
    "penalties on the slope, R1 and R2": Ring(NON_SATURATING, ((0.07, r1), (0.07, r2)), 8.0),
    "Wasserstein game, R1 and R2": Ring(WASSERSTEIN, ((0.5, r1), (0.5, r2)), 4.0),
    "Wasserstein game, gradient penalty": Ring(WASSERSTEIN, ((1.0, gradient_penalty),), 4.0),
}


def ring_players(seed: int, scale: float) -> tuple[nn.Module, nn.Module]:
    """Return the generator and the critic of the ring, untrained, drawn from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = mlp([LATENT, 128, 128, 128, 128, 2], activation=nn.ReLU)
        waves = FourierFeatures(2, 64, scale=scale)
        critic = nn.Sequential(waves, mlp([waves.outputs, 128, 128, 1], activation=partial(nn.LeakyReLU, 0.2)))
    return generator, critic


def ring(name: str, seed: int) -> dict[str, Any]:
    """Play one game on the ring from one seed; returns what its samples are like."""
    rules, truth = RINGS[name], RingOfGaussians()
    model = GAN(*ring_players(seed, rules.waves), latent=LATENT, game=rules.game, penalties=rules.penalties)
    average = Ema(model, 0.999)
    history = fit_adversarial(
        model,
        truth.sample(POINTS, generator=torch.Generator().manual_seed(seed)),
        steps=STEPS,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        schedule=warmup_cosine(0.02, 0.02),
        ema=average,
        seed=seed,
    )
    samples = average.model.sample(SAMPLES, generator=torch.Generator().manual_seed(99))
    found = mode_coverage(samples, truth.means, truth.scale)
    widths = found.widths[found.widths.isfinite()] / truth.scale
    return {
        "seed": seed,
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "covered": found.covered,
        "near": round(found.near, 4),
        "weights": [round(8 * float(w), 3) for w in (found.weights.min(), found.weights.max())],
        "widths": [round(float(w), 3) for w in (widths.min(), widths.max())] if len(widths) else None,
    }


def letters_beside_dcgan() -> dict[str, Any]:
    """Score the shipped generator, a plain DCGAN of as many steps, and our game of LONGER times as many."""
    steps, seed = checkpoints.card("letters-gan")["steps"], train_letters_gan.SEED
    plain, history = train_letters_gan.train(train_letters_gan.PLAIN, steps, seed)
    longer, _ = train_letters_gan.train(train_letters_gan.OURS, LONGER * steps, seed)
    drawn = torch.Generator().manual_seed(1)
    return {
        "threads": torch.get_num_threads(),
        "steps": steps,
        "seconds of the DCGAN": round(history.seconds, 1),
        "DCGAN": train_letters_gan.scores(plain.sample(train_letters_gan.PICTURES, generator=drawn)),
        "steps of the longer game": LONGER * steps,
        "longer": train_letters_gan.scores(longer.sample(train_letters_gan.PICTURES, generator=drawn)),
        "shipped": train_letters_gan.scores(train_letters_gan.shipped_samples()),
    }


def rings() -> dict[str, Any]:
    """Return what the samples of every game and seed are like, on the ring of eight modes."""
    runs = {name: [ring(name, seed) for seed in SEEDS] for name in RINGS}
    return {"threads": torch.get_num_threads(), "seeds": list(SEEDS), "games": runs}
