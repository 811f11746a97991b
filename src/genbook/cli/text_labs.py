"""What the labs on GPT and attention carry: one model of prose, its tokenizer, and figures measured on it.

`prose_gpt` alone knows where both come from. A page must stay under two million bytes, so matrices travel as whole
numbers with one scale a row, deflated, with as many levels as there is room for; `rounded` is the model that the
pages run. `*_data` depends on the checkpoint alone; `*_computed` reads this Python's prose too, and puts the
figures of both questions into their answers.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genbook.cli.train_gpt import nats_a_character
from genbook.cli.train_gpt import prose_gpt as network
from genbook.data import checkpoints, prose
from genbook.data.byte_pairs import BytePairs
from genbook.labs.pages import pack
from genbook.models.gpt import GPT
from genbook.train import load_weights

__all__ = [
    "PROMPTS",
    "SENTENCE",
    "attention_computed",
    "attention_data",
    "continued",
    "gpt_computed",
    "gpt_data",
    "head_off",
    "heads_measured",
    "looks",
    "packed",
    "prose_gpt",
    "rounded",
]

#: How many characters the matrices of a page may take.
ROOM = 1_650_000
PROMPTS = (
    'The "for" statement is used to',
    "If the object is a class,",
    "A function definition",
    "The following example shows",
)
SENTENCE = "If the object is a class, the class is called. If the object is not"
LENGTH, WINDOW, WINDOWS = 150, 64, 32


@cache
def prose_gpt() -> tuple[GPT, BytePairs]:
    """Return the model of prose in `eval()`, and its tokenizer."""
    return load_weights(network(), checkpoints.path("prose-gpt")).eval(), prose.tokenizer()


# ---- weights in a page ----------------------------------------------------------------------------------------
def in_rows(matrix: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as whole numbers from `-levels` to `levels`, and the scale of each row."""
    scale = np.maximum(np.abs(matrix).max(1), np.finfo(np.float32).tiny * levels) / np.float32(levels)
    return np.clip(np.rint(matrix / scale[:, None]), -levels, levels).astype(np.int8), scale


@cache
def in_numbers() -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]:
    """Return each matrix of the model as `in_rows` does, and its levels: the most that there is room for.

    Room is counted by the entropy of the numbers, which does not depend on the version of a packing program.
    """
    matrices = {
        name: value.detach().float().numpy()
        for name, value in prose_gpt()[0].named_parameters()
        if value.ndim == 2
    }
    fits, too_many = 7, 128
    while too_many - fits > 1:
        levels = (fits + too_many) // 2
        counts = sum(
            np.bincount(in_rows(m, levels)[0].ravel() + np.int16(128), minlength=256) for m in matrices.values()
        )
        shares = counts[counts > 0] / counts.sum()
        characters = -counts.sum() * (shares * np.log2(shares)).sum() / 6
        fits, too_many = (levels, too_many) if 1.02 * characters <= ROOM else (fits, levels)
    return {name: in_rows(matrix, fits) for name, matrix in matrices.items()}, fits


@cache
def rounded() -> GPT:
    """Return the model with the weights that a page carries: matrices in levels, vectors in half precision."""
    model, (numbers, _) = deepcopy(prose_gpt()[0]), in_numbers()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in numbers:
                whole, scale = numbers[name]
                value.copy_(torch.from_numpy(scale[:, None] * whole.astype(np.float32)))
            else:
                value.copy_(value.half().float())
    return model


def packed() -> dict[str, Any]:
    """Return the weights as `GptCore.unpack` reads them."""
    numbers, _ = in_numbers()
    packer = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    whole = b"".join(packer.compress(whole.tobytes()) for whole, _ in numbers.values()) + packer.flush()
    scales = torch.from_numpy(np.concatenate([scale for _, scale in numbers.values()]))
    vectors = {name: value for name, value in rounded().named_parameters() if name not in numbers}
    return {
        "matrices": [[name, *whole.shape] for name, (whole, _) in numbers.items()],
        "whole": base64.b64encode(whole).decode(),
        "scales": pack({"it": scales}, "float32")["it"],
        "vectors": pack(vectors, "float16"),
    }


