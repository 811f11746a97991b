"""The GPT of the Python language reference: its tokens, its training, the one that ships."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from genbook.cli.record import Measured, Trained
from genbook.data import prose
from genbook.evaluate.sequences import sliding_log_prob
from genbook.models.gpt import GPT
from genbook.train import History, fit, muon, warmup_cosine

__all__ = [
    "CONTEXT",
    "DECAY",
    "TOKENS",
    "nats_a_character",
    "prose_gpt",
    "prose_tokens",
    "recipe",
    "train_prose_gpt",
]

#: How many tokens the shipped tokenizer has; the network has one more, which stands before every sequence.
TOKENS = 511
CONTEXT = 128
SEED, STEPS, DROPOUT, RATE = 0, 800, 0.15, 0.015
#: Far more than is usual: the text is so small that it is read many times over.
DECAY = 1.5
#: Over how many pieces of the validation text the error of its mean is estimated.
PIECES = 20


def prose_gpt(*, width: int = 192, layers: int = 4, heads: int = 6, dropout: float = 0.0) -> GPT:
    """Return the untrained network."""
    return GPT(TOKENS + 1, CONTEXT, width=width, layers=layers, heads=heads, dropout=dropout, start=TOKENS)


def prose_tokens() -> tuple[Tensor, Tensor]:
    """Return the tokens of the two parts of the prose, each `(T,)`."""
    coder = prose.tokenizer()
    train, validation = (torch.tensor(coder.encode(text)) for text in prose.split())
    return train, validation


def train_prose_gpt(
    model: GPT,
    tokens: Tensor,
    *,
    steps: int,
    seed: int = SEED,
    batch_size: int = 16,
    learning_rate: float = 0.02,
    weight_decay: float = DECAY,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> History:
    """Train a network on all windows of a text in tokens, `(T,)`, and put it into `eval()`."""
    history = fit(
        model,
        tokens.unfold(0, model.context, 1),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=muon(model.blocks.parameters(), weight_decay),
        schedule=warmup_cosine(0.03),
        clip=1.0 * model.context,
        autocast=True,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
    )
    model.eval()
    return history


def nats_a_character(model: GPT, tokens: Tensor, characters: int) -> float:
    """Return what a text in tokens, `(T,)`, costs a model that slides over it, divided by its characters."""
    return -float(sliding_log_prob(model, tokens, window=model.context).sum()) / characters


def by_pieces(model: GPT) -> Measured:
    """Return the nats a character of the validation text, with the error of the mean over `PIECES` of it."""
    tokens, text = prose_tokens()[1], prose.split()[1]
    costs = -sliding_log_prob(model, tokens, window=model.context)
    rate = len(tokens) / len(text)
    return Measured.mean_of(torch.stack([part.mean() * rate for part in costs.tensor_split(PIECES)]))


def recipe(checkpoint: Path, steps: int = STEPS) -> Trained:
    """Train the network that ships: larger and longer than in the chapter, its weights in half precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = prose_gpt(dropout=DROPOUT)
    tokens = prose_tokens()[0]
    history = train_prose_gpt(model, tokens, steps=steps, learning_rate=RATE, checkpoint=checkpoint)
    metrics = {"nats a character, validation text": by_pieces(model.half().float())}  # of the weights that ship
    return Trained(
        model=model.half(),
        what="GPT of four blocks, trained on the first nine tenths of the Python language reference",
        load="prose_gpt()",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics=metrics,
        interrupted=history.interrupted,
    )
