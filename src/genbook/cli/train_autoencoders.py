"""The autoencoder of glyphs: the weights that ship, and its error beside that of principal components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from genbook.cli.record import Measured, Trained
from genbook.data import glyphs
from genbook.models.autoencoder import PCA, Autoencoder
from genbook.nn.coders import PictureDecoder, PictureEncoder
from genbook.train import Ema, History, adamw, fit, warmup_cosine

__all__ = ["glyph_pictures", "glyphs_autoencoder", "measure", "recipe", "squared_error", "train_autoencoder"]

LATENT = 32
SEED, STEPS, BENCH_STEPS = 0, 3000, 600
SEEDS = (0, 1, 2)


def glyphs_autoencoder(latent: int = LATENT) -> Autoencoder:
    """Return the untrained autoencoder of glyphs, 32×32 in data units."""
    encoder = PictureEncoder(latent, (16, 32, 64), patch=2)
    return Autoencoder(encoder, PictureDecoder(latent, (64, 32, 16), patch=2), scale=255.0)


def glyph_pictures(split: str) -> Tensor:
    """Return the glyphs of "train", or of "held_out" those without a twin in training, `(n, 1, 32, 32)`."""
    source = glyphs.load()
    chosen = source.scored if split == "held_out" else source.split(split)
    return source.images[chosen][:, None].float()


def squared_error(rebuilt: Tensor, pictures: Tensor) -> Tensor:
    """Return the squared error of each picture, summed over its pixels, where full ink is 1, `(n,)`."""
    return (rebuilt.flatten(1) - pictures.flatten(1)).div(255).square().sum(1)


@torch.no_grad()
def rebuild(model: Autoencoder | PCA, pictures: Tensor) -> Tensor:
    """Return what is left of pictures after they went through the code."""
    return model.decode(model.encode(pictures))


def train_autoencoder(
    latent: int, steps: int, seed: int, checkpoint: Path | None = None
) -> tuple[Autoencoder, History]:
    """Train an autoencoder on the training glyphs; returns the one with averaged weights, and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = glyphs_autoencoder(latent)
    average = Ema(model, 0.99)
    history = fit(
        model,
        glyph_pictures("train"),
        steps=steps,
        batch_size=128,
        learning_rate=3e-3,
        optimizer=adamw(0.01, fused=True),
        schedule=warmup_cosine(0.03),
        clip=20.0,
        ema=average,
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_every=1000,
    )
    return average.model.eval(), history


def recipe(checkpoint: Path, steps: int = STEPS) -> Trained:
    """Train the autoencoder of glyphs that ships."""
    model, history = train_autoencoder(LATENT, steps, SEED, checkpoint)
    held_out = glyph_pictures("held_out")
    linear = PCA(LATENT).fit(glyph_pictures("train").flatten(1))
    of_linear = squared_error(rebuild(linear, held_out.flatten(1)), held_out)
    return Trained(
        model=model,
        what=f"autoencoder of glyphs, codes of {LATENT} numbers",
        load=f"glyphs_autoencoder({LATENT})",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={
            "squared error of held-out glyphs, ink": Measured.mean_of(
                squared_error(rebuild(model, held_out), held_out)
            ),
            "that of as many principal components": Measured.mean_of(of_linear),
        },
        interrupted=history.interrupted,
    )


def measure() -> dict[str, Any]:
    """Return, for three seeds, the error on held-out glyphs beside that of as many principal components."""
    held_out, rows = glyph_pictures("held_out"), []
    linear = PCA(LATENT).fit(glyph_pictures("train").flatten(1))
    floor = float(squared_error(rebuild(linear, held_out.flatten(1)), held_out).mean())
    for seed in tqdm(SEEDS, desc="autoencoder"):
        model, history = train_autoencoder(LATENT, BENCH_STEPS, seed)
        error = float(squared_error(rebuild(model, held_out), held_out).mean())
        seconds = round(history.seconds, 1)
        rows.append({"seed": seed, "error": error, "seconds": seconds, "gain": 1 - error / floor})
    return {"latent": LATENT, "steps": BENCH_STEPS, "seeds": list(SEEDS), "pca": floor, "rows": rows}
