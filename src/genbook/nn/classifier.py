"""A small convolutional classifier, whose last hidden layer is the eye of the book's sample metrics.

Fréchet and kernel distances, precision and recall compare pictures by what a frozen classifier sees in them
(Heusel et al. 2017, arXiv:1706.08500; Kynkäänniemi et al. 2019, arXiv:1904.06991). Theirs is Inception v3, trained
on photographs and fed with 299×299 pixels; ours is trained on the letters and the digits of this book.

Simplified from them: 64 features and not 2,048, so that a covariance of some 300 pictures has full rank.
Normalisation is by groups of channels (Wu and He 2018, arXiv:1803.08494): what one picture gives does not depend
on the pictures beside it, neither in training nor afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbook.checks import check_count, check_positive

__all__ = ["Classifier"]

GRID = 4  # the picture is halved until it has 4×4 places
GROUP = 8  # channels that are normalised together


class Classifier(nn.Module):
    """Tell apart the classes of grey pictures: `(n, 1, size, size)` in data units to `(n, classes)` logits.

    `scale` is the value of full ink in data units (255 for letters, 16 for scans of digits). `size` is 4, 8, 16,
    32, …; each halving has two convolutions, of `width` channels at first and at most `widest` at last. `features`
    is the length of the last hidden layer. Dropout acts on it in training alone: call `eval()` before judging.
    Raises ValueError for a size that halvings do not bring to 4, or channels that are no multiple of 8.
    """

    def __init__(
        self,
        classes: int,
        *,
        size: int,
        scale: float,
        features: int = 64,
        width: int = 24,
        widest: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        halvings = (check_count(size, name="size", least=GRID) // GRID).bit_length() - 1
        if size != GRID * 2**halvings:
            raise ValueError(f"size must be {GRID} times a power of 2, got {size}")
        check_count(features, name="features")
        for name, channels in (("width", width), ("widest", widest)):
            if check_count(channels, name=name) % GROUP:
                raise ValueError(f"{name} must be a multiple of {GROUP}, got {channels}")
        self.classes = check_count(classes, name="classes", least=2)
        self.size, self.scale = size, check_positive(scale, name="scale")
        # the first layer is not normalised: normalised, a picture at half the ink would look the same
        layers, inputs, outputs = [nn.Conv2d(1, width, 3, padding=1), nn.SiLU()], width, width
        for _ in range(halvings):
            outputs = min(2 * inputs, widest)
            layers += [*block(inputs, outputs, stride=2), *block(outputs, outputs, stride=1)]
            inputs = outputs
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(outputs * GRID**2, features), nn.SiLU())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, classes))

    def features(self, x: Tensor) -> Tensor:
        """Return the last hidden layer `(n, features)` of pictures `(n, 1, size, size)` in data units.

        Raises TypeError for something that is no floating tensor, ValueError for another shape or NaN.
        """
        return self.body(2 * self._check(x) / self.scale - 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `(n, classes)` of pictures `(n, 1, size, size)` in data units."""
        return self.head(self.features(x))

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of each class, `(n, classes)`, without a gradient."""
        return self(x).softmax(-1)

    def _check(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            what = f"a {x.dtype} tensor" if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"x must be a floating-point tensor, got {what}")
        if x.ndim != 4 or x.shape[1:] != (1, self.size, self.size) or len(x) == 0:
            raise ValueError(f"x must have shape (n, 1, {self.size}, {self.size}), n ≥ 1, got {tuple(x.shape)}")
        if bool(x.isnan().any()):
            raise ValueError(f"x holds {int(x.isnan().sum())} NaN in {x.numel()} numbers")
        return x


def block(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    """Return a 3×3 convolution, a normalisation by groups of channels and an activation."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.GroupNorm(outputs // GROUP, outputs), nn.SiLU()]
