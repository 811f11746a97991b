"""The variational autoencoders of the book: digits for the leaderboard, letters for the pages and the labs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from genbook.cli.record import Measured, Trained
from genbook.data import digits, letters
from genbook.evaluate.iwae import iwae
from genbook.models.vae import VAE
from genbook.nn.coders import PictureDecoder, PictureEncoder
from genbook.prob.likelihoods import LogisticMixturePixels
from genbook.train import Ema, History, adamw, fit, warmup_cosine

__all__ = [
    "digits_vae",
    "letters_vae",
    "recipe_of_letters",
    "recipe_of_plane",
    "train_digits_vae",
    "train_letters_vae",
]

SEED, STEPS = 0, 3000


def digits_vae(*, latent: int = 32, components: int = 3, dropout: float = 0.1) -> VAE:
    """Return the untrained model of the digits: whole numbers from 0 to 16, 8×8."""
    likelihood = LogisticMixturePixels(17, components)
    return VAE(
        PictureEncoder(2 * latent, (16, 32), dropout=dropout, noise=0.1),
        PictureDecoder(latent, (32, 16), planes=likelihood.outputs, dropout=dropout),
        likelihood,
        latent=latent,
        shape=(1, 8, 8),
        offset=8.0,
        scale=8.0,
    )


def letters_vae(latent: int) -> VAE:
    """Return the untrained model of the letters: whole numbers from 0 to 255, 32×32."""
    likelihood = LogisticMixturePixels(256, 2)
    return VAE(
        PictureEncoder(2 * latent, (16, 32, 64), patch=2, dropout=0.1, noise=0.1),
        PictureDecoder(latent, (64, 32, 16), patch=2, planes=likelihood.outputs, dropout=0.1),
        likelihood,
        latent=latent,
        shape=(1, 32, 32),
        scale=255.0,
    )


def train_digits_vae(steps: int, seed: int, *, weight_decay: float = 0.5, **network: float) -> tuple[VAE, History]:
    """Train the model of the digits; returns the one with averaged weights in `eval()`, and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = digits_vae(**network)
    return _train(model, digits.load("train").images, steps, seed, weight_decay, 128)


def train_letters_vae(latent: int, steps: int, seed: int, checkpoint: Path | None = None) -> tuple[VAE, History]:
    """Train a model of the letters; returns the one with averaged weights in `eval()`, and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = letters_vae(latent)
    return _train(model, letters.load("train").images, steps, seed, 0.3, 64, checkpoint)


def _train(
    model: VAE, data: Tensor, steps: int, seed: int, decay: float, batch: int, checkpoint: Path | None = None
) -> tuple[VAE, History]:
    average = Ema(model, 0.99)
    history = fit(
        model,
        data,
        steps=steps,
        batch_size=batch,
        learning_rate=2e-3,
        optimizer=adamw(decay, fused=True),
        schedule=warmup_cosine(0.03),
        clip=200.0,
        ema=average,
        seed=seed,
        checkpoint=checkpoint,
    )
    return average.model.eval(), history


def recipe_of_plane(checkpoint: Path, steps: int = STEPS) -> Trained:
    """Train the model of letters whose codes are points of a plane."""
    return _recipe(2, checkpoint, steps)


def recipe_of_letters(checkpoint: Path, steps: int = STEPS) -> Trained:
    """Train the model of letters with codes of 24 numbers."""
    return _recipe(24, checkpoint, steps)


def _recipe(latent: int, checkpoint: Path, steps: int) -> Trained:
    model, history = train_letters_vae(latent, steps, SEED, checkpoint)
    held_out, drawn = letters.load("held_out").images, torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        noise = torch.randn(len(held_out), latent, generator=drawn)
        bound = model.elbo(held_out, noise=noise)
        error = (model.decode(model.encode(held_out)) - held_out).div(255).square().flatten(1).sum(1)
    weighted, _ = iwae(model, held_out, samples=100, generator=drawn)
    return Trained(
        model=model,
        what=f"variational autoencoder of the 52 letters, codes of {latent} numbers",
        load=f"letters_vae({latent})",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={
            "evidence lower bound on held-out letters, nats": Measured.mean_of(bound),
            "importance-weighted bound, 100 samples, nats": Measured.mean_of(weighted),
            "squared error of held-out letters, ink": Measured.mean_of(error),
        },
        interrupted=history.interrupted,
    )
