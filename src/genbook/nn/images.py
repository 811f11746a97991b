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

__all__ = ["DCGANCritic", "DCGANGenerator", "ImageCritic", "ImageGenerator", "labels_of", "with_labels"]


class ImageGenerator(nn.Module):
    """Noise `(n, latent)` to pictures `(n, 1, side, side)` between -1 and 1.

    A 4×4 grid of features, then `depth` residual 3×3 convolutions and a transposed one for each doubling of the
    side. `channels` are those at 4×4, 8×8, …; the picture's side is 4 · 2^len(channels). Features are normalised
    over the batch, which keeps the first pictures unlike each other: call `eval()` before drawing single ones.

    `codes` turns parts of the noise into choices: of the first `codes[0]` coordinates only the place of the
    largest counts, then of the next `codes[1]`, and so on. Data that lie on islands then need no bridges. With
    `labelled=True` the first choice is the picture's label, and each picture comes with a second channel that
    holds its number, as `with_labels` writes it: `(n, 2, side, side)`.

    Raises TypeError or ValueError for channels, a latent, a depth or codes that are no such counts.
    """

    def __init__(
        self,
        latent: int,
        channels: Sequence[int] = (128, 64, 32),
        *,
        depth: int = 1,
        codes: Sequence[int] = (),
        labelled: bool = False,
    ) -> None:
        super().__init__()
        widths = _widths(channels)
        self.side = 4 * 2 ** len(widths)
        if not isinstance(codes, Sequence):
            raise TypeError(f"codes must be a sequence of whole numbers, got {codes!r}")
        self.codes = [check_count(size, name="each of codes", least=2) for size in codes]
        if sum(self.codes) > check_count(latent, name="latent"):
            raise ValueError(f"latent must be at least the sum of codes, got {latent} and {self.codes}")
        if labelled and not self.codes:
            raise ValueError("a labelled generator needs codes: the first is the label")
        self.labelled = labelled
        self.grid = nn.Linear(latent, 16 * widths[0], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.refinements = nn.ModuleList(_refine(width, depth) for width in widths)
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1) for inputs, outputs in pairwise([*widths, 1])
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the pictures of the latent vectors `z`."""
        *groups, rest = z.split([*self.codes, z.shape[1] - sum(self.codes)], 1)
        chosen = [group.argmax(1) for group in groups]
        parts = [CODE_LENGTH * one_hot(c, size).to(z) for c, size in zip(chosen, self.codes, strict=True)]
        h = self.grid(torch.cat([*parts, rest], 1)).unflatten(1, (-1, 4, 4))
        for norm, refine, double in zip(self.norms, self.refinements, self.doublings, strict=True):
            h = double(leaky_relu(refine(norm(h)), 0.2))
        h = torch.tanh(h)
        return with_labels(h, chosen[0]) if self.labelled else h


class ImageCritic(nn.Module):
    """Pictures `(n, 1, side, side)` to logits `(n,)`: the generator's mirror.

    `channels` are those at half, a quarter, … of the side, down to 4×4; the side is 4 · 2^len(channels). With
    `classes` it takes labelled pictures, `(n, 2, side, side)` (see `with_labels`), and adds to the logit the
    product of the last hidden layer with a vector of the label: the projection of Miyato and Koyama (2018),
    arXiv:1802.05637, equation 3. Raises ValueError for pictures of another shape.
    """

    def __init__(self, channels: Sequence[int] = (32, 64, 128), *, depth: int = 1, classes: int = 0) -> None:
        super().__init__()
        widths = _widths(channels)
        self.side, self.planes = 4 * 2 ** len(widths), 2 if check_count(classes, name="classes", least=0) else 1
        self.halvings = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 4, 2, 1) for inputs, outputs in pairwise([1, *widths])
        )
        self.refinements = nn.ModuleList(_refine(width, depth) for width in widths)
        self.hidden = nn.Sequential(nn.Linear(16 * widths[-1], 128), nn.LeakyReLU(0.2))
        self.logit = nn.Linear(128, 1)
        self.label = nn.Embedding(classes, 128) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit a picture."""
        _check_pictures(x, self.side, self.planes)
        h = x[:, :1]
        for halve, refine in zip(self.halvings, self.refinements, strict=True):
            h = refine(halve(h))
        h = self.hidden(leaky_relu(h, 0.2).flatten(1))
        logit = self.logit(h)[:, 0]
        return logit if self.label is None else logit + (self.label(labels_of(x)) * h).sum(1) / h.shape[1] ** 0.5


def with_labels(pictures: Tensor, labels: Tensor) -> Tensor:
    """Return pictures `(n, 1, h, w)` between -1 and 1 with a second channel that holds their labels, 0 to 255.

    Label k is written as k/127.5 - 1 in every pixel: as k in data units of 0 to 255.
    """
    pictures = pictures.float()  # eight bits of a bfloat16 do not hold a label
    plane = (labels.to(pictures) / 127.5 - 1)[:, None, None, None].expand_as(pictures)
    return torch.cat([pictures, plane], 1)


def labels_of(pictures: Tensor) -> Tensor:
    """Return the labels, `(n,)` int64, that `with_labels` wrote."""
    return ((pictures[:, 1, 0, 0].detach().float() + 1) * 127.5).round().long()


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


def _check_pictures(x: Tensor, side: int, planes: int = 1) -> Tensor:
    """Return `x` if it is `(n, planes, side, side)`: convolutions alone would take other sides too."""
    if x.ndim != 4 or x.shape[1:] != (planes, side, side):
        raise ValueError(f"x must have shape (n, {planes}, {side}, {side}), got {tuple(x.shape)}")
    return x


def _small_normal(network: nn.Module) -> None:
    """Draw convolution weights from N(0, 0.02²), as Radford et al. do, and those of the normalisation around 1."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
