"""GPT on prose: three seeds, a scaling law in miniature, the KV cache, and our training beside `transformers`'.

The validation text is scored whole, each token with at least half a window before it. The law is of networks of
several sizes after equal numbers of steps, with little decay. Speed: same shape, learnt positions, bfloat16 where
the processor has it, same optimiser and batch, in turns within one run; the memory of each is that of a process of
its own.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from genbook.cli.text_table import text_table, token_costs
from genbook.cli.train_gpt import (
    CONTEXT,
    DECAY,
    TOKENS,
    nats_a_character,
    prose_gpt,
    prose_tokens,
    train_prose_gpt,
)
from genbook.data import prose
from genbook.models.gpt import GPT
from genbook.train import has_bf16

__all__ = ["DECAYS", "SIZES", "cache", "decays", "grown", "measure", "prose_seeds", "scaling", "speed"]

SEEDS = (0, 1, 2)
STEPS, LIVE = 700, 300  # of 16 windows; those of the chapter's live run
DECAYS = (0.0, 0.1, 0.5, 1.5, 4.0)
#: Width, layers and heads of the networks of the scaling law, and the steps of 16 windows that each gets.
SIZES = ((16, 1, 1), (24, 2, 1), (48, 2, 2), (64, 4, 2), (128, 4, 2), (192, 4, 3))
LAW_STEPS = 200
LENGTH, ROUNDS, TIMED, BATCH = 256, 3, 10, 16


def seeded_gpt(seed: int, **shape: int) -> GPT:
    """Return an untrained network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return prose_gpt(**shape)


def trained(
    seed: int,
    steps: int,
    data: tuple[Tensor, Tensor, int],
    weight_decay: float = DECAY,
    keep: Callable[[GPT], object] = id,
    **shape: int,
) -> dict[str, Any]:
    """Train one network and return what it took and what the validation text costs it; `keep` is shown it."""
    train, validation, characters = data
    model = seeded_gpt(seed, **shape)
    history = train_prose_gpt(model, train, steps=steps, seed=seed, weight_decay=weight_decay, progress=False)
    keep(model)
    return {
        "seed": seed,
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "parameters": sum(value.numel() for value in model.parameters()),
        "without tables": sum(value.numel() for value in model.blocks.parameters()),
        "nats": nats_a_character(model, validation, characters),
    }


def everything() -> tuple[Tensor, Tensor, int]:
    """Return the tokens of both parts of the prose, and the characters of the second."""
    return *prose_tokens(), len(prose.split()[1])


def prose_seeds(steps: int = STEPS) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the validation score of the chapter's network for each seed, and the table of language models."""
    data, costs = everything(), []
    rows = [
        trained(seed, steps, data, keep=lambda model: costs.append(token_costs(model)), width=128, heads=2)
        for seed in tqdm(SEEDS, desc="seeds")
    ]
    return rows, text_table([row | {"costs": cost} for row, cost in zip(rows, costs, strict=True)])


def decays(steps: int = LIVE) -> list[dict[str, Any]]:
    """Return the validation score of the chapter's network and steps for each weight decay."""
    data, rows = everything(), []
    for decay in tqdm(DECAYS, desc="decays"):
        rows.append({"weight decay": decay} | trained(0, steps, data, decay, width=128, heads=2))
    return rows


def scaling(steps: int = LAW_STEPS, sizes: tuple[tuple[int, int, int], ...] = SIZES) -> list[dict[str, Any]]:
    """Return the validation score of each size and seed, after equal steps."""
    data, rows = everything(), []
    for width, layers, heads in tqdm(sizes, desc="sizes"):
        shape = {"width": width, "layers": layers, "heads": heads}
        rows += [shape | trained(seed, steps, data, 0.1, **shape) for seed in SEEDS]
    return rows


@torch.no_grad()
def grown(model: GPT, first: Tensor, length: int, *, cached: bool) -> Tensor:
    """Return `first`, `(1, T)`, and the `length` likeliest tokens after it, with keys and values kept or not."""
    read, tokens = model.reader(), first
    latest = tokens
    for _ in range(length):
        logits = read(latest) if cached else model(tokens)[:, -1]
        latest = logits.argmax(1)[:, None]
        tokens = torch.cat([tokens, latest], 1)
    return tokens


def seconds(call: Callable[[], Any], times: int = ROUNDS) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    call()
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def cache(length: int = LENGTH) -> dict[str, Any]:
    """Return the seconds for so many tokens with and without the cache, and whether the tokens are the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT(TOKENS + 1, length + 1, width=192, layers=4, heads=6, start=TOKENS).eval()
    first = torch.tensor([[TOKENS]])
    tokens = [grown(model, first, length, cached=cached) for cached in (False, True)]
    without, kept = (seconds(lambda c=cached: grown(model, first, length, cached=c)) for cached in (False, True))
    return {"tokens": length, "without": without, "with": kept, "same": bool(torch.equal(*tokens))}


def a_network(kind: str) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Return a network of GPT-2's kind, ours or `transformers`', and its loss a token on one batch."""
    torch.manual_seed(0)
    x = torch.randint(TOKENS, (BATCH, CONTEXT))
    ours = GPT(TOKENS + 1, CONTEXT, width=192, layers=4, heads=6, rotary=False, start=TOKENS)
    if kind == "ours":
        return ours, lambda: ours.loss(x) / CONTEXT
    from transformers import GPT2Config, GPT2LMHeadModel

    theirs = GPT2LMHeadModel(GPT2Config(**ours.to_gpt2()[1], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0))
    return theirs, lambda: theirs(input_ids=x, labels=x, use_cache=False).loss


def a_step(kind: str) -> Callable[[], None]:
    """Return a function that takes one training step of such a network."""
    model, loss = a_network(kind)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()

    return step


def growth(kind: str) -> float:
    """Return the megabytes by which the peak of this process grows in ten steps of a kind; on Linux only."""
    a_network(kind)  # whatever is imported and built once
    status, marks = Path("/proc/self/status"), []
    step = a_step(kind)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    for steps in (0, TIMED):
        for _ in range(steps):
            step()
        marks.append(int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024)
    return marks[1] - marks[0]


def speed() -> dict[str, Any]:
    """Return training tokens a second of both kinds, in turns, and the memory of a process of each."""
    kinds = ("ours", "transformers")
    steps, rates = {kind: a_step(kind) for kind in kinds}, {kind: [] for kind in kinds}
    for _ in range(2 * ROUNDS):
        for kind, step in steps.items():
            rates[kind].append(BATCH * CONTEXT / seconds(step, TIMED))
    memory = {}
    for kind in kinds:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            memory[kind] = round(pool.submit(growth, kind).result())
    return {
        "tokens a second": {kind: statistics.median(rates[kind]) for kind in kinds},
        "growth in megabytes": memory,
    }


def measure() -> dict[str, Any]:
    """Return everything above."""
    seeds, table = prose_seeds()
    return {
        "prose": seeds,
        "table": table,
        "decay": decays(),
        "scaling": scaling(),
        "cache": cache(),
        "speed": speed(),
    }
