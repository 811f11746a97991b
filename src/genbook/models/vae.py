r"""Variational autoencoders: a decoder with hidden causes, and an encoder that guesses them.

Sources: Kingma and Welling (2013), arXiv:1312.6114 (equation 3 the bound, 10 its estimate, appendix B the
divergence); Rezende, Mohamed and Wierstra (2014), arXiv:1401.4082; β: Higgins et al. (2017), "beta-VAE"; free
bits: Kingma et al. (2016), arXiv:1606.04934, appendix C.8. Symbols: z the code, ε the noise, q(z|x) = N(μ, σ²)
the encoder's guess, p(x|z) the decoder, p(z) = N(0, I) the prior.

Simplified from the papers: one sample of z an example and step; the encoder's Gaussian is diagonal; the prior is
fixed. The importance-weighted bound is `genbook.evaluate.iwae`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from genbook.checks import check_count, check_positive
from genbook.prob.gaussian import log_normal

__all__ = ["VAE", "gaussian_kl"]

LOG_VARIANCE = (-14.0, 6.0)  # what the encoder may say: beyond it exp() helps nobody


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Return KL(N(μ, σ²) ‖ N(0, 1)) in nats, element by element: $\tfrac12(\mu^2 + \sigma^2 - \log\sigma^2 - 1)$.

    Kingma and Welling (2013), appendix B. Sum over the coordinates of z for the divergence of an example.
    """
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)


class VAE(nn.Module):
    r"""An encoder, a decoder and a likelihood; codes are `(n, latent)`.

    `encoder` maps examples in the networks' units, (x - offset) / scale, to `(n, 2 · latent)`: μ, then log σ².
    `decoder` maps codes to the parameters of `likelihood` (`genbook.prob.likelihoods`), which speaks data
    units. `shape` is that of one example. `beta` multiplies the divergence in the loss; `free_bits` is the
    number of nats a coordinate that its divergence, averaged over the batch, is not pressed below.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Any,
        *,
        latent: int,
        shape: tuple[int, ...],
        beta: float = 1.0,
        free_bits: float = 0.0,
        offset: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.latent, self.shape = check_count(latent, name="latent"), tuple(shape)
        self.beta = check_positive(beta, name="beta", zero=True)
        self.free_bits = check_positive(free_bits, name="free_bits", zero=True)
        if not math.isfinite(offset):
            raise ValueError(f"offset must be finite, got {offset}")
        self.offset, self.scale = float(offset), check_positive(scale, name="scale")

    # ---- the two halves ----------------------------------------------------------------------------------
    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and log σ² of q(z|x), `(n, latent)` each, for `x`, `(n, *shape)` in data units."""
        if x.shape[1:] != self.shape:
            raise ValueError(f"x must have shape (n, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        mean, log_variance = self.encoder((x - self.offset) / self.scale).float().chunk(2, 1)
        if mean.shape[1] != self.latent:
            raise ValueError(
                f"encoder must return 2 · latent = {2 * self.latent} numbers an example, got {2 * mean.shape[1]}"
            )
        return mean, log_variance.clamp(*LOG_VARIANCE)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes of `x`: the means μ of q(z|x), `(n, latent)`."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Return E[x|z], `(n, *shape)` in data units: a mean, smoother than any example."""
        return self.likelihood.mean(self.decoder(z).float()).unflatten(1, self.shape)

    # ---- the bound ---------------------------------------------------------------------------------------
    def terms(self, x: Tensor, *, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return log p(x|z) at one z = μ + σε, `(n,)`, and the divergence of each coordinate, `(n, latent)`.

        `noise` is ε, `(n, latent)`, drawn where not given.
        """
        mean, log_variance = self.posterior(x)
        z = mean + (0.5 * log_variance).exp() * self._noise(noise, mean.shape, mean)
        return self.likelihood.log_prob(x, self.decoder(z).float()), gaussian_kl(mean, log_variance)

    def elbo(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return the evidence lower bound on log p(x) in nats, `(n,)`, its expectation over z by one draw.

        Kingma and Welling (2013), equation 10. β and free bits play no part in it.
        """
        log_likelihood, divergence = self.terms(x, noise=noise)
        return log_likelihood - divergence.sum(1)

    def loss(self, x: Tensor, *, noise: Tensor | None = None) -> Tensor:
        """Return minus the mean bound, a scalar in nats; with β ≠ 1 or free bits its divergence is re-weighted."""
        log_likelihood, divergence = self.terms(x, noise=noise)
        paid = divergence.mean(0).clamp_min(self.free_bits).sum()
        return self.beta * paid - log_likelihood.mean()

    def log_weights(self, x: Tensor, *, noise: Tensor) -> Tensor:
        """Return log p(x, z) - log q(z|x), `(n, k)`, at z = μ + σε for `noise` ε, `(n, k, latent)`.

        Each weight's expectation under q is p(x): Burda et al. (2015), arXiv:1509.00519, equation 8.
        """
        n, k = noise.shape[:2]
        mean, log_variance = (part[:, None] for part in self.posterior(x))
        self._noise(noise, (len(mean), k, self.latent), mean)
        scale = (0.5 * log_variance).exp()
        z = mean + scale * noise
        log_likelihood = self.likelihood.log_prob(x.repeat_interleave(k, 0), self.decoder(z.flatten(0, 1)).float())
        log_ratio = (log_normal(z) - log_normal(z, mean, scale)).sum(-1)
        return log_likelihood.view(n, k) + log_ratio

    # ---- using -------------------------------------------------------------------------------------------
    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` examples, `(n, *shape)`: a code from the prior, then an example given the code."""
        z = torch.randn(check_count(n), self.latent, generator=generator).to(next(self.parameters()))
        return self.likelihood.sample(self.decoder(z).float(), generator=generator).unflatten(1, self.shape)

    def _noise(self, noise: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
        if noise is None:
            return torch.randn(shape, dtype=like.dtype).to(like.device)
        if noise.shape != shape:
            raise ValueError(f"noise must have shape {tuple(shape)}, got {tuple(noise.shape)}")
        return noise
