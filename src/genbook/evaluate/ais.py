r"""Annealed importance sampling: estimates of a log partition function, with a standard error.

Source: Neal (2001), "Annealed importance sampling"; for restricted Boltzmann machines Salakhutdinov and Murray
(2008), "On the quantitative analysis of deep belief networks"; the reverse direction as in Burda, Grosse and
Salakhutdinov (2015), arXiv:1412.8566.

A *path* is a function of β in [0, 1] that returns an unnormalised law with `free_energy(v)` and a transition
`gibbs(v, steps, generator=)` that leaves the law as it is: at β = 0 one that can be normalised and drawn from,
at β = 1 the model. A machine brings one as `tempered(beta, start_bias=)`, together with the kind of its visible
`units`.

The estimate of Z is unbiased, that of log Z is too low on average (Jensen), so that likelihoods come out too
high. The reverse estimate errs to the other side. That the two agree is necessary and not sufficient: neither
sees a mode that no chain has met.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from genbook.checks import check_count

__all__ = ["ais", "annealed_log_weights", "log_mean_exp", "reverse_ais"]


@torch.no_grad()
def annealed_log_weights(
    path: Callable[[float], Any], start: Tensor, betas: Tensor, *, generator: Generator | None = None
) -> Tensor:
    r"""Carry `start`, `(c, features)`, along `betas`, and return each chain's log-weight, `(c,)`, in nats.

    $\log w = \sum_k F_{k}(v_k) - F_{k+1}(v_k)$, where $v_0$ is the start, a draw of the first law, and $v_{k}$
    comes from $v_{k-1}$ by one round of the k-th law's transition (Neal 2001, equation 3). With rising betas
    $E[w] = Z_1/Z_0$, with falling ones $Z_0/Z_1$.
    """
    if betas.ndim != 1 or len(betas) < 2:
        raise ValueError(f"betas must have shape (k,) with k ≥ 2, got {tuple(betas.shape)}")
    v, law = start, path(float(betas[0]))
    log_weights = torch.zeros(len(start), dtype=torch.float64, device=start.device)
    for beta in betas[1:].tolist():
        following = path(beta)
        log_weights += (law.free_energy(v) - following.free_energy(v)).double()
        law = following
        v = law.gibbs(v, 1, generator=generator)
    return log_weights


def log_mean_exp(log_weights: Tensor) -> tuple[float, float]:
    """Return the log of the mean weight, and its standard error by the delta method; `log_weights` is `(c,)`."""
    if log_weights.ndim != 1 or len(log_weights) < 2:
        raise ValueError(f"log_weights must have shape (c,) with c ≥ 2, got {tuple(log_weights.shape)}")
    n = len(log_weights)
    top = log_weights.max()
    weights = (log_weights - top).exp()
    mean = float(weights.mean())
    return float(top) + math.log(mean), float(weights.std()) / (mean * math.sqrt(n))


@torch.no_grad()
def ais(
    machine: Any,
    *,
    chains: int = 200,
    steps: int = 1000,
    start_bias: Tensor | None = None,
    generator: Generator | None = None,
) -> tuple[float, float]:
    """Return the forward estimate of a machine's log Z in nats, and its standard error over `chains` weights.

    Independent units of inputs `start_bias`, `(features,)`, the machine's own visible biases where not given,
    are carried in `steps` equal steps of β to the machine. More steps make the weights even, more chains
    average them; the standard error is only as good as the weights are even. Biases from data (`units.bias`)
    make a better start.
    """
    bias = machine.visible_bias if start_bias is None else start_bias
    start = machine.units.draw(bias.expand(check_count(chains, name="chains", least=2), -1), generator=generator)
    betas = torch.linspace(0, 1, check_count(steps, name="steps") + 1, dtype=torch.float64)
    log_weights = annealed_log_weights(
        lambda beta: machine.tempered(beta, start_bias=bias), start, betas, generator=generator
    )
    value, error = log_mean_exp(log_weights)
    return _log_start(machine, bias) + value, error


@torch.no_grad()
def reverse_ais(
    machine: Any,
    samples: Tensor,
    *,
    steps: int = 1000,
    start_bias: Tensor | None = None,
    generator: Generator | None = None,
) -> tuple[float, float]:
    """Return the reverse estimate of log Z, too high on average, and its standard error.

    `samples`, `(chains, visible)` in data units, must be draws of the machine itself; they are carried back to the
    independent units. Samples from chains that have not mixed make the estimate worthless.
    """
    bias = machine.visible_bias if start_bias is None else start_bias
    betas = torch.linspace(1, 0, check_count(steps, name="steps") + 1, dtype=torch.float64)
    start = machine.units.features(samples).to(machine.weight)
    log_weights = annealed_log_weights(
        lambda beta: machine.tempered(beta, start_bias=bias), start, betas, generator=generator
    )
    value, error = log_mean_exp(log_weights)
    return _log_start(machine, bias) - value, error


def _log_start(machine: Any, bias: Tensor) -> float:
    """Return the exact log Z of the machine without weights and hidden biases, its visible inputs `bias`."""
    return machine.hidden * math.log(2) + float(machine.units.log_normaliser(bias.double()))
