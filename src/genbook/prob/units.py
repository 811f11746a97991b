"""Units of log-likelihood: nats inside the library, other units where a number is shown."""

from __future__ import annotations

import math

__all__ = ["bits_per_dimension", "perplexity"]


def bits_per_dimension(nats: float, dimensions: int) -> float:
    r"""Return a negative log-likelihood in bits per dimension: $\text{nats} / (D \ln 2)$.

    `nats` is the negative log-probability of one example, `dimensions` the number of its coordinates.
    """
    if dimensions < 1:
        raise ValueError(f"dimensions must be a positive integer, got {dimensions}")
    return nats / (dimensions * math.log(2))


def perplexity(nats_per_symbol: float) -> float:
    """Return the perplexity, `exp` of the nats per symbol: the size of an equally surprising fair die."""
    return math.exp(nats_per_symbol)
