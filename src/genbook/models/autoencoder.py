r"""Autoencoders: a network that must pass its input through a narrow code; principal components, the linear case.

Sources: Bourlard and Kamp (1988) and Baldi and Hornik (1989), the best linear autoencoder spans the principal
components; Hinton and Salakhutdinov (2006), deep autoencoders; Vincent et al. (2008), denoising. Symbols: z the
code, f the encoder, g the decoder.

There is no `sample` and no `log_prob`: nothing says which codes are likely. That is a fact about the family,
which the chapter shows; the variational autoencoder repairs it.

Simplified: squared error only; encoder and decoder share no weights; no layer-wise pre-training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from genbook.checks import check_count, check_points, check_positive

__all__ = ["PCA", "Autoencoder", "mask", "white_noise"]


class PCA:
    """Principal components: the linear encoder and decoder of least squared error, in closed form.

    `latent` is the number of components. After `fit`: `mean` `(d,)`; `components` `(latent, d)`, orthonormal
    rows in order of variance, each with its largest entry positive; `variances` `(d,)`, the eigenvalues of the
    covariance (divided by n), the discarded ones too, in falling order.
    """

    def __init__(self, latent: int) -> None:
        self.latent = check_count(latent, name="latent")

    def fit(self, x: Tensor) -> Self:
        """Learn from `x`, `(n, d)`, by a singular value decomposition; ValueError if `latent` exceeds d or n."""
        check_points(x, finite=True)
        if self.latent > min(x.shape):
            raise ValueError(f"x must have at least latent = {self.latent} rows and columns, got {tuple(x.shape)}")
        self.mean = x.mean(0)
        _, singular, axes = torch.linalg.svd((x - self.mean).double(), full_matrices=False)
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        self.components = (axes * largest.sign())[: self.latent].to(x.dtype)
        self.variances = (singular.square() / len(x)).to(x.dtype)
        return self

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, `(n, latent)`: coordinates along the components, from the mean."""
        return (check_points(x, len(self._fitted().mean)) - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """Return the points, `(n, d)`, that the codes `z`, `(n, latent)`, stand for."""
        return self._fitted().mean + z @ self.components

    def _fitted(self) -> Self:
        if not hasattr(self, "mean"):
            raise RuntimeError("this PCA has seen no data yet: call fit(x) first")
        return self


# ---- corruptions: what a denoising autoencoder must undo ------------------------------------------------
def white_noise(scale: float) -> Callable[[Tensor], Tensor]:
    """Return a corruption that adds Gaussian noise of standard deviation `scale`, in the networks' units."""
    check_positive(scale, name="scale")
    return lambda x: x + scale * torch.randn_like(x)


def mask(share: float) -> Callable[[Tensor], Tensor]:
    """Return a corruption that sets a random `share`, between 0 and 1, of the networks' inputs to 0."""
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share!r}")
    return lambda x: x * (torch.rand_like(x) >= share)


class Autoencoder(nn.Module):
    """An encoder to codes `(n, latent)` and a decoder back, trained to return what came in.

    Both networks work in units of (x - offset) / scale. `corrupt` maps a batch in those units to a damaged one
    that the encoder sees in its place while the decoder must return the whole one: a denoising autoencoder.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        corrupt: Callable[[Tensor], Tensor] | None = None,
        offset: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.corrupt = encoder, decoder, corrupt
        if not math.isfinite(offset):
            raise ValueError(f"offset must be finite, got {offset}")
        self.offset, self.scale = float(offset), check_positive(scale, name="scale")

    def loss(self, x: Tensor, *, corrupted: Tensor | None = None) -> Tensor:
        """Return the squared error in networks' units, summed over an example and averaged over the batch.

        A surrogate: it says how well codes are decoded, not how probable anything is. `corrupted`, in data
        units and of the shape of `x`, is what the encoder sees; it is drawn by `corrupt` where not given.
        """
        if not x.is_floating_point():
            raise TypeError(f"x must be a floating-point tensor, got a {x.dtype} tensor")
        target = (x - self.offset) / self.scale
        if corrupted is not None:
            if corrupted.shape != x.shape:
                raise ValueError(f"corrupted must have shape {tuple(x.shape)}, got {tuple(corrupted.shape)}")
            seen = (corrupted - self.offset) / self.scale
        else:
            seen = target if self.corrupt is None else self.corrupt(target)
        error = self.decoder(self.encoder(seen)) - target
        return error.square().flatten(1).sum(1).mean()

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, in data units, without corruption."""
        return self.encoder((x - self.offset) / self.scale)

    def decode(self, z: Tensor) -> Tensor:
        """Return the examples, in data units, that the codes stand for."""
        return self.offset + self.scale * self.decoder(z)