def model_data() -> dict[str, Any]:
    """Return the sizes of the model, its tokenizer, and a digest of its rounded weights.

    Raises ValueError for a model without rotary positions and for a tokenizer that was not trained here: whose
    merges do not give the tokens from 256 on, in their order.
    """
    model, coder = prose_gpt()
    if model.places is not None:
        raise ValueError("the labs turn queries and keys: the model must be rotary")
    parts = [coder.bytes_of(k) for k in range(len(coder))]
    if [parts[a] + parts[b] for a, b in coder.merges] != parts[256:]:
        raise ValueError("the merges of the tokenizer must give its tokens from 256 on, in their order")
    first = model.blocks[0]
    shape = {
        "vocabulary": model.vocabulary,
        "context": model.context,
        "width": model.tokens.weight.shape[1],
        "layers": len(model.blocks),
        "heads": first.attention.heads,
        "hidden": first.expand.out_features,
        "start": model.start,
    }
    hashed = hashlib.sha256()
    for value in rounded().state_dict().values():
        hashed.update(value.numpy().tobytes())
    return {
        "shape": shape,
        "coder": {"bytes": [part[0] for part in parts[:256]], "merges": [list(pair) for pair in coder.merges]},
        "weights": hashed.hexdigest(),
        "levels": in_numbers()[1],
        "parameters": sum(value.numel() for value in model.parameters()),
    }


# ---- what the model does --------------------------------------------------------------------------------------
@cache
def validation() -> tuple[Tensor, int]:
    """Return the tokens of the validation part of the prose, `(T,)`, and its number of characters."""
    text = prose.split()[1]
    return torch.tensor(prose_gpt()[1].encode(text)), len(text)


def nats(model: GPT) -> float:
    """Return the nats a character that the validation part costs a model, whose window slides over it."""
    return nats_a_character(model, *validation())


@torch.no_grad()
def continued(prompt: str, length: int, temperature: float, seed: int = 0) -> tuple[list[int], float]:
    """Return `length` tokens that the rounded model writes after a prompt, and their nats a character.

    At temperature 0 it takes the likeliest; else it draws, by the probabilities to the power 1/temperature. What
    the tokens cost is counted at temperature 1.
    """
    coder, seeded = prose_gpt()[1], torch.Generator().manual_seed(seed)
    read, cost, found = rounded().reader(), 0.0, []
    latest = torch.tensor([[rounded().start, *coder.encode(prompt)]])
    for _ in range(length):
        logits = read(latest)[0].double()
        law = (logits / max(temperature, 1e-3)).softmax(0)[: len(coder)]  # the start token is no text
        found.append(int(law.argmax() if temperature == 0 else torch.multinomial(law, 1, generator=seeded)))
        cost -= float(logits.log_softmax(0)[found[-1]])
        latest = torch.tensor([found[-1:]])
    return found, cost / max(len(coder.decode(found)), 1)


def repeated(tokens: list[int], run: int = 4) -> float:
    """Return the share of runs of four tokens that stood in the same text before."""
    runs = [tuple(tokens[k : k + run]) for k in range(len(tokens) - run + 1)]
    return 1 - len(set(runs)) / len(runs)


