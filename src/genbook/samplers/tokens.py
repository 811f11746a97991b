r"""Drawing text: rules that change the law of the next token, and the loop that draws one token after another.

Sources: temperature, Ackley, Hinton and Sejnowski (1985), "A learning algorithm for Boltzmann machines"; top-k,
Fan, Lewis and Dauphin (2018), arXiv:1805.04833, section 5.1; nucleus or top-p, Holtzman et al. (2019),
arXiv:1904.09751, equations 2 and 3; min-p, Nguyen et al. (2024), arXiv:2407.01082, section 3.

Each rule takes logits `(…, V)` (unnormalised log-probabilities, -inf for what cannot come) and returns those of
the new law in the same shape: a token that it removes gets -inf, and nothing is normalised. Rules are applied one
after the other, usually temperature, top-k, nucleus, min-p. The order matters: top-k keeps the same tokens at any
temperature, while nucleus and min-p keep more after a higher one, and nucleus counts only what it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_positive, check_tokens

__all__ = ["generate", "min_p", "nucleus", "temperature", "top_k"]

Rule = Callable[[Tensor], Tensor]


def temperature(logits: Tensor, value: float) -> Tensor:
    r"""Raise the probabilities to the power 1/`value`: the logits, less the largest of them, divided by `value`.

    Below 1 the likely becomes likelier. At 0, the limit, only the largest logit is left (or several, if they are
    equal). Raises ValueError for a `value` below 0 or not finite.
    """
    _check(logits)
    check_positive(value, name="value", zero=True)
    below = logits - logits.amax(-1, keepdim=True)  # so that a value close to 0 makes no infinity but -inf
    return below / value if value else below.masked_fill(below < 0, -math.inf)


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the `k` largest logits, and all that are equal to the last of these.

    With `k` of V or more nothing is removed. Raises ValueError for a `k` below 1.
    """
    _check(logits)
    least = logits.topk(min(check_count(k, name="k"), logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def nucleus(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest tokens, the most probable first, whose probabilities add up to `p` or more: at least one.

    Of tokens of equal probability the smaller numbers are kept first. With `p` of 1 nothing is removed.
    Raises ValueError for a `p` outside (0, 1].
    """
    _check(logits)
    if check_positive(p, name="p") > 1:
        raise ValueError(f"p must be at most 1, got {p}")
    if p == 1:
        return logits
    ordered, places = logits.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
    removed = ordered.cumsum(-1) - ordered >= p  # where those before have enough
    return logits.masked_fill(torch.empty_like(removed).scatter_(-1, places, removed), -math.inf)


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens whose probability is at least `p` times that of the most probable one.

    With `p` of 0 nothing is removed; with 1 only the most probable token is left (or several, if they are equally
    probable). Raises ValueError for a `p` outside [0, 1].
    """
    _check(logits)
    if check_positive(p, name="p", zero=True) > 1:
        raise ValueError(f"p must be at most 1, got {p}")
    if p == 0:
        return logits
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -math.inf)


@torch.no_grad()
def generate(
    step: Callable[[Tensor], Tensor],
    prompt: Tensor,
    length: int,
    *,
    rules: Sequence[Rule] = (),
    generator: Generator | None = None,
) -> Tensor:
    """Draw `length` tokens after each prompt, one by one: `(n, length)`, the prompts left out.

    `prompt` is `(n, T)` int64. `step(tokens)` is told what it has not seen: first the prompts, then the tokens
    drawn last, `(n, 1)`. It returns the logits of what follows, `(n, V)`, and may keep what it has computed.
    `rules` change these logits, the first one first; then one token is drawn by their softmax, on the processor.
    Raises ValueError where the logits have another shape, or are no law: NaN, +inf, or -inf for every token.
    """
    check_tokens(prompt, torch.iinfo(torch.int64).max, name="prompt", empty=True)
    drawn = prompt.new_empty(len(prompt), check_count(length, name="length"))
    latest = prompt
    for place in range(length):
        logits = step(latest)
        if logits.ndim != 2 or len(logits) != len(prompt):
            raise ValueError(f"step must return logits ({len(prompt)}, V), got {tuple(logits.shape)}")
        for rule in rules:
            logits = rule(logits)
        if not bool(torch.isfinite(logits.amax(-1)).all()):
            raise ValueError(f"the logits of token {place} are NaN, +inf, or -inf for every token")
        law = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
        latest = torch.multinomial(law.cpu(), 1, generator=generator).to(prompt.device)
        drawn[:, place] = latest[:, 0]
    return drawn


def _check(logits: Tensor) -> None:
    """Raise TypeError or ValueError where these are no logits."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        what = f"a {logits.dtype} tensor" if isinstance(logits, Tensor) else type(logits).__name__
        raise TypeError(f"logits must be a floating-point tensor, got {what}")
    if logits.ndim == 0 or logits.numel() == 0:
        raise ValueError(f"logits must have shape (…, V) and not be empty, got {tuple(logits.shape)}")
