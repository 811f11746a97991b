"""The noise behind draws, in the shape and on the device of a tensor; drawn on the processor, in 32 bits or more.

Source: Gumbel (1954); that the largest of logits with Gumbel noise is a draw of their softmax, Yellott (1977),
"The relationship between Luce's choice axiom, Thurstone's theory of comparative judgment, and the double
exponential distribution".
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["choose", "gumbel_like", "uniform_like"]


def uniform_like(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Return numbers in [0, 1), uniform, of the shape of `x`: in its type if that has 32 bits or more, else in 32.

    Half precision has too few numbers near 0: a rare category would never be drawn.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    return torch.rand(x.shape, generator=generator, dtype=dtype).to(x.device)


def gumbel_like(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Return standard Gumbel noise, -log(-log u), of the shape of `x`: added to logits, it makes argmax a draw."""
    return -(-uniform_like(x, generator).clamp_min(1e-30).log()).log()


def choose(logits: Tensor, dim: int = -1, *, generator: Generator | None = None) -> Tensor:
    """Draw one category along a dimension, by the softmax of unnormalised log-probabilities.

    A category of logit -inf is never drawn, unless all are.
    """
    return (logits + gumbel_like(logits, generator)).argmax(dim)
