"""The small network that copies, reverses and sorts strings, for the chapter on attention and its picture."""

from __future__ import annotations

from pathlib import Path

import torch

from genbook.cli.record import Measured, Trained
from genbook.data.string_tasks import StringTasks
from genbook.models.gpt import GPT
from genbook.train import fit, muon, warmup_cosine

__all__ = ["recipe", "string_solver", "string_tasks"]

SEED, STEPS, ROWS = 0, 3000, 300_000


def string_tasks() -> StringTasks:
    """Return the tasks: so many letters and such lengths that no head can take in a whole string at once."""
    return StringTasks(26, 3, 16)


def string_solver() -> GPT:
    """Return the untrained network: two blocks of two heads, room for longer strings than it is trained on."""
    tasks = string_tasks()
    return GPT(tasks.vocabulary, 64, width=64, layers=2, heads=2, start=tasks.padding)


def recipe(checkpoint: Path, steps: int = STEPS) -> Trained:
    """Train the network; what it lacks is measured in nats a row above the truth, on fresh rows."""
    tasks = string_tasks()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = string_solver()
    history = fit(
        model,
        tasks.sample(ROWS, generator=torch.Generator().manual_seed(SEED)),
        steps=steps,
        batch_size=128,
        learning_rate=2e-2,
        optimizer=muon(model.blocks.parameters()),
        schedule=warmup_cosine(0.05),
        clip=10.0,
        autocast=True,
        seed=SEED,
        checkpoint=checkpoint,
    )
    fresh = tasks.sample(5000, generator=torch.Generator().manual_seed(SEED + 1))
    with torch.no_grad():
        lack = tasks.log_prob(fresh) - model.eval().log_prob(fresh)
    return Trained(
        model=model,
        what="network of two blocks that copies, reverses and sorts strings of 3 to 16 letters",
        load="string_solver()",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={"nats a row above the truth, fresh rows": Measured.mean_of(lack)},
        interrupted=history.interrupted,
    )
