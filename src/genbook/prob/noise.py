"""The noise behind draws, in the shape, the type and on the device of a tensor; drawn on the processor.

Source: Gumbel (1954); that the largest of logits with Gumbel noise is a draw of their softmax, Yellott (1977),
"The relationship between Luce's choice axiom, Thurstone's theory of comparative judgment, and the double
exponential distribution".
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["gumbel_like", "uniform_like"]


def uniform_like(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Return numbers in [0, 1), uniform, of the shape of `x`."""
    return torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)


def gumbel_like(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Return standard Gumbel noise, -log(-log u), of the shape of `x`: added to logits, it makes argmax a draw."""
    return -(-uniform_like(x, generator).clamp_min(1e-30).log()).log()
