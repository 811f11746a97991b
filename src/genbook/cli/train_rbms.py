"""The restricted Boltzmann machines that ship: one of binarised digits, one of binarised letters."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from genbook.cli.record import Measured, Trained
from genbook.data import digits, letters
from genbook.evaluate.ais import ais
from genbook.models.rbm import RBM
from genbook.train import History, adamw, fit, warmup_cosine

__all__ = ["binary_digits", "binary_letters", "digits_rbm", "letters_rbm", "train_machine"]

SEED, CHAINS = 0, 100


def binary_digits(split: str) -> Tensor:
    """Return a split of the digits, `(n, 64)`: 1 where the ink is at least half of the full 16."""
    return (digits.load(split).images.flatten(1) >= 8).float()


def binary_letters(split: str) -> Tensor:
    """Return a split of the letters at half their side, `(n, 256)`: 1 where a block of 2×2 is half ink or more."""
    return (avg_pool2d(letters.load(split).images, 2).flatten(1) >= 127.5).float()


def digits_rbm(checkpoint: Path, steps: int = 8000) -> Trained:
    """Train the machine of 100 hidden units that dreams digits, by persistent chains."""
    data, validation = binary_digits("train"), binary_digits("validation")
    return _recipe(data, validation, 100, steps, checkpoint, "digits, 8×8 black and white")


def letters_rbm(checkpoint: Path, steps: int = 16000) -> Trained:
    """Train the machine of 200 hidden units that dreams letters, by persistent chains."""
    data, held_out = binary_letters("train"), binary_letters("held_out")
    return _recipe(data, held_out, 200, steps, checkpoint, "the 52 letters, 16×16 black and white")


def train_machine(
    data: Tensor, hidden: int, steps: int, seed: int, checkpoint: Path | None = None
) -> tuple[RBM, History]:
    """Train a machine of binary units by persistent chains; returns it and the history."""
    machine = RBM(data.shape[1], hidden, chains=CHAINS, generator=torch.Generator().manual_seed(seed))
    machine.initialise(data, generator=torch.Generator().manual_seed(seed + 1))
    history = fit(
        machine,
        data,
        steps=steps,
        batch_size=CHAINS,
        learning_rate=0.02,
        optimizer=adamw(0.1, betas=(0.9, 0.99), fused=True),
        schedule=warmup_cosine(0.02),
        seed=seed,
        checkpoint=checkpoint,
        checkpoint_every=2000,
    )
    return machine, history


def _recipe(data: Tensor, held_out: Tensor, hidden: int, steps: int, checkpoint: Path, what: str) -> Trained:
    machine, history = train_machine(data, hidden, steps, SEED, checkpoint)
    start, drawn = machine.units.bias(data), torch.Generator().manual_seed(SEED + 2)
    log_z, error = ais(machine, chains=500, steps=5000, start_bias=start, generator=drawn)
    likelihood = Measured.mean_of(-machine.energy(held_out).detach() - log_z)
    return Trained(
        model=machine,
        what=f"restricted Boltzmann machine of {what}, {hidden} hidden units",
        load=f"RBM({data.shape[1]}, {hidden}, chains={CHAINS})",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={
            "log Z by annealed importance sampling": Measured(log_z, error, 500),
            "log-likelihood of held-out pictures, nats": likelihood,
        },
        interrupted=history.interrupted,
    )
