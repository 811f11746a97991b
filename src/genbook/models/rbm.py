r"""Restricted Boltzmann machines: binary causes, visible units of several kinds, and learning by dreaming.

Sources: Smolensky (1986), the harmonium; Hinton (2002), "Training products of experts by minimizing contrastive
divergence"; Welling, Rosen-Zvi and Hinton (2004), visible units of any exponential family; Tieleman (2008),
persistent chains. Symbols as in Hinton (2010), "A practical guide to training restricted Boltzmann machines":
`visible_bias` is $a$, `hidden_bias` is $b$, `weight` is $W$, with $w_{ij}$ between visible unit i and hidden
unit j.

The joint energy is $E(v, h) = -a^\top v - b^\top h - v^\top W h - \log r(v)$, where the carrier r belongs to
the kind of the visible units (`genbook.prob.exponential`): 1 for binary ones, $e^{-\lVert v\rVert^2/2}$ for
Gaussian ones. The hidden units can be summed out one by one, which leaves the *free energy* of the visible
ones, $F(v) = -a^\top v - \log r(v) - \sum_j \log(1 + e^{b_j + (W^\top v)_j})$, and $p(v) = e^{-F(v)} / Z$.

Simplified from the papers: Gaussian units have variance 1 after scaling (no learnt one); momentum and weight decay
are the optimiser's business; no sparsity target for hidden units.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from genbook.checks import check_count, check_points, check_positive
from genbook.prob.exponential import Binary, GaussianUnits, Levels
from genbook.samplers.gibbs import block_gibbs

__all__ = ["RBM"]

MOST_ENUMERATED = 20  # hidden units: a million states
HIDDEN = Binary()


class RBM(nn.Module):
    r"""A layer of `visible` units and a layer of `hidden` binary ones, joined by weights and by nothing else.

    `units` is the kind of the visible layer; data are `(n, visible)`. Learning follows the difference of free
    energies between data and *fantasy particles*. With `chains=0` these are CD-k: chains of `gibbs_steps`
    rounds that start at the batch. With `chains` above 0 they are PCD: so many chains that go on from step to
    step; they are a buffer, saved with the weights. Raises TypeError or ValueError for sizes that are no such
    counts.

    There is no `log_prob`: $\log Z$ sums over every state. `log_partition` does so for a few hidden units, and
    `genbook.evaluate.ais` estimates it for many.
    """

    def __init__(
        self,
        visible: int,
        hidden: int,
        *,
        units: Binary | Levels | GaussianUnits | None = None,
        chains: int = 0,
        gibbs_steps: int = 1,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.units = Binary() if units is None else units
        self.visible, self.hidden = check_count(visible, name="visible"), check_count(hidden, name="hidden")
        self.gibbs_steps = check_count(gibbs_steps, name="gibbs_steps")
        features = self.visible * self.units.width
        self.weight = nn.Parameter(0.01 * torch.randn(features, hidden, generator=generator))
        self.visible_bias = nn.Parameter(torch.zeros(features))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        idle = torch.zeros(check_count(chains, name="chains", least=0), features)
        self.register_buffer("particles", self.units.draw(idle, generator=generator))

    @torch.no_grad()
    def initialise(self, x: Tensor, *, generator: Generator | None = None) -> Self:
        """Set the visible biases to what independent units would have, and start the chains at examples of `x`."""
        v = self._features(x)
        self.visible_bias.copy_(self.units.bias(v))
        if len(self.particles):
            self.particles.copy_(v[torch.randint(len(v), (len(self.particles),), generator=generator)])
        return self

    # ---- the two layers ----------------------------------------------------------------------------------
    def hidden_input(self, v: Tensor) -> Tensor:
        r"""Return $b + W^\top v$, `(n, hidden)`, for features `v`: the log-odds of each hidden unit."""
        return v @ self.weight + self.hidden_bias

    def visible_input(self, h: Tensor) -> Tensor:
        """Return a + W h, `(n, features)`, for hidden states `h`."""
        return h @ self.weight.T + self.visible_bias

    def free_energy(self, v: Tensor) -> Tensor:
        """Return F, `(n,)`, of features `v`: the joint energy with the hidden units summed out."""
        hidden = softplus(self.hidden_input(v)).sum(-1)
        return -(v @ self.visible_bias) - self.units.log_carrier(v) - hidden

    def gibbs(
        self, v: Tensor, steps: int, *, clamped: Tensor | None = None, generator: Generator | None = None
    ) -> Tensor:
        """Return features `(c, features)` after `steps` rounds of block Gibbs from `v`; see `block_gibbs`."""
        return block_gibbs(
            lambda v, generator: HIDDEN.draw(self.hidden_input(v), generator=generator),
            lambda h, generator: self.units.draw(self.visible_input(h), generator=generator),
            v,
            steps,
            clamped=clamped,
            generator=generator,
        )

    # ---- learning ----------------------------------------------------------------------------------------
    def loss(self, x: Tensor, *, particles: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        r"""Return $E[F(\text{data})] - E[F(\text{particles})]$: a surrogate, whose value says nothing.

        Its gradient is that of the mean negative log-likelihood, were the particles, which carry no gradient,
        drawn from the machine itself. `particles`, features `(c, features)`, are dreamt where not given.
        """
        v = self._features(x)
        if particles is None:
            start = self.particles if len(self.particles) else v
            particles = self.gibbs(start, self.gibbs_steps, generator=generator)
            if len(self.particles):
                self.particles.copy_(particles)
        both = self.free_energy(torch.cat([v, particles.detach()]))  # one pass through the network for the two
        return both[: len(v)].mean() - both[len(v) :].mean()

    # ---- using -------------------------------------------------------------------------------------------
    def energy(self, x: Tensor) -> Tensor:
        """Return the free energy of `x`, `(n, visible)` in data units: p(x) = exp(-energy(x)) / Z, `(n,)`."""
        return self.free_energy(self._features(x))

    @torch.no_grad()
    def sample(self, n: int, *, steps: int = 1000, generator: Generator | None = None) -> Tensor:
        """Draw `n` examples, `(n, visible)`: where `steps` rounds of Gibbs sampling end, from independent units.

        Exact only in the limit: how many rounds are enough depends on the machine.
        """
        start = self.visible_bias.expand(check_count(n), -1)
        return self.units.values(
            self.gibbs(self.units.draw(start, generator=generator), steps, generator=generator)
        )

    @torch.no_grad()
    def complete(
        self, x: Tensor, known: Tensor, *, steps: int = 100, generator: Generator | None = None
    ) -> Tensor:
        """Draw the unknown part of `x`, `(n, visible)`, given the columns where `known`, bool, is true."""
        if known.dtype != torch.bool or known.shape[-1:] != (self.visible,):
            raise ValueError(
                f"known must be bool of shape ({self.visible},), got {known.dtype} {tuple(known.shape)}"
            )
        clamped = known.repeat_interleave(self.units.width, -1)
        return self.units.values(self.gibbs(self._features(x), steps, clamped=clamped, generator=generator))

    # ---- the partition function --------------------------------------------------------------------------
    @torch.no_grad()
    def tempered(self, beta: float, *, start_bias: Tensor | None = None) -> RBM:
        r"""Return the machine with its weights and biases multiplied by `beta`, and (1 - beta) `start_bias` added.

        Of binary units it is the law $p(v, h)^\beta$, as at temperature 1/β. From β = 0, independent units of
        inputs `start_bias`, `(features,)`, to β = 1, the machine itself, these are the steps of annealed
        importance sampling (Salakhutdinov and Murray 2008, equation 13).
        """
        check_positive(beta, name="beta", zero=True)
        other = object.__new__(RBM)
        nn.Module.__init__(other)
        other.units, other.visible, other.hidden = self.units, self.visible, self.hidden
        other.gibbs_steps = self.gibbs_steps
        other.register_buffer("particles", self.particles[:0])
        other.weight, other.hidden_bias = nn.Parameter(beta * self.weight), nn.Parameter(beta * self.hidden_bias)
        bias = beta * self.visible_bias
        other.visible_bias = nn.Parameter(bias if start_bias is None else bias + (1 - beta) * start_bias)
        return other

    def log_partition(self) -> Tensor:
        r"""Return the exact $\log Z$, a scalar: the logsumexp over all hidden states, each with the visible units
        summed out.

        Raises ValueError for more than 20 hidden units: their states are too many.
        """
        if self.hidden > MOST_ENUMERATED:
            raise ValueError(
                f"log_partition sums over 2^hidden states, hidden must be at most {MOST_ENUMERATED}, got "
                f"{self.hidden}; genbook.evaluate.ais estimates it"
            )
        bits = torch.arange(2**self.hidden)[:, None] >> torch.arange(self.hidden)
        terms = []
        for h in (bits & 1).to(self.weight).split(2**14):  # so many states at a time fit in memory
            terms.append(h @ self.hidden_bias + self.units.log_normaliser(self.visible_input(h)))
        return torch.cat(terms).logsumexp(0)

    def _features(self, x: Tensor) -> Tensor:
        return self.units.features(check_points(x, self.visible, finite=True).to(self.weight))