@contextmanager
def head_off(model: GPT, layer: int, head: int) -> Iterator[None]:
    """Let the output of one head count as zero while the context lasts."""

    def silence(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        gathered = inputs[0].unflatten(-1, (model.blocks[layer].attention.heads, -1)).clone()
        gathered[..., head, :] = 0
        return (gathered.flatten(-2),)

    hook = model.blocks[layer].attention.output.register_forward_pre_hook(silence)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def looks(model: GPT, tokens: Tensor) -> Tensor:
    """Return where each head looks in `tokens`, `(n, T)`, after the start: `(layers, n, heads, 1 + T, 1 + T)`."""
    x, found = model.tokens(torch.cat([tokens.new_full((len(tokens), 1), model.start), tokens], 1)), []
    for block in model.blocks:
        found.append(block.attention.weights(block.first_norm(x)))
        x = block(x)
    return torch.stack(found)


@cache
def heads_measured() -> dict[str, Any]:
    """Return, for each head on windows of validation text, its mean weight on the token before, and its worth.

    `previous` is `(layers, heads)`; `worth` too: how many nats a token more the windows cost with the head off.
    """
    model, tokens = rounded(), validation()[0]
    starts = torch.linspace(0, len(tokens) - WINDOW, WINDOWS).long()
    windows = tokens.unfold(0, WINDOW, 1)[starts]
    previous = looks(model, windows).diagonal(-1, -2, -1).mean((1, 3))
    with torch.no_grad():
        whole = -float(model.token_log_prob(windows).mean())
        worth = torch.zeros_like(previous)
        for layer, block in enumerate(model.blocks):
            for head in range(block.attention.heads):
                with head_off(model, layer, head):
                    worth[layer, head] = -float(model.token_log_prob(windows).mean()) - whole
    return {"previous": previous, "worth": worth, "whole": whole}


# ---- the two labs ---------------------------------------------------------------------------------------------
def gpt_data() -> dict[str, Any]:
    """Return the model's sizes and tokenizer, and prompts to begin with."""
    return {**model_data(), "prompts": list(PROMPTS)}


def gpt_computed() -> dict[str, Any]:
    """Return the weights, what rounding costs, and the question's answer."""
    found: dict[float, list[tuple[float, float]]] = {0.0: [], 1.0: []}
    for seed, prompt in enumerate(PROMPTS):
        for temperature, rows in found.items():
            tokens, spent = continued(prompt, LENGTH, temperature, seed)
            rows.append((spent, repeated(tokens)))
    (cheap, looped), (dear, again) = (torch.tensor(rows).mean(0).tolist() for rows in found.values())
    validated = {"whole": round(nats(prose_gpt()[0]), 4), "rounded": round(nats(rounded()), 4)}
    answer = (
        f"It costs less, and it is worse. After the {len(PROMPTS)} examples, {LENGTH} tokens at temperature 0 "
        f"cost {cheap:.2f} nats a character on average, and {100 * looped:.0f} % of their runs of four tokens had "
        "stood in the same text before: the model falls into a loop, in which every word is easily guessed. "
        f"Drawn at temperature 1, they cost {dear:.2f} nats, and {100 * again:.0f} % of the runs are repeated. "
        f"Text that people wrote costs this model {validated['rounded']:.2f}. The likeliest text is not typical."
    )
    return {"packed": packed(), "nats": validated, "answer": answer}


def attention_data() -> dict[str, Any]:
    """Return the model's sizes and tokenizer, and a sentence to begin with."""
    return {**model_data(), "sentence": SENTENCE}


def attention_computed() -> dict[str, Any]:
    """Return the weights, what was measured of each head, and the question's answer."""
    found = heads_measured()
    previous, worth = found["previous"], found["worth"]
    heads = previous.shape[1]
    looker, dearest = divmod(int(previous.argmax()), heads), divmod(int(worth.argmax()), heads)
    rival = (
        "it is the head that the model can spare least."
        if looker == dearest
        else f"head {dearest[1] + 1} of layer {dearest[0] + 1} costs most, {float(worth[dearest]):.3f} nats. "
        "A head that looks in a clear way need not be the one that counts most."
    )
    answer = (
        f"Head {looker[1] + 1} of layer {looker[0] + 1}. On {WINDOWS} pieces of validation text, of {WINDOW} "
        f"tokens each, it gives {100 * float(previous[looker]):.0f} % of its weight to the token before; the mean "
        f"of all heads is {100 * float(previous.mean()):.0f} %. Switched off, it costs "
        f"{float(worth[looker]):.3f} nats a token, on top of {found['whole']:.2f} with all heads on; {rival} "
        "What a head is for, only switching it off tells."
    )
    rows = {name: [[round(v, 4) for v in row] for row in found[name].tolist()] for name in ("previous", "worth")}
    return {"packed": packed(), "measured": rows, "answer": answer}
