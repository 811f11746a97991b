"""The letters of the chapter on GANs: the shipped generator, its scores, and the plain DCGAN beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbook.cli.record import Measured, Trained
from genbook.data import checkpoints, letters
from genbook.evaluate.manifold import compare_manifolds
from genbook.evaluate.memorisation import share_of_copies
from genbook.evaluate.two_sample import frechet_distance, kernel_distance
from genbook.models.gan import GAN, r1
from genbook.nn.classifier import Classifier
from genbook.nn.images import DCGANCritic, DCGANGenerator, ImageCritic, ImageGenerator
from genbook.train import AdversarialHistory, Ema, constant, fit_adversarial, load_weights, warmup_cosine

__all__ = ["OURS", "PICTURES", "PLAIN", "Recipe", "letters_gan", "ours", "scores", "shipped_samples", "train"]

SEED, BATCH, STEPS = 0, 64, 1200
LATENT, CODES = 96, (len(letters.NAMES), 24)  # which letter, 24 choices without a name, and 20 more numbers
PICTURES = 5200  # samples that are scored: a hundred a letter
CHECKPOINT_EVERY = 250
COPIES = 0.05  # a copy lies as near to a training letter as the nearest 5 % of held-out letters


def ours() -> GAN:
    """Return the untrained game of the shipped letters: both players are told which letter a picture is to be."""
    artist = ImageGenerator(LATENT, codes=CODES, labelled=True)
    critic = ImageCritic(classes=len(letters.NAMES))
    return GAN(artist, critic, latent=LATENT, penalties=((0.3, r1),), offset=127.5, scale=127.5)


def dcgan() -> GAN:
    """Return the plain game of Radford et al. (2015), untrained: no penalty, normalisation in both players."""
    return GAN(DCGANGenerator(100), DCGANCritic(), latent=100, offset=127.5, scale=127.5)


@dataclass(frozen=True)
class Recipe:
    """A game on the letters and the settings it is trained with; `data` turns the letters into its examples."""

    build: Callable[[], GAN]
    data: Callable[[letters.Letters], Tensor]
    learning_rate: float
    betas: tuple[float, float]
    schedule: Callable[[float], float]


def train(recipe: Recipe, steps: int, seed: int, checkpoint: Path | None = None) -> tuple[GAN, AdversarialHistory]:
    """Train a game on the letters; returns the one with averaged weights in `eval()`, and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recipe.build()
    average = Ema(model, 0.995)
    history = fit_adversarial(
        model,
        recipe.data(letters.load("train")),
        steps=steps,
        batch_size=BATCH,
        learning_rate=recipe.learning_rate,
        optimizer=partial(torch.optim.Adam, betas=recipe.betas, fused=True),
        schedule=recipe.schedule,
        ema=average,
        autocast=True,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    return average.model.eval(), history


def labelled(data: letters.Letters) -> Tensor:
    """Return the letters with their labels as a second channel, `(n, 2, 32, 32)` in data units."""
    return torch.cat([data.images, data.labels[:, None, None, None].expand_as(data.images)], 1)


# The plain game has the rate and the momentum of its paper, ours a higher rate that falls along a cosine.
OURS = Recipe(ours, labelled, 1e-3, (0.0, 0.99), warmup_cosine(0.02, 0.05))
PLAIN = Recipe(dcgan, lambda data: data.images, 2e-4, (0.5, 0.999), constant)


def judge() -> nn.Module:
    """Return the frozen classifier of letters."""
    return load_weights(
        Classifier(len(letters.NAMES), size=32, scale=255.0), checkpoints.path("letter-classifier")
    ).eval()


@torch.no_grad()
def scores(images: Tensor, seed: int = 0) -> dict[str, Any]:
    """Return what the frozen classifier says of generated letters, beside what it says of real ones.

    A second channel, the label, is not looked at. Distances, precision and recall compare the first as many
    samples as there are held-out letters with those letters; the floor is as many training letters against the
    same. Each distance, and the share of copies, is (value, standard error).
    """
    images, eye, real = images[:, :1], judge(), letters.load("held_out")
    train_images = letters.load("train").images
    order = torch.randperm(len(train_images), generator=torch.Generator().manual_seed(seed))
    features, n = eye.features(real.images), len(real)
    fake, floor = eye.features(images[:n]), eye.features(train_images[order[:n]])
    confidence, chosen = eye.probabilities(images).max(1)
    copies = share_of_copies(*(part.flatten(1) for part in (images, train_images, real.images)), expected=COPIES)
    share = chosen.bincount(minlength=len(letters.NAMES)) / len(images)
    due = real.labels.bincount(minlength=len(letters.NAMES)) / n
    return {
        "n": n,
        "frechet": frechet_distance(fake, features),
        "frechet floor": frechet_distance(floor, features),
        "kernel": kernel_distance(fake, features),
        "kernel floor": kernel_distance(floor, features),
        "manifold": asdict(compare_manifolds(features, fake)),
        "manifold floor": asdict(compare_manifolds(features, floor)),
        "classes": int((share >= due / 4).sum()),
        "rarest": float((share / due).min()),
        "confidence": float(confidence.mean()),
        "confidence error": float(confidence.std() / len(images) ** 0.5),
        "copies": (copies.share, copies.standard_error),
        "copies among held out": copies.expected,
        "confidence on real": float(eye.probabilities(real.images).amax(1).mean()),
    }


def shipped_samples() -> Tensor:
    """Return the letters that the shipped generator draws, `(PICTURES, 2, 32, 32)` in data units with labels."""
    model = ours()
    load_weights(model.generator, checkpoints.path("letters-gan"))
    return model.eval().sample(PICTURES, generator=torch.Generator().manual_seed(1))


def letters_gan(checkpoint: Path, steps: int = STEPS) -> Trained:
    """Train the generator of letters that ships, and score it; the critic is thrown away."""
    model, history = train(OURS, steps, SEED, checkpoint)
    found = scores(model.sample(PICTURES, generator=torch.Generator().manual_seed(1)))
    n, counted = found["n"], {"n": PICTURES, "standard_error": 0.0}
    recall = found["manifold"]["recall"]
    return Trained(
        model=model.generator,
        what="generator of the 52 letters: the chapter on GANs, its critic thrown away",
        load="ImageGenerator(96, codes=(52, 24), labelled=True)",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={
            "Fréchet distance to held-out letters": Measured(*found["frechet"], n),
            "its floor, training letters": Measured(*found["frechet floor"], n),
            "recall": Measured(recall, (recall * (1 - recall) / n) ** 0.5, n),
            "mean confidence": Measured(found["confidence"], found["confidence error"], PICTURES),
            "share as near to a training letter as 5 % of held-out ones": Measured(*found["copies"], PICTURES),
            "letters drawn at a quarter of their due": Measured(float(found["classes"]), **counted),
        },
        interrupted=history.interrupted,
    )
