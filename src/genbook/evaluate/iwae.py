r"""The importance-weighted bound: a log-likelihood from many guesses at the hidden cause.

Source: Burda, Grosse and Salakhutdinov (2015), arXiv:1509.00519, equation 8 and theorem 1. Works for every
model with `log_weights(x, noise=)` and a `latent` size.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from genbook.checks import check_count

__all__ = ["iwae"]


@torch.no_grad()
def iwae(
    model: Any,
    x: Tensor,
    *,
    samples: int = 500,
    generator: Generator | None = None,
    rows: int = 20_000,
) -> tuple[Tensor, Tensor]:
    r"""Return $\log \frac1K\sum_k w_k$ for each example of `x`, `(n,)` in nats, and its standard error, `(n,)`.

    K is `samples`; the weights come from `model.log_weights`. Its expectation is a lower bound on log p(x),
    never looser for a larger K, and the ELBO for K = 1. The standard error is by the delta method over the K
    weights; it is NaN for one sample, and too small where few weights hold all the mass. `rows` bounds the
    examples decoded at once.
    """
    k = check_count(samples, name="samples")
    values, errors = [], []
    for part in x.split(max(1, check_count(rows, name="rows") // k)):
        noise = torch.randn(len(part), k, model.latent, generator=generator).to(part.device)
        log_weights = model.log_weights(part, noise=noise).double()
        values.append(log_weights.logsumexp(1) - math.log(k))
        weights = (log_weights - log_weights.max(1, keepdim=True).values).exp()
        errors.append(
            weights.std(1) / (weights.mean(1) * math.sqrt(k)) if k > 1 else torch.full_like(values[-1], math.nan)
        )
    return torch.cat(values), torch.cat(errors)
