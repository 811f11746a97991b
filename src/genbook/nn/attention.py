r"""Attention: every place looks up, softly, what it wants to know from all the places that it may see.

Sources: Vaswani et al. (2017), *Attention Is All You Need*, arXiv:1706.03762, whose $Q$, $K$, $V$ and $d_k$ are
`q`, `k`, `v` and their last dimension here (equation 1; heads: section 3.2.2; sinusoids: section 3.5); rotary
positions: Su et al. (2021), *RoFormer*, arXiv:2104.09864, equation 34, in the pairing of the first half of a head
with its second half.

Shapes: n sequences, h heads, T places that ask, S places that answer, d numbers a head.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from genbook.checks import check_count

#: Up to so many pairs of places the formula as it stands is faster on a processor than the fused routine (four
#: times, in bfloat16); beyond it the fused one is faster, and needs less memory.
SHORT = 512 * 512

__all__ = ["Cache", "MultiHeadAttention", "attend", "causal_mask", "rotate", "sinusoidal"]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Return $\mathrm{softmax}(Q K^\top / \sqrt{d})\, V$, `(…, T, e)`, and the weights, `(…, T, S)`.

    `q` is `(…, T, d)`, `k` `(…, S, d)`, `v` `(…, S, e)`; `mask` is true where a place may look and spreads over
    the leading dimensions. Raises ValueError for shapes that do not fit, and for a place that may look nowhere.
    """
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            "q must be (…, T, d), k (…, S, d) and v (…, S, e), "
            f"got {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"mask must hold true where a place may look, got {mask.dtype}")
        if not mask.any(-1).all():
            raise ValueError("mask leaves a place that may look nowhere")
    weights = _weights(q, k, mask)
    return weights @ v, weights


def _weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    return (scores if mask is None else scores.masked_fill(~mask, -math.inf)).softmax(-1)


def causal_mask(places: int, seen: int | None = None) -> Tensor:
    """Return a mask, `(places, seen)`: the last `places` of `seen` places look back, and at themselves."""
    seen = places if seen is None else seen
    return torch.ones(places, seen, dtype=torch.bool).tril(seen - places)


def sinusoidal(places: int, width: int) -> Tensor:
    r"""Return `(places, width)`: in each row by turns sines and cosines of $t / 10000^{2i/\mathrm{width}}$."""
    if check_count(width, name="width") % 2:
        raise ValueError(f"width must be even, got {width}")
    angles = torch.arange(places)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)


def rotate(x: Tensor, start: int = 0) -> Tensor:
    r"""Turn `x`, `(…, T, d)`, by its place: the numbers i and i + d/2 by the angle $t / 10000^{2i/d}$.

    The scalar product of two vectors turned so depends on the distance of their places alone. `start` is the place
    of the first.
    """
    half = x.shape[-1] // 2
    if 2 * half != x.shape[-1]:
        raise ValueError(f"x must have an even last dimension, got {x.shape[-1]}")
    end = start + x.shape[-2]
    cosine, sine = _turns(max(64, 1 << (end - 1).bit_length()), half, x.device, x.dtype)
    return x * cosine[start:end] + x.roll(half, -1) * sine[start:end]


@lru_cache(maxsize=64)
def _turns(places: int, half: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the factors of the numbers and of their partners, `(places, 2 half)` each; they are kept."""
    with torch.inference_mode(False):  # for whoever asks next may need gradients
        rates = 10_000 ** (torch.arange(half, device=device) / half)
        angles = torch.arange(places, device=device)[:, None] / rates
        cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
        return torch.cat([cosine, cosine], 1), torch.cat([-sine, sine], 1)


class Cache:
    """The keys and values of the places that a layer has seen, so that a new place need not compute them again."""

    def __init__(self) -> None:
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.length = 0

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add keys and values, `(n, h, T, d)`, and return all of them; room is doubled when it runs out."""
        first, self.length = self.length, self.length + k.shape[2]
        if self.keys is None or self.length > self.keys.shape[2]:
            room = max(2 * self.length, 64)
            keys, values = (one.new_empty(*one.shape[:2], room, one.shape[3]) for one in (k, v))
            if self.keys is not None and self.values is not None:
                keys[:, :, :first], values[:, :, :first] = self.keys[:, :, :first], self.values[:, :, :first]
            self.keys, self.values = keys, values
        self.keys[:, :, first : self.length], self.values[:, :, first : self.length] = k, v
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class MultiHeadAttention(nn.Module):
    """Attention in `heads` parts of the width at once, and a linear map of their outputs.

    `forward(x)` lets `x`, `(n, T, width)`, look at itself; `forward(x, memory)` lets it look at `memory`,
    `(n, S, memory_width)` (cross-attention). `causal` forbids to look ahead; `rotary` turns queries and keys by
    their places. Raises ValueError where heads do not divide the width.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        causal: bool = False,
        rotary: bool = False,
        memory_width: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if check_count(width, name="width") % check_count(heads, name="heads"):
            raise ValueError(f"heads must divide the width {width}, got {heads}")
        self.heads, self.causal, self.rotary, self.dropout = heads, causal, rotary, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(memory_width or width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(
        self, x: Tensor, memory: Tensor | None = None, *, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """Return what each place gathers, `(n, T, width)`; `mask`, `(…, T, S)`, is true where it may look."""
        q, k, v = self._project(x, memory, cache)
        look, dropout = self._mask(q, k, mask), self.dropout if self.training else 0.0
        if q.shape[2] * k.shape[2] <= SHORT:
            weights = nn.functional.dropout(_weights(q, k, look), dropout)
            out = weights.to(v.dtype) @ v
        else:
            out = scaled_dot_product_attention(q, k, v, look, dropout)
        return self.output(out.transpose(1, 2).flatten(2))

    def weights(self, x: Tensor, memory: Tensor | None = None, *, mask: Tensor | None = None) -> Tensor:
        """Return how much each place of `x` looks at each other, `(n, heads, T, S)`."""
        q, k, v = self._project(x, memory, None)
        return attend(q, k, v, self._mask(q, k, mask))[1]

    def _project(self, x: Tensor, memory: Tensor | None, cache: Cache | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each `(n, h, its places, d)`."""
        q = self._split(self.query(x))
        k, v = map(self._split, self.key_value(x if memory is None else memory).chunk(2, -1))
        if self.rotary:
            start = 0 if cache is None else cache.length
            q, k = rotate(q, start), rotate(k, start)
        if cache is not None:
            k, v = cache.extend(k, v)
        return q, k, v

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _mask(self, q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor | None:
        if not self.causal or q.shape[2] == 1 < k.shape[2]:  # the newest place may see all that is cached
            return mask
        causal = causal_mask(q.shape[2], k.shape[2]).to(q.device)
        return causal if mask is None else causal & mask
