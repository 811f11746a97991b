"""Variational autoencoders over several seeds: digits on their own, and letters beside those of the GAN."""

from __future__ import annotations

from typing import Any

import torch
from tqdm import tqdm

from genbook.cli.train_letters_gan import PICTURES, scores, shipped_samples
from genbook.cli.train_vaes import letters_vae, train_digits_vae
from genbook.data import checkpoints, digits
from genbook.evaluate.iwae import iwae
from genbook.evaluate.likelihood import mean_and_error
from genbook.models.vae import VAE
from genbook.train import load_weights

__all__ = ["DIGIT_STEPS", "measure", "nats"]

SEEDS, DIGIT_STEPS, SAMPLES = (0, 1, 2), 3000, 500


def seeded(seed: int) -> torch.Generator:
    """Return a generator of its own with this seed."""
    return torch.Generator().manual_seed(seed)


def nats(model: VAE, split: str, *, samples: int = SAMPLES, seed: int = 0) -> torch.Tensor:
    """Return minus the importance-weighted bound of each digit of a split, `(n,)`."""
    return -iwae(model, digits.load(split).images, samples=samples, generator=seeded(seed))[0]


def measure() -> dict[str, Any]:
    """Return the digits of three seeds, and the scores of letters by the shipped model and by the shipped GAN."""
    rows = []
    for seed in tqdm(SEEDS, desc="digits"):
        model, history = train_digits_vae(DIGIT_STEPS, seed)
        validation = digits.load("validation").images
        with torch.no_grad():
            noise = torch.randn(len(validation), model.latent, generator=seeded(seed))
            bound = float(model.elbo(validation, noise=noise).mean())
        rows.append(
            {
                "seed": seed,
                "steps": history.steps,
                "seconds": round(history.seconds, 1),
                "validation elbo": bound,
                "validation iwae500": mean_and_error(nats(model, "validation", seed=seed)),
                "test iwae500": mean_and_error(nats(model, "test", seed=seed)),
            }
        )
    return {"digits": {"seeds": list(SEEDS), "samples": SAMPLES, "rows": rows}, "letters": letters_beside_gan()}


@torch.no_grad()
def letters_beside_gan() -> dict[str, Any]:
    """Return the scores of as many letters by each: drawn pixel by pixel, the decoder's means, the GAN's."""
    model = load_weights(letters_vae(24), checkpoints.path("letters-vae")).eval()
    codes = torch.randn(PICTURES, model.latent, generator=seeded(1))
    return {
        "vae samples": scores(model.sample(PICTURES, generator=seeded(1))),
        "vae means": scores(torch.cat([model.decode(part) for part in codes.split(520)])),
        "gan": scores(shipped_samples()),
    }
