"""Mixtures of Gaussians, learnt by expectation-maximisation or by following the gradient.

Source: Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm" (1977); the
notation is that of Bishop, *Pattern Recognition and Machine Learning* (2006), section 9.2. The seeding is
k-means++ (Arthur and Vassilvitskii 2007).

Simplified: every component has a full covariance; a `ridge` on its diagonal stands in for a prior.
"""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Generator, Tensor, nn

from genbook.checks import check_count, check_points, check_positive
from genbook.prob.gaussian import log_multivariate_normal, multivariate_normal_score
from genbook.samplers.ancestral import ancestral_mixture, categorical

__all__ = ["GaussianMixture"]


class GaussianMixture(nn.Module):
    r"""The density $p(x) = \sum_k \pi_k\, N(x; \mu_k, \Sigma_k)$ with K components, in data units.

    The parameters are unconstrained, so that a gradient step never leaves the model: `logits` `(K,)` with
    $\pi = \mathrm{softmax}$, `means` `(K, d)`, and `raw_tril` `(K, d, d)`, the Cholesky factor $L_k$ of $\Sigma_k$
    with the logarithm of its diagonal. They exist from the start if `dim` is given, else from the first call of
    `fit` or `initialise`. `ridge` is added to the diagonal of each covariance at every M-step: a variance in
    data units squared. Raises ValueError or TypeError for bad arguments.
    """

    def __init__(self, components: int, dim: int | None = None, *, ridge: float = 1e-6) -> None:
        super().__init__()
        self.components = check_count(components, name="components")
        self.ridge = check_positive(ridge, name="ridge", zero=True)
        self.history: list[float] = []  # mean log-likelihood of the data before each M-step of `fit`
        if dim is not None:
            eye = torch.eye(check_count(dim, name="dim")).repeat(components, 1, 1)
            self.set_parameters(torch.full((components,), 1 / components), torch.zeros(components, dim), eye)

    # ---- parameters --------------------------------------------------------------------------------------
    @torch.no_grad()
    def set_parameters(self, weights: Tensor, means: Tensor, covariances: Tensor) -> Self:
        """Set the mixture: `weights` `(K,)`, `means` `(K, d)`, `covariances` `(K, d, d)`; returns the model."""
        k, d = means.shape
        if weights.shape != (k,) or covariances.shape != (k, d, d) or k != self.components:
            raise ValueError(
                f"weights, means, covariances must be ({self.components},), ({self.components}, d) and "
                f"({self.components}, d, d), got {tuple(weights.shape)}, {tuple(means.shape)}, "
                f"{tuple(covariances.shape)}"
            )
        if not all(bool(torch.isfinite(v).all()) for v in (weights, means, covariances)) or bool(
            (weights < 0).any()
        ):
            raise ValueError("weights, means and covariances must be finite, and weights not negative")
        scale_tril = self._cholesky(means, covariances)
        spread = scale_tril.diagonal(dim1=-2, dim2=-1)
        if bool((spread < torch.finfo(torch.float32).eps * means.abs()).any()):
            raise ValueError(
                f"a component is narrower ({float(spread.min()):.1g}) than float32 can tell apart at its mean "
                f"({float(means.abs().max()):.4g}): it has collapsed, or the data need centring"
            )
        diagonal = scale_tril.diagonal(dim1=-2, dim2=-1).log().diag_embed()
        values = {"logits": weights.log(), "means": means, "raw_tril": scale_tril.tril(-1) + diagonal}
        for name, value in values.items():
            value = value.to(torch.get_default_dtype())
            if isinstance(getattr(self, name, None), nn.Parameter) and getattr(self, name).shape == value.shape:
                getattr(self, name).copy_(value)  # in place: an optimiser may hold it
            else:
                setattr(self, name, nn.Parameter(value.clone()))
        return self

    def _cholesky(self, means: Tensor, covariances: Tensor) -> Tensor:
        """Return the lower Cholesky factors in float64; ValueError names a component that has collapsed."""
        scale_tril, failed = torch.linalg.cholesky_ex(covariances.to(torch.float64))
        noise = 1e4 * torch.finfo(torch.float64).eps * means.abs()  # what rounding leaves of a constant column
        failed = (failed != 0) | (scale_tril.diagonal(dim1=-2, dim2=-1) <= noise).any(-1)
        if bool(failed.any()):
            raise ValueError(
                f"covariance of component {int(failed.nonzero()[0])} is singular: the component has collapsed "
                f"on too few points or on a constant column (ridge={self.ridge:g}; raise it)"
            )
        return scale_tril

    @property
    def weights(self) -> Tensor:
        r"""The mixing weights $\pi$, `(K,)`, which sum to 1."""
        return torch.softmax(self._fitted().logits, dim=0)

    @property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factors of the covariances, `(K, d, d)`."""
        raw = self._fitted().raw_tril
        return raw.tril(-1) + raw.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    @property
    def covariances(self) -> Tensor:
        r"""The covariances $\Sigma_k$, `(K, d, d)`, in data units squared."""
        return self.scale_tril @ self.scale_tril.mT

    # ---- learning ----------------------------------------------------------------------------------------
    @torch.no_grad()
    def initialise(self, x: Tensor, *, generator: Generator | None = None) -> Self:
        """Start from the data `x`, `(n, d)`: k-means++ centres, equal weights, one pooled covariance."""
        x = check_points(x, finite=True).to(torch.float64)
        if len(x) < self.components:
            raise ValueError(f"x holds {len(x)} points for {self.components} components")
        centres = x[torch.randint(len(x), (1,), generator=generator)]
        for _ in range(self.components - 1):  # far points are likely to become the next centre
            distance = torch.cdist(x, centres).amin(1).square()
            chance = distance if bool(distance.sum() > 0) else torch.ones(len(x))
            centres = torch.cat([centres, x[categorical(chance, 1, generator=generator)]])
        residual = x - centres[torch.cdist(x, centres).argmin(1)]
        pooled = residual.T @ residual / len(x)
        pooled.diagonal().add_(self.ridge + 1e-6 * float(x.var(dim=0, correction=0).mean()))
        return self.set_parameters(
            torch.full((self.components,), 1 / self.components), centres, pooled.repeat(self.components, 1, 1)
        )

    @torch.no_grad()
    def fit(
        self,
        x: Tensor,
        *,
        steps: int = 200,
        tolerance: float = 1e-5,
        starts: int = 1,
        initialise: bool = True,
        generator: Generator | None = None,
    ) -> Self:
        """Learn from `x`, `(n, d)`, by at most `steps` rounds of EM in float64, and return the model.

        EM stops when a round adds less than `tolerance` nats to the mean log-likelihood. Of several `starts` the
        one that ends highest is kept. `initialise=False` goes on from the present parameters. `history` holds the
        mean log-likelihood before each round and after the last; with `ridge=0` it never falls.
        """
        x = check_points(x, finite=True).to(torch.float64)
        if hasattr(self, "means") and x.shape[1] != self.means.shape[1]:
            raise ValueError(f"x must have shape (n, {self.means.shape[1]}), got {tuple(x.shape)}")
        best: tuple[float, list[float], tuple[Tensor, ...]] = (-math.inf, [], ())
        for _ in range(check_count(starts, name="starts")):
            if initialise:
                self.initialise(x, generator=generator)
            log_weights = torch.log_softmax(self._fitted().logits.double(), 0)
            state = log_weights, self.means.double(), self.scale_tril.double()
            history: list[float] = []
            for _ in range(check_count(steps, name="steps", least=0)):
                log_responsibilities, log_prob = _expect(x, *state)
                history.append(float(log_prob.mean()))
                if len(history) > 1 and history[-1] - history[-2] < tolerance:
                    break
                weights, means, covariances = _maximise(x, log_responsibilities.exp(), self.ridge)
                state = weights.log(), means, self._cholesky(means, covariances)
            else:
                history.append(float(_expect(x, *state)[1].mean()))
            if history[-1] > best[0]:
                best = (history[-1], history, state)
        self.history = best[1]
        log_weights, means, scale_tril = best[2]
        return self.set_parameters(log_weights.exp(), means, scale_tril @ scale_tril.mT)

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of `x` in nats, a scalar with a gradient."""
        return -self.log_prob(x).mean()

    # ---- using -------------------------------------------------------------------------------------------
    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of `x`, `(n, d)`, in nats, shape `(n,)` (Bishop 9.14)."""
        return self._log_joint(check_points(x, self._fitted().means.shape[1])).logsumexp(dim=1)

    def responsibilities(self, x: Tensor) -> Tensor:
        """Return the posterior chance of each component for each point, `(n, K)`; rows sum to 1."""
        return torch.softmax(self._log_joint(check_points(x, self._fitted().means.shape[1])), dim=1)

    def score(self, x: Tensor) -> Tensor:
        r"""Return $\nabla_x \log p(x)$, `(n, d)`: the components' scores, weighted by responsibility."""
        x = check_points(x, self._fitted().means.shape[1], finite=True)
        pull = multivariate_normal_score(x, self.means.to(x.dtype), self.scale_tril.to(x.dtype))
        return (self.responsibilities(x)[:, :, None] * pull).sum(1)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, `(n, d)`: a component by its weight, then a point of its Gaussian."""
        return ancestral_mixture(self.weights, self.means, self.scale_tril, check_count(n), generator=generator)

    def _log_joint(self, x: Tensor) -> Tensor:
        """Return log π_k + log N(x; μ_k, Σ_k), `(n, K)`."""
        log_weights = torch.log_softmax(self._fitted().logits.to(x.dtype), dim=0)
        return log_weights + log_multivariate_normal(x, self.means.to(x.dtype), self.scale_tril.to(x.dtype))

    def _fitted(self) -> Self:
        if not hasattr(self, "means"):
            raise RuntimeError(
                "this GaussianMixture has no parameters yet: call fit(x) or initialise(x), or pass dim="
            )
        return self


def _expect(x: Tensor, log_weights: Tensor, means: Tensor, scale_tril: Tensor) -> tuple[Tensor, Tensor]:
    """E-step: the log-responsibilities, `(n, K)` (Bishop 9.23), and the log-density, `(n,)`."""
    joint = log_weights + log_multivariate_normal(x, means, scale_tril)
    log_prob = joint.logsumexp(dim=1)
    return joint - log_prob[:, None], log_prob


def _maximise(x: Tensor, responsibilities: Tensor, ridge: float) -> tuple[Tensor, Tensor, Tensor]:
    """M-step: Bishop 9.24-9.27, where a component's count is the sum of its responsibilities."""
    counts = responsibilities.sum(0) + 1e-12
    means = responsibilities.T @ x / counts[:, None]
    spread = responsibilities.T.sqrt()[:, :, None] * (x - means[:, None])  # (K, n, d)
    covariances = spread.mT @ spread / counts[:, None, None]
    covariances.diagonal(dim1=-2, dim2=-1).add_(ridge)
    return counts / counts.sum(), means, covariances
