"""Networks for pictures of one channel: a residual generator and critic, and the plain pair of DCGAN beside them.

All work in the networks' units, -1 to 1, and on 8, 16, 32, … pixels a side.

Sources: the plain pair and batch normalisation in the generator, Radford, Metz and Chintala (2015),
arXiv:1511.06434; a residual critic without normalisation, Mescheder et al. (2018), arXiv:1801.04406, appendix D.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from genbook.checks import check_count

CODE_LENGTH = 3.0  # of a code's vector: it weighs as much as nine coordinates of noise

__all__ = ["DCGANCritic", "DCGANGenerator", "ImageCritic", "ImageGenerator"]


class ImageGenerator(nn.Module):
    """Noise `(n, latent)` to pictures `(n, 1, side, side)` between -1 and 1.

    A 4×4 grid of features, then `depth` residual 3×3 convolutions and a transposed one for each doubling of the
    side. `channels` are those at 4×4, 8×8, …; the picture's side is 4 · 2^len(channels). Features are normalised
    over the batch, which keeps the first pictures unlike each other: call `eval()` before drawing single ones.

    With `codes`, only the place of the largest of the first `codes` coordinates of the noise is used, as one of so
    many equally likely choices. Data that lie on islands then need no bridges: from a letter to the next the
    generator may jump. Raises TypeError or ValueError for channels, a latent, a depth or codes that are no counts.
    """

    def __init__(
        self, latent: int, channels: Sequence[int] = (128, 64, 32), *, depth: int = 1, codes: int = 0
    ) -> None:
        super().__init__()
        widths = _widths(channels)
        self.side = 4 * 2 ** len(widths)
        self.codes = check_count(codes, name="codes", least=0)
        if codes >= check_count(latent, name="latent"):
            raise ValueError(f"latent must be above codes, got {latent} and {codes}")
        self.grid = nn.Linear(latent, 16 * widths[0], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.refinements = nn.ModuleList(_refine(width, depth) for width in widths)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1) for inputs, outputs in pairwise([*widths, 1])
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the pictures of the latent vectors `z`."""
        if self.codes:
            chosen = one_hot(z[:, : self.codes].argmax(1), self.codes).to(z)
            z = torch.cat([CODE_LENGTH * chosen, z[:, self.codes :]], 1)
        h = self.grid(z).unflatten(1, (-1, 4, 4))
        for norm, refine, double in zip(self.norms, self.refinements, self.doublings, strict=True):
            h = double(leaky_relu(refine(norm(h)), 0.2))
        return torch.tanh(h)


class ImageCritic(nn.Module):
    """Pictures `(n, 1, side, side)` to logits `(n,)`: the generator's mirror.

    `channels` are those at half, a quarter, … of the side, down to 4×4; the side is 4 · 2^len(channels). Raises
    ValueError for pictures of another shape.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128), *, depth: int = 1) -> None:
        super().__init__()
        widths = _widths(channels)
        self.side = 4 * 2 ** len(widths)
        self.halvings = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, 2, 1) for inputs, outputs in pairwise([1, *widths])
        )
        self.refinements = nn.ModuleList(_refine(width, depth) for width in widths)
        self.logit = nn.Sequential(nn.Linear(16 * widths[-1], 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a picture."""
        x = _check_pictures(x, self.side)
        for halve, refine in zip(self.halvings, self.refinements, strict=True):
            x = refine(halve(x))
        return self.logit(leaky_relu(x, 0.2).flatten(1))[:, 0]


def _refine(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels) for _ in range(check_count(depth, name="depth", least=0))))


class Residual(nn.Module):
    """A 3×3 convolution beside the identity, `(n, channels, h, w)` to the same; at first the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.branch.weight)
        nn.init.zeros_(self.branch.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the branch."""
        return x + self.branch(leaky_relu(x, 0.2))


class DCGANGenerator(nn.Sequential):
    """The plain generator: transposed convolutions and batch normalisation; noise `(n, latent)` to pictures.

    `channels` are those at 4×4, 8×8, …; the picture's side is 4 · 2^len(channels), its values -1 to 1. Raises
    TypeError or ValueError for channels or a latent that are no such counts.
    """

    def __init__(self, latent: int, channels: Sequence[int] = (128, 64, 32)) -> None:
        widths = _widths(channels)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (check_count(latent, name="latent"), 1, 1)),
            nn.ConvTranspose2d(latent, widths[0], 4, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.ConvTranspose2d(widths[-1], 1, 4, 2, 1), nn.Tanh())
        _small_normal(self)


class DCGANCritic(nn.Sequential):
    """The plain critic: strided convolutions, batch normalisation after all but the first; pictures to logits.

    `channels` as in `ImageCritic`. Raises ValueError for pictures of another shape than they stand for.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128)) -> None:
        widths = _widths(channels)
        layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 4), nn.Flatten(0))
        self.side = 4 * 2 ** len(widths)
        _small_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a picture."""
        return super().forward(_check_pictures(x, self.side))


def _widths(channels: Sequence[int]) -> list[int]:
    widths = [check_count(width, name="each of channels") for width in channels]
    if not widths:
        raise ValueError(f"channels must name one number of channels at least, got {channels!r}")
    return widths


def _check_pictures(x: Tensor, side: int) -> Tensor:
    """Return `x` if it is `(n, 1, side, side)`: convolutions alone would take other sides too."""
    if x.ndim != 4 or x.shape[1:] != (1, side, side):
        raise ValueError(f"x must have shape (n, 1, {side}, {side}), got {tuple(x.shape)}")
    return x


def _small_normal(network: nn.Module) -> None:
    """Draw convolution weights from N(0, 0.02²), as Radford et al. do, and those of the normalisation around 1."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
