"""The leaderboard's table of language models: nats a character of the prose that nobody has learnt.

The lengths of the n-grams' contexts are chosen on the last tenth of the training text. A model that cuts the text
into tokens pays for a token where its last character stands, so that all are compared on the same blocks of text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from genbook.cli.train_gpt import CONTEXT, prose_gpt
from genbook.data import checkpoints, prose
from genbook.evaluate.likelihood import mean_and_error, paired_difference
from genbook.evaluate.sequences import sliding_log_prob
from genbook.models.gpt import GPT
from genbook.models.ngram import NGram
from genbook.prob.smoothing import KneserNey, WittenBell
from genbook.train import load_weights

__all__ = ["BLOCK", "block_costs", "ends_of_tokens", "shares", "text_table", "token_costs"]

#: Characters of a block: shorter ones are so much alike their neighbours that errors would look too small.
BLOCK = 2000
CONTEXTS = range(9)
RULES: dict[str, Callable[[], Any]] = {"Witten–Bell n-gram": WittenBell, "Kneser–Ney n-gram": KneserNey}


@cache
def characters() -> dict[str, int]:
    """Return the number of each character of the training text."""
    return {character: number for number, character in enumerate(sorted(set(prose.split()[0])))}


def numbers(text: str) -> Tensor:
    """Return a text as one row of characters, `(1, T)`; raises KeyError for one that training never saw."""
    return torch.tensor([[characters()[character] for character in text]])


def ends_of_tokens(tokens: Tensor) -> Tensor:
    """Return in which character each token ends, `(T,)`: a token may be part of a character, or many of them."""
    coder = prose.tokenizer()
    spelled = [coder.bytes_of(token) for token in tokens.tolist()]
    text = b"".join(spelled).decode("utf-8")
    last_byte = torch.tensor(list(accumulate(len(character.encode()) for character in text)))
    return torch.searchsorted(last_byte, torch.tensor(list(accumulate(map(len, spelled)))))


def shares(length: int, size: int = BLOCK) -> Tensor:
    """Return the share of a text that each block holds; the last block takes what is left over."""
    count = max(length // size, 1)
    found = torch.full((count,), size / length, dtype=torch.float64)
    found[-1] = 1 - size * (count - 1) / length
    return found


def block_costs(costs: Tensor, ends: Tensor, length: int, size: int = BLOCK) -> Tensor:
    """Return the nats a character of each block of `size` characters; what is left over joins the last block.

    `costs` are of pieces, `(T,)`, that end in the characters `ends` of a text of `length` characters.
    """
    count = max(length // size, 1)
    block = (ends // size).clamp_max(count - 1)
    sums = torch.zeros(count, dtype=torch.float64).index_add(0, block, costs.double())
    return sums / (length * shares(length, size))


def token_costs(model: GPT) -> Tensor:
    """Return the nats of each token of the validation text, `(T,)`."""
    tokens = torch.tensor(prose.tokenizer().encode(prose.split()[1]))
    return -sliding_log_prob(model, tokens, window=CONTEXT)


def counted() -> Iterator[dict[str, Any]]:
    """Yield a row for each rule of smoothing, its context chosen on the last tenth of the training text."""
    train, held = prose.split()
    known, chosen_by = prose.split(train)
    rows, checks = (numbers(train), numbers(held)), (numbers(known), numbers(chosen_by))

    def learn(rule: Callable[[], Any], context: int, text: Tensor) -> NGram:
        return NGram(len(characters()), context, rule()).fit(text)

    def row(name: str, rule: Callable[[], Any], context: int) -> dict[str, Any]:
        begun = time.perf_counter()
        model = learn(rule, context, rows[0])
        seconds = time.perf_counter() - begun
        kept = sum(len(level.grams) for level in model.levels)
        about = {"name": name, "chapter": "markov_models", "setting": {"context": context}, "seconds": seconds}
        return about | {"parameters": kept, "costs": [-model.token_log_prob(rows[1])[0]]}

    yield row("characters on their own", WittenBell, 0)
    for name, rule in RULES.items():
        costs = [-learn(rule, k, checks[0]).token_log_prob(checks[1]).mean().item() for k in CONTEXTS]
        yield row(name, rule, costs.index(min(costs)))


def text_table(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, best first; `runs` are the trainings of the GPT, each with the `costs` of its tokens."""
    held = prose.split()[1]
    ends = {"characters": torch.arange(len(held))}
    ends["tokens"] = ends_of_tokens(torch.tensor(prose.tokenizer().encode(held)))
    entries = list(counted())
    first, card = runs[0], checkpoints.card("prose-gpt")
    entries.append(
        {"name": "GPT", "chapter": "gpt", "setting": {"steps": first["steps"]}, "parameters": first["parameters"]}
        | {"seconds": sum(run["seconds"] for run in runs) / len(runs), "costs": [run["costs"] for run in runs]}
    )
    shipped = load_weights(prose_gpt(), checkpoints.path("prose-gpt")).eval()
    entries.append(
        {"name": "GPT, the one that ships", "chapter": "gpt", "setting": {"steps": card["steps"]}}
        | {"parameters": card["parameters"], "seconds": card["seconds"], "costs": [token_costs(shipped)]}
    )
    blocks, rows = {}, []
    for entry in entries:
        kind = "characters" if entry["chapter"] == "markov_models" else "tokens"
        seeds = torch.stack([block_costs(costs, ends[kind], len(held)) for costs in entry.pop("costs")])
        means = [float(costs @ shares(len(held))) for costs in seeds]
        blocks[entry["name"]] = seeds.mean(0)
        error = mean_and_error(seeds.mean(0))[1]
        rows.append(entry | {"nats": sum(means) / len(means), "seeds": means, "standard_error": error})
    even = math.log(len(characters()))
    rows.append({"name": "every character alike", "chapter": "markov_models", "setting": {}, "nats": even})
    rows.sort(key=lambda row: row["nats"])
    for row, following in pairwise(rows):
        if following["name"] in blocks:
            row["ahead"] = [
                following["nats"] - row["nats"],
                paired_difference(blocks[following["name"]], blocks[row["name"]])[1],
            ]
    return rows
