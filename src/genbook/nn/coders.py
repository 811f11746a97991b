"""Encoders and decoders of pictures: a pyramid of residual convolutions down to 4×4 and a linear layer, and back.

Both work on one channel in the networks' units and know the side of the picture: patch · 4 · 2^(levels - 1).
They have no batch normalisation, so that what one picture gives does not depend on the pictures beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from genbook.checks import check_count

__all__ = ["PictureDecoder", "PictureEncoder"]

GRID = 4


class ResidualPair(nn.Module):
    """Two 3×3 convolutions with dropout between them, beside the identity; at first the identity."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the branch."""
        return x + self.second(self.dropout(silu(self.first(silu(x)))))


class PictureEncoder(nn.Module):
    """Pictures `(n, 1, side, side)` to `(n, outputs)` numbers.

    A picture is cut into blocks of `patch`×`patch` pixels, each one place of so many channels; `channels` are
    those at that side, at half of it, …, at 4×4: their number fixes the side. `dropout` acts inside the
    residual pairs and before the last layer, in training alone; `noise` is the standard deviation of Gaussian
    noise that training adds to the input, which keeps an encoder from knowing each training picture by heart.
    Raises TypeError or ValueError for channels that are no counts, and ValueError for pictures of another
    shape.
    """

    def __init__(
        self,
        outputs: int,
        channels: Sequence[int] = (16, 32),
        *,
        patch: int = 1,
        dropout: float = 0.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__()
        widths = _widths(channels)
        self.side, self.noise = check_count(patch, name="patch") * GRID * 2 ** (len(widths) - 1), float(noise)
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(patch),
            nn.Conv2d(patch * patch, widths[0], 3, padding=1),
            ResidualPair(widths[0], dropout),
        ]
        for inputs, following in pairwise(widths):
            layers += [nn.Conv2d(inputs, following, 4, 2, 1), ResidualPair(following, dropout)]
        last = nn.Linear(GRID * GRID * widths[-1], check_count(outputs, name="outputs"))
        self.layers = nn.Sequential(*layers, nn.SiLU(), nn.Dropout(dropout), nn.Flatten(), last)

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers of each picture."""
        if x.ndim != 4 or x.shape[1:] != (1, self.side, self.side):
            raise ValueError(f"x must have shape (n, 1, {self.side}, {self.side}), got {tuple(x.shape)}")
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        return self.layers(x)


class PictureDecoder(nn.Module):
    """Codes `(n, latent)` to `(n, planes, side, side)` numbers: the encoder's mirror.

    `channels` are those at 4×4, 8×8, …; each place of the last becomes `patch`×`patch` pixels. Every output has
    a bias of its own at every pixel: the mean picture needs no code. Raises TypeError or ValueError for sizes
    that are no counts.
    """

    def __init__(
        self,
        latent: int,
        channels: Sequence[int] = (32, 16),
        *,
        patch: int = 1,
        planes: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = _widths(channels)
        self.side = check_count(patch, name="patch") * GRID * 2 ** (len(widths) - 1)
        layers: list[nn.Module] = [
            nn.Linear(check_count(latent, name="latent"), GRID * GRID * widths[0]),
            nn.Unflatten(1, (widths[0], GRID, GRID)),
            ResidualPair(widths[0], dropout),
        ]
        for inputs, following in pairwise(widths):
            layers += [nn.ConvTranspose2d(inputs, following, 4, 2, 1), ResidualPair(following, dropout)]
        outputs = check_count(planes, name="planes") * patch * patch
        last = nn.Conv2d(widths[-1], outputs, 3, padding=1, bias=False)
        self.layers = nn.Sequential(*layers, nn.SiLU(), last, nn.PixelShuffle(patch))
        self.bias = nn.Parameter(torch.zeros(planes, self.side, self.side))

    def forward(self, z: Tensor) -> Tensor:
        """Return the planes of each code's picture."""
        return self.layers(z) + self.bias


def _widths(channels: Sequence[int]) -> list[int]:
    widths = [check_count(width, name="each of channels") for width in channels]
    if not widths:
        raise ValueError(f"channels must name one number of channels at least, got {channels!r}")
    return widths
