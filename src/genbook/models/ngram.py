r"""N-grams: the next token by counting what followed the same few tokens before.

Sources: Witten & Bell, *The Zero-Frequency Problem*, IEEE Trans. Information Theory 37 (1991), method C; Kneser &
Ney, *Improved Backing-off for M-gram Language Modeling*, ICASSP 1995. Both interpolated, as in Chen & Goodman, *An
Empirical Study of Smoothing Techniques for Language Modeling* (1998), sections 2.5 and 2.7. Add-k: Lidstone
(1920).

Counting is sorting: a token and its context are one whole number, `np.unique` counts the numbers, and a look-up is
a binary search. Simplified: one discount for each length of context (Chen & Goodman's modified form has three);
all sequences of a batch have one length; a context of k tokens needs (vocabulary + 1)^(k + 1) below 2^63.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from genbook.checks import check_count, check_tokens
from genbook.prob.smoothing import AddK, KneserNey, WittenBell

__all__ = ["NGram"]

Whole = NDArray[np.int64]
Real = NDArray[np.float64]


class Level(NamedTuple):
    """What was seen with contexts of one length, in sorted order."""

    length: int
    grams: Whole  # context and token as one number
    weights: Real  # of each gram: its count less the discount
    cumulative: Real  # sums of the weights
    contexts: Whole
    first: Whole  # where the grams of a context begin,
    last: Whole  # and end
    seen: Real  # the weights of a context, summed
    escape: Real  # and what it gives to the shorter context


class NGram:
    r"""The mass function $P(x) = \prod_t P(x_t \mid x_{t-k} \dots x_{t-1})$ on tokens below `vocabulary`.

    `context` is k; `smoothing` one of `AddK`, `WittenBell` and `KneserNey`. Before each sequence stand k tokens of
    a kind that is never drawn, so its first tokens have contexts too. Data are `(n, T)` int64. Raises TypeError or
    ValueError for bad sizes, and where contexts do not fit into 64 bits.
    """

    def __init__(self, vocabulary: int, context: int, smoothing: AddK | WittenBell | KneserNey) -> None:
        self.vocabulary = check_count(vocabulary, name="vocabulary", least=2)
        self.context = check_count(context, name="context", least=0)
        parts = ("mixes", "continues", "taken", "escape")
        if isinstance(smoothing, type) or not all(hasattr(smoothing, part) for part in parts):
            raise TypeError(f"smoothing must be AddK(), WittenBell() or KneserNey(), got {smoothing!r}")
        self.base = self.vocabulary + 1  # the last is the token before the start
        if self.base ** (self.context + 1) >= 2**63:
            raise ValueError(f"(vocabulary + 1)^(context + 1) must be below 2^63, got {self.base}^{context + 1}")
        self.smoothing = smoothing
        self.levels: list[Level] = []

    def fit(self, x: Tensor) -> Self:
        """Count every token of `x`, `(n, T)`, after every context up to the longest."""
        tokens, rule = check_tokens(x, self.vocabulary).numpy(), self.smoothing
        self.length, self.levels, grams = x.shape[1], [], None
        for length in range(self.context, -1 if rule.mixes else self.context - 1, -1):
            if rule.continues and grams is not None:
                grams, counts = np.unique(grams % self.base ** (length + 1), return_counts=True)
            else:
                grams, counts = np.unique(self._keys(tokens, length), return_counts=True)
            self.levels.insert(0, self._level(length, grams, counts))
        return self

    def token_log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each token of `x`, `(n, T)`, given those before it, in nats, `(n, T)`."""
        tokens = check_tokens(x, self.vocabulary).numpy()
        chance = np.full(tokens.shape, 1 / self.vocabulary)
        for level in self._fitted():
            chance = self._mix(level, self._keys(tokens, level.length), chance)
        return torch.from_numpy(np.log(chance))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each sequence of `x`, `(n, T)`, in nats, `(n,)`."""
        return self.token_log_prob(x).sum(1)

    def next_probabilities(self, before: Tensor) -> Tensor:
        """Return the chance of every token after each of `before`, `(n, T)`, T may be 0: `(n, vocabulary)`."""
        before = check_tokens(before, self.vocabulary, name="before", empty=True)
        tokens = np.pad(before.numpy()[:, max(before.shape[1] - self.context, 0) :], ((0, 0), (0, 1)))
        chance = np.full((len(tokens), self.vocabulary), 1 / self.vocabulary)
        for level in self._fitted():
            keys = self._keys(tokens, level.length)[:, -1:] + np.arange(self.vocabulary)
            chance = self._mix(level, keys, chance)
        return torch.from_numpy(chance)

    def sample(
        self,
        n: int,
        *,
        length: int | None = None,
        prompt: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw `n` sequences, `(n, length)` int64, that go on from `prompt`, `(T,)`; as long as those counted
        unless told.

        A token comes from the longest context's counts or, with the chance of its escape, from the shorter's: a
        few binary searches, however large the vocabulary.
        """
        check_count(n), self._fitted()
        length = self.length if length is None else check_count(length, name="length")
        given = torch.zeros(0, dtype=torch.int64) if prompt is None else prompt
        given, k = check_tokens(given[None], self.vocabulary, name="prompt", empty=True)[0].numpy(), self.context
        text = np.full((n, k + length), self.vocabulary)
        text[:, max(k - len(given), 0) : k] = given[max(len(given) - k, 0) :]
        uniform = torch.rand(n, length, generator=generator, dtype=torch.float64).numpy()
        for t in range(length):
            text[:, k + t] = self._draw(text[:, t : k + t], uniform[:, t])
        return torch.from_numpy(text[:, k:].copy())

    def _keys(self, tokens: Whole, length: int) -> Whole:
        """Return, for every place, its token and the `length` before it as one number."""
        padded = np.pad(tokens, ((0, 0), (length, 0)), constant_values=self.vocabulary)
        keys = np.zeros_like(tokens)
        for start in range(length + 1):
            keys = keys * self.base + padded[:, start : start + tokens.shape[1]]
        return keys

    def _level(self, length: int, grams: Whole, counts: Whole) -> Level:
        contexts, first, kinds = np.unique(grams // self.base, return_index=True, return_counts=True)
        taken = self.smoothing.taken(counts)
        weights, escape = counts - taken, self.smoothing.escape(kinds, taken, self.vocabulary)
        seen = np.add.reduceat(weights, first)
        return Level(length, grams, weights, weights.cumsum(), contexts, first, first + kinds - 1, seen, escape)

    def _mix(self, level: Level, keys: Whole, shorter: Real) -> Real:
        """Return the chances with this length of context, from those with the shorter one."""
        gram, seen = locate(level.grams, keys)
        context, known = locate(level.contexts, keys // self.base)
        mixed = np.where(seen, level.weights[gram], 0) + level.escape[context] * shorter
        return np.where(known, mixed / (level.seen + level.escape)[context], shorter)

    def _draw(self, before: Whole, uniform: Real) -> Whole:
        """Return one token after each of `before`, `(n, context)`, by numbers in [0, 1), `(n,)`."""
        token, settled = np.zeros(len(before), np.int64), np.zeros(len(before), bool)
        for level in reversed(self.levels):
            powers = self.base ** np.arange(level.length - 1, -1, -1)
            at, known = locate(level.contexts, before[:, before.shape[1] - level.length :] @ powers)
            aim = uniform * (level.seen + level.escape)[at]
            here = known & ~settled & (aim < level.seen[at])
            start = level.cumulative[level.first[at]] - level.weights[level.first[at]]
            place = np.searchsorted(level.cumulative, start + aim, side="right")
            place = np.clip(place, level.first[at], level.last[at])
            token, settled = np.where(here, level.grams[place] % self.base, token), settled | here
            uniform = np.where(known, (aim - level.seen[at]) / level.escape[at], uniform).clip(0, 1 - 2**-53)
        return np.where(settled, token, (uniform * self.vocabulary).astype(np.int64))

    def _fitted(self) -> list[Level]:
        if not self.levels:
            raise RuntimeError("this NGram has counted nothing yet: call fit first")
        return self.levels


def locate(keys: Whole, wanted: Whole) -> tuple[Whole, NDArray[np.bool_]]:
    """Return where each wanted number stands in sorted `keys`, and whether it does."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return at, keys[at] == wanted
