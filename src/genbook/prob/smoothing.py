r"""Rules for smoothing counts: what is taken from what was seen, and goes to what was not.

Sources: add-k, Lidstone (1920); Witten & Bell (1991), *The Zero-Frequency Problem*, method C; Kneser & Ney (1995),
*Improved Backing-off for M-gram Language Modeling*. The last two interpolated, as in Chen & Goodman (1998), *An
Empirical Study of Smoothing Techniques for Language Modeling*, sections 2.5 and 2.7.

A rule says what is taken from each count (`taken`) and what a context then gives to the shorter one (`escape`);
whether it `mixes` contexts of all lengths, or only the longest with the uniform distribution; and whether a
shorter context `continues` longer ones: counts in how many of these it was seen, not how often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbook.checks import check_positive

__all__ = ["AddK", "KneserNey", "WittenBell"]

Whole = NDArray[np.int64]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class AddK:
    """Add `k` to the count of every token after the longest context; shorter ones are not asked."""

    k: float = 1.0
    mixes = False
    continues = False

    def __post_init__(self) -> None:
        check_positive(self.k, name="k")

    def taken(self, counts: Whole) -> float:
        """Return 0: counts stay whole."""
        return 0.0

    def escape(self, kinds: Whole, taken: float, vocabulary: int) -> Real:
        """Return `k` for each token of the vocabulary."""
        return np.full(len(kinds), self.k * vocabulary)


@dataclass(frozen=True)
class WittenBell:
    """Escape to the shorter context as often as something new was met: once for each kind that followed."""

    mixes = True
    continues = False

    def taken(self, counts: Whole) -> float:
        """Return 0: counts stay whole."""
        return 0.0

    def escape(self, kinds: Whole, taken: float, vocabulary: int) -> Real:
        """Return how many kinds of token followed each context."""
        return kinds.astype(np.float64)


@dataclass(frozen=True)
class KneserNey:
    """Take `discount` from every count and give it to the shorter context, where contexts are counted.

    Where none is given, the discount of each length is n₁ / (n₁ + 2 n₂), with n₁ grams seen once and n₂ seen
    twice, and 1/2 where none was seen once: with 0, what is new would be impossible.
    """

    discount: float | None = None
    mixes = True
    continues = True

    def __post_init__(self) -> None:
        if self.discount is not None and check_positive(self.discount, name="discount") > 1:
            raise ValueError(f"discount must be at most 1, got {self.discount}")

    def taken(self, counts: Whole) -> float:
        """Return the discount for these counts of grams (Ney, Essen & Kneser 1994)."""
        if self.discount is not None:
            return self.discount
        once, twice = (int((counts == times).sum()) for times in (1, 2))
        return once / (once + 2 * twice) if once else 0.5

    def escape(self, kinds: Whole, taken: float, vocabulary: int) -> Real:
        """Return all that was taken from each context."""
        return taken * kinds
