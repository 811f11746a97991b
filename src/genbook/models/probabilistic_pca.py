r"""Probabilistic principal components: the linear latent-variable model whose evidence is known in closed form.

Source: Tipping and Bishop (1999), "Probabilistic principal component analysis". A code z ~ N(0, I) of `latent`
numbers, $x = \mu + W z + \varepsilon$ with noise of one variance σ². Then $x \sim N(\mu, W W^\top + \sigma^2
I)$ (equation 6), the posterior of z is Gaussian (8), and the maximum of the likelihood is known (14 and 15).

It is what a variational autoencoder with linear networks is trying to be: Lucas et al. (2019), arXiv:1911.02469.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_points
from genbook.prob.gaussian import log_multivariate_normal

__all__ = ["ProbabilisticPCA"]


class ProbabilisticPCA:
    """The Gaussian of `latent` directions and equal noise in all others.

    After `fit`: `mean` `(d,)`, `weight` W `(d, latent)`, whose columns are orthogonal, and `variance` σ².
    """

    def __init__(self, latent: int) -> None:
        self.latent = check_count(latent, name="latent")

    def fit(self, x: Tensor) -> Self:
        """Learn from `x`, `(n, d)`, in closed form; ValueError unless d and n exceed `latent`."""
        check_points(x, finite=True)
        n, d = x.shape
        if self.latent >= min(n, d):
            raise ValueError(f"x must exceed latent = {self.latent} in rows and columns, got {tuple(x.shape)}")
        values = x.double()
        covariance = torch.cov(values.T, correction=0).view(d, d)
        spread, axes = torch.linalg.eigh(covariance)  # rising
        variance = spread[: d - self.latent].mean()
        rounding = 2 * torch.finfo(x.dtype).eps * values.abs().max()  # data flat but for it have no density either
        if not variance > rounding**2 + 1e-14 * spread[-1]:
            raise ValueError(f"x must vary in more than latent = {self.latent} directions, or it has no density")
        top, axes = spread[-self.latent :].flip(0), axes[:, -self.latent :].flip(1)
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        self.mean, self.variance = values.mean(0).to(x.dtype), float(variance)
        self.weight = (axes * (top - variance).clamp_min(0).sqrt()).to(x.dtype)
        return self

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of `x` in nats, a scalar."""
        return -self.log_prob(x).mean()

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) in nats, `(n,)`, for `x`, `(n, d)`."""
        check_points(x, len(self._fitted().mean))
        return log_multivariate_normal(x, self.mean[None].to(x), self._cholesky(x)[None])[:, 0]

    def score(self, x: Tensor) -> Tensor:
        r"""Return $\nabla_x \log p(x) = -\Sigma^{-1}(x - \mu)$, `(n, d)`."""
        check_points(x, len(self._fitted().mean), finite=True)
        return -torch.cholesky_solve((x - self.mean.to(x)).T, self._cholesky(x)).T

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return the posterior of the code: its mean, `(n, latent)`, and its one covariance, `(latent, latent)`.

        $M^{-1} W^\top (x - \mu)$ and $\sigma^2 M^{-1}$ with $M = W^\top W + \sigma^2 I$ (equation 8).
        """
        check_points(x, len(self._fitted().mean))
        weight = self.weight.to(x)
        inverse = torch.linalg.inv(weight.T @ weight + self.variance * torch.eye(self.latent).to(x))
        return (x - self.mean.to(x)) @ weight @ inverse.T, self.variance * inverse

    def encode(self, x: Tensor) -> Tensor:
        """Return the posterior means of the codes, `(n, latent)`: shrunk towards 0, unlike those of PCA."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Return μ + W z, `(n, d)`."""
        return self._fitted().mean + z @ self.weight.T

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, `(n, d)`: a code, decoded, plus noise."""
        z = torch.randn(check_count(n), self.latent, generator=generator, dtype=self._fitted().mean.dtype)
        noise = torch.randn(n, len(self.mean), generator=generator, dtype=z.dtype)
        return self.decode(z) + self.variance**0.5 * noise

    def _cholesky(self, x: Tensor) -> Tensor:
        weight = self.weight.double()
        covariance = weight @ weight.T + self.variance * torch.eye(len(weight), dtype=weight.dtype)
        return torch.linalg.cholesky(covariance).to(x)

    def _fitted(self) -> Self:
        if not hasattr(self, "mean"):
            raise RuntimeError("this ProbabilisticPCA has seen no data yet: call fit(x) first")
        return self
