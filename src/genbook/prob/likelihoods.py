r"""Likelihoods of decoders: log p(x | z) once a network has turned z into the parameters of each pixel.

Every likelihood has `outputs`, the parameters that it needs for one pixel, and three calls. Data are `(n, …)`
with d numbers an example, in data units; parameters are `(n, outputs, …)` or anything else of n · outputs · d
numbers in that order, so that a stack of linear layers and a convolutional decoder serve alike. `log_prob` sums
over an example.

Sources: Kingma and Welling (2013), arXiv:1312.6114, appendix C (Bernoulli, Gaussian); Salimans et al. (2017),
arXiv:1701.05517, equation 2 (mixture of discretised logistics).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from genbook.checks import check_count, check_levels, check_positive
from genbook.prob.gaussian import log_normal
from genbook.prob.noise import choose, uniform_like

__all__ = ["BernoulliPixels", "CategoricalPixels", "GaussianPixels", "LogisticMixturePixels"]


class BernoulliPixels:
    """Pixels that are 0 or 1; the parameter is the log-odds of a 1. Raises ValueError for other pixels."""

    outputs = 1

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return log p(x | z) in nats, `(n,)`."""
        check_levels(x, 2)
        logits = _pixels(parameters, 1)[:, 0]
        return -binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="none").sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return E[x | z], `(n, d)`."""
        return torch.sigmoid(_pixels(parameters, 1)[:, 0])

    def sample(self, parameters: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw x given z, `(n, d)`."""
        mean = self.mean(parameters)
        return (uniform_like(mean, generator) < mean).to(mean.dtype)


class GaussianPixels:
    """Real numbers with Gaussian noise of one known standard deviation, `scale` in data units.

    The parameter is the mean in units of `unit` from `offset`, so that a network may work with numbers near 1.
    """

    outputs = 1

    def __init__(self, scale: float, *, offset: float = 0.0, unit: float = 1.0) -> None:
        self.scale, self.unit = check_positive(scale, name="scale"), check_positive(unit, name="unit")
        if not math.isfinite(offset):
            raise ValueError(f"offset must be finite, got {offset}")
        self.offset = float(offset)

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return log p(x | z) in nats, `(n,)`."""
        return log_normal(x.flatten(1), self.mean(parameters), self.scale).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return E[x | z], `(n, d)`."""
        return self.offset + self.unit * _pixels(parameters, 1)[:, 0]

    def sample(self, parameters: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw x given z, `(n, d)`: the mean plus noise."""
        mean = self.mean(parameters)
        return mean + self.scale * torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)


class CategoricalPixels:
    """Pixels of `levels` whole numbers from 0, whose order does not matter; parameters are logits."""

    def __init__(self, levels: int) -> None:
        self.outputs = check_count(levels, name="levels", least=2)

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return log p(x | z) in nats, `(n,)`."""
        check_levels(x, self.outputs)
        log_chances = _pixels(parameters, self.outputs).log_softmax(1)
        return log_chances.gather(1, x.flatten(1).long()[:, None])[:, 0].sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return E[x | z], `(n, d)`."""
        levels = torch.arange(self.outputs, dtype=parameters.dtype, device=parameters.device)
        return torch.einsum("nkd,k->nd", _pixels(parameters, self.outputs).softmax(1), levels)

    def sample(self, parameters: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw x given z, `(n, d)`."""
        return choose(_pixels(parameters, self.outputs), 1, generator=generator).to(parameters.dtype)


class LogisticMixturePixels:
    r"""Pixels that take one of `levels` whole numbers in order: mixtures of logistic densities, cut into bins.

    Parameters of a pixel: `components` logits of the weights π, as many means μ, as many log-widths log s;
    means and widths are in units of half the range, so that the levels lie in [-1, 1]. With F the logistic
    function, $P(x) = \sum_i \pi_i\,[F((x + \tfrac12 - \mu_i)/s_i) - F((x - \tfrac12 - \mu_i)/s_i)]$, where the
    lowest and the highest level own all that lies beyond them.
    """

    LEAST_LOG_WIDTH = -7.0

    def __init__(self, levels: int, components: int) -> None:
        self.levels = check_count(levels, name="levels", least=2)
        self.components = check_count(components, name="components")
        self.outputs = 3 * self.components

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return log P(x | z) in nats, `(n,)`."""
        check_levels(x, self.levels)
        logits, means, log_widths = self._split(parameters)
        half_range = (self.levels - 1) / 2
        centred = (x.flatten(1) / half_range - 1)[:, None] - means
        inverse, half_bin = (-log_widths).exp(), 0.5 / half_range
        upper, lower = inverse * (centred + half_bin), inverse * (centred - half_bin)
        # F(u) - F(l) = F(u) F(-l) (1 - exp(l - u)): exact, and stable where both are near 0 or 1
        inside = logsigmoid(upper) + logsigmoid(-lower) + torch.log(-torch.expm1(-2 * half_bin * inverse))
        level = x.flatten(1)[:, None]
        log_mass = torch.where(level == 0, logsigmoid(upper), inside)
        log_mass = torch.where(level == self.levels - 1, logsigmoid(-lower), log_mass)
        return (logits.log_softmax(1) + log_mass).logsumexp(1).sum(1)

    def mean(self, parameters: Tensor) -> Tensor:
        """Return E[x | z] of the uncut mixture, brought within the range, `(n, d)`."""
        logits, means, _ = self._split(parameters)
        return self._levels((logits.softmax(1) * means).sum(1))

    def sample(self, parameters: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw x given z, `(n, d)`: a component, a logistic number, the nearest level."""
        logits, means, log_widths = self._split(parameters)
        chosen = choose(logits, 1, generator=generator)[:, None]
        mean, log_width = means.gather(1, chosen)[:, 0], log_widths.gather(1, chosen)[:, 0]
        noise = torch.logit(uniform_like(mean, generator), eps=1e-6)
        return self._levels(mean + log_width.exp() * noise).round()

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, means, log_widths = _pixels(parameters, self.outputs).chunk(3, 1)
        return logits, means, log_widths.clamp_min(self.LEAST_LOG_WIDTH)

    def _levels(self, x: Tensor) -> Tensor:
        return ((x + 1) * (self.levels - 1) / 2).clamp(0, self.levels - 1)


def _pixels(parameters: Tensor, outputs: int) -> Tensor:
    """Return parameters as `(n, outputs, d)`."""
    return parameters.flatten(1).unflatten(1, (outputs, -1))
