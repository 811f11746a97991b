"""Fourier features: waves of several lengths beside the coordinates, so that a small network can see fine detail.

Source: Tancik et al. (2020), arXiv:2006.10739; networks learn slow functions first, and waves make detail slow.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from genbook.checks import check_count, check_positive

__all__ = ["FourierFeatures"]


class FourierFeatures(nn.Module):
    r"""Points `(n, dim)` to `(n, dim + 2 waves)`: $x$, $\sin Bx$ and $\cos Bx$, with B drawn once and kept.

    The entries of B are normal with standard deviation `scale`, in radians per unit of x: large for fine detail.
    `frequencies` is B, `(dim, waves)`, saved with the weights and not trained; `outputs` is dim + 2 waves. Raises
    TypeError or ValueError for a `dim` or `waves` below 1 or a `scale` that is not above 0.
    """

    def __init__(self, dim: int, waves: int, *, scale: float, generator: Generator | None = None) -> None:
        super().__init__()
        self.outputs = check_count(dim, name="dim") + 2 * check_count(waves, name="waves")
        self.register_buffer(
            "frequencies", check_positive(scale, name="scale") * torch.randn(dim, waves, generator=generator)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the points beside their waves."""
        phase = x @ self.frequencies
        return torch.cat([x, phase.sin(), phase.cos()], 1)
