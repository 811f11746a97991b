"""Distributions whose density is known exactly, so that every claim about a model can be checked.

A truth answers the calls of a model (see `genbook.protocols`): `sample`, `log_prob` and, where the density is
smooth, `score`. Plots, samplers and metrics therefore take a truth or a model without asking which. Each truth
also has

- `dim`, the number of coordinates of one point;
- `bounds`, shape `(2, dim)`: the corners of a box that misses less than one millionth of the mass.

Points are `(n, dim)`. `log_prob` and `score` answer in the dtype of the points, so quadrature can be done in
float64; `sample` draws float32. Two truths here are not smooth, and so have no score.

The shapes are the field's usual ones: the ring of Gaussians is that of the mode-collapse experiments of Metz et
al., "Unrolled generative adversarial networks" (2017), section 3.3.1; the pinwheel is after Johnson et al.,
"Composing graphical models with neural networks" (2016), section 5. The construction of each density is ours and
is given with its class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_points, check_positive

__all__ = ["Checkerboard", "Mixture1D", "Moons", "Pinwheel", "RingOfGaussians"]

REACH = 6.0  # standard deviations from a mean to the edge of `bounds`: a Gaussian misses 2e-9 of its mass


def _log_normal(offset: Tensor, scale: Tensor | float) -> Tensor:
    """Return the log-density of a centred Gaussian with standard deviation `scale`, element by element."""
    scale = torch.as_tensor(scale, dtype=offset.dtype, device=offset.device)
    return -0.5 * (offset / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)


def _vector(values: Sequence[float] | Tensor, name: str) -> Tensor:
    """Return `values` as a float32 vector where it is one-dimensional, finite and not empty, else raise."""
    vector = torch.as_tensor(values, dtype=torch.float32).detach()
    if vector.ndim != 1 or len(vector) == 0:
        raise ValueError(f"{name} must be a vector with at least one entry, got shape {tuple(vector.shape)}")
    if not bool(vector.isfinite().all()):
        raise ValueError(f"{name} must be finite, got {vector.tolist()}")
    return vector


def _choose(weights: Tensor, n: int, generator: Generator | None) -> Tensor:
    """Draw `n` component indices with chances `weights`."""
    return torch.multinomial(weights, n, replacement=True, generator=generator)


class Mixture1D:
    r"""A mixture of Gaussians on the line, $p(x) = \sum_k w_k \, N(x; \mu_k, \sigma_k^2)$.

    `weights`, `means` and `scales` (standard deviations) are vectors of one length `K`; the weights are positive
    and are divided by their sum. The default has a low broad middle between two unlike peaks: no single Gaussian
    fits it. Raises ValueError where the vectors do not match or hold a value that cannot be.
    """

    dim = 1

    def __init__(
        self,
        weights: Sequence[float] | Tensor = (0.25, 0.55, 0.20),
        means: Sequence[float] | Tensor = (-2.5, 0.3, 2.6),
        scales: Sequence[float] | Tensor = (0.45, 0.9, 0.3),
    ) -> None:
        weights, means, scales = (
            _vector(values, name) for values, name in ((weights, "weights"), (means, "means"), (scales, "scales"))
        )
        if not len(weights) == len(means) == len(scales):
            raise ValueError(
                "weights, means and scales must have one length, "
                f"got {len(weights)}, {len(means)} and {len(scales)}"
            )
        for name, values in (("weights", weights), ("scales", scales)):
            if not bool((values > 0).all()):
                raise ValueError(f"{name} must all be above 0, got {values.tolist()}")
        self.weights, self.means, self.scales = weights / weights.sum(), means, scales
        self.bounds = torch.stack([(means - REACH * scales).min(), (means + REACH * scales).max()]).reshape(2, 1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, shape `(n, 1)`, float32: first the component, then the point."""
        component = _choose(self.weights, check_count(n), generator)
        return (self.means[component] + self.scales[component] * torch.randn(n, generator=generator))[:, None]

    def _log_joint(self, x: Tensor) -> Tensor:
        """Return `log w_k + log N(x; μ_k, σ_k²)`, shape `(n, K)`."""
        x = check_points(x, 1)
        return torch.log_softmax(self.weights.to(x).log(), 0) + _log_normal(
            x - self.means.to(x), self.scales.to(x)
        )

    def log_prob(self, x: Tensor) -> Tensor:
        """Return `log p(x)` in nats, shape `(n,)`, for points of shape `(n, 1)`."""
        return torch.logsumexp(self._log_joint(x), 1)

    def score(self, x: Tensor) -> Tensor:
        r"""Return the derivative of `log p`, shape `(n, 1)`: $\sum_k p(k|x)\,(\mu_k - x)/\sigma_k^2$."""
        responsibility = torch.softmax(self._log_joint(x), 1)
        return (responsibility * (self.means.to(x) - x) / self.scales.to(x) ** 2).sum(1, keepdim=True)

    def cdf(self, x: Tensor) -> Tensor:
        r"""Return the chance of a draw at or below `x`, shape `(n,)`: $\sum_k w_k \Phi((x-\mu_k)/\sigma_k)$."""
        x = check_points(x, 1)
        below = torch.special.ndtr((x - self.means.to(x)) / self.scales.to(x))
        return (torch.softmax(self.weights.to(x).log(), 0) * below).sum(1)


class RingOfGaussians:
    r"""Equal round Gaussians on a circle: `modes` centres at distance `radius`, standard deviation `scale`.

    The centres `means`, shape `(modes, 2)`, lie at the angles $2\pi k/K$. Gaps between the modes make it the
    usual test of mode collapse. Raises ValueError where `radius` or `scale` is not above 0.
    """

    dim = 2

    def __init__(self, modes: int = 8, radius: float = 2.0, scale: float = 0.1) -> None:
        self.modes = check_count(modes, name="modes")
        self.radius, self.scale = check_positive(radius, name="radius"), check_positive(scale, name="scale")
        angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
        self.means = (self.radius * torch.stack([angle.cos(), angle.sin()], 1)).to(torch.float32)
        self.weights = torch.full((modes,), 1 / modes)
        reach = self.radius + REACH * self.scale
        self.bounds = torch.tensor([[-reach, -reach], [reach, reach]])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, shape `(n, 2)`, float32: first the mode, then the point."""
        mode = _choose(self.weights, check_count(n), generator)
        return self.means[mode] + self.scale * torch.randn(n, 2, generator=generator)

    def _log_joint(self, x: Tensor) -> Tensor:
        """Return `log w_k + log N(x; μ_k, σ² I)`, shape `(n, modes)`."""
        offset = check_points(x, 2)[:, None, :] - self.means.to(x)
        return _log_normal(offset, self.scale).sum(-1) - math.log(self.modes)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return `log p(x)` in nats, shape `(n,)`, for points of shape `(n, 2)`."""
        return torch.logsumexp(self._log_joint(x), 1)

    def score(self, x: Tensor) -> Tensor:
        r"""Return the gradient of `log p`, shape `(n, 2)`: $\sum_k p(k|x)\,(\mu_k - x)/\sigma^2$."""
        responsibility = torch.softmax(self._log_joint(x), 1)
        return (responsibility @ self.means.to(x) - x) / self.scale**2


class Moons:
    r"""Two interlocking half circles of radius 1, blurred along the radius only.

    A point of the upper moon has an angle $\theta$ uniform on $[0, \pi]$ and a radius $r \sim N(1,
    \text{noise}^2)$, kept where $r > 0.1$. Points in the plane have one more factor than points in $(r, \theta)$,
    the Jacobian $1/r$, so the density of a moon is exactly
    $$p(x) = \frac{N(r; 1, \text{noise}^2)}{\Phi(0.9/\text{noise})} \cdot \frac{1}{\pi} \cdot \frac{1}{r}.$$
    The lower moon is the upper one turned by half a turn about $(\tfrac12, \tfrac14)$, and each has half the mass.
    There is no `score`: the density jumps at the straight ends of the moons, and a gradient, which cannot see a
    jump, would lead a sampler across it. Raises ValueError where `noise` is not in (0, 0.3].
    """

    dim = 2
    INNER = 0.1  # smallest radius: keeps 1/r finite

    def __init__(self, noise: float = 0.1) -> None:
        self.noise = check_positive(noise, name="noise")
        if noise > 0.3:
            raise ValueError(f"noise must be at most 0.3, or the moons blur into one, got {noise}")
        reach = REACH * self.noise
        self.bounds = torch.tensor([[-1 - reach, -0.5 - reach], [2 + reach, 1 + reach]])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, shape `(n, 2)`, float32; the radius by inverse transform of its cut Gaussian."""
        uniform = torch.rand(check_count(n), 3, generator=generator, dtype=torch.float64)
        lowest = torch.special.ndtr(torch.tensor((self.INNER - 1) / self.noise, dtype=torch.float64))
        share = (lowest + uniform[:, 0] * (1 - lowest)).clamp_min(torch.finfo(torch.float64).tiny)
        radius = 1 + self.noise * torch.special.ndtri(share)
        angle = math.pi * uniform[:, 1]
        upper = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
        lower = torch.tensor([1.0, 0.5], dtype=torch.float64) - upper
        return torch.where(uniform[:, 2:] < 0.5, upper, lower).to(torch.float32)

    def _log_upper(self, x: Tensor) -> Tensor:
        """Return the log-density of the upper moon alone, shape `(n,)`."""
        radius = torch.linalg.vector_norm(x, dim=1)
        inside = (x[:, 1] >= 0) & (radius > self.INNER)
        safe = radius.clamp_min(self.INNER)
        kept = 0.5 * math.erfc((self.INNER - 1) / self.noise / math.sqrt(2))  # the mass above INNER
        log_p = _log_normal(safe - 1, self.noise) - math.log(kept) - math.log(math.pi) - safe.log()
        return torch.where(inside, log_p, -math.inf)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return `log p(x)` in nats, shape `(n,)`, for points of shape `(n, 2)`."""
        x = check_points(x, 2)
        turned = torch.tensor([1.0, 0.5]).to(x) - x
        return torch.logaddexp(self._log_upper(x), self._log_upper(turned)) - math.log(2)


class Pinwheel:
    r"""Curved arms: Gaussian blobs around a circle, swirled by a turn whose angle depends on the radius.

    The blobs $y$ are Gaussians at distance `radius`, with standard deviation `radial` outwards and `tangential`
    across. A point is $x = R(\text{swirl} \cdot (\lVert y\rVert - \text{radius}))\,y$. In polar coordinates this
    adds to the angle something that depends on the radius alone, a shear with determinant 1; so the density is
    that of the blobs, read at the point turned back, $p(x) = p_Y(y(x))$, with no Jacobian factor. `swirl` is in
    radians per unit of length. Raises ValueError where a length is not above 0 or `swirl` is not finite.
    """

    dim = 2

    def __init__(
        self,
        arms: int = 5,
        radius: float = 1.5,
        radial: float = 0.4,
        tangential: float = 0.12,
        swirl: float = 1.0,
    ) -> None:
        self.arms = check_count(arms, name="arms")
        self.radius, self.radial = check_positive(radius, name="radius"), check_positive(radial, name="radial")
        self.tangential, self.swirl = check_positive(tangential, name="tangential"), float(swirl)
        if not math.isfinite(self.swirl):
            raise ValueError(f"swirl must be finite, got {swirl}")
        angle = 2 * math.pi * torch.arange(arms, dtype=torch.float64) / arms
        self.outwards = torch.stack([angle.cos(), angle.sin()], 1).to(torch.float32)
        reach = math.hypot(self.radius + REACH * self.radial, REACH * self.tangential)
        self.bounds = torch.tensor([[-reach, -reach], [reach, reach]])

    def _turn(self, points: Tensor, sign: float) -> Tensor:
        """Turn each point about the origin by `sign · swirl · (its radius - radius)`."""
        angle = sign * self.swirl * (torch.linalg.vector_norm(points, dim=1) - self.radius)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], 1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, shape `(n, 2)`, float32: the arm, the point in its blob, then the swirl."""
        arm = torch.randint(self.arms, (check_count(n),), generator=generator)
        noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        outwards = self.outwards[arm].to(noise)
        along = self.radius + self.radial * noise[:, :1]
        blob = along * outwards + self.tangential * noise[:, 1:] * _quarter_turn(outwards)
        return self._turn(blob, 1.0).to(torch.float32)

    def _log_joint(self, blob: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `log p_Y(y, arm)`, `(n, arms)`, and the offsets from each arm's centre, outwards and across."""
        outwards = self.outwards.to(blob)
        along = blob @ outwards.T - self.radius
        across = blob @ _quarter_turn(outwards).T
        log_p = _log_normal(along, self.radial) + _log_normal(across, self.tangential) - math.log(self.arms)
        return log_p, along, across

    def log_prob(self, x: Tensor) -> Tensor:
        """Return `log p(x)` in nats, shape `(n,)`, for points of shape `(n, 2)`."""
        finite = check_points(x, 2).isfinite().all(1)
        log_p = torch.logsumexp(self._log_joint(self._turn(torch.where(finite[:, None], x, 0.0), -1.0))[0], 1)
        return torch.where(finite, log_p, -math.inf)

    def score(self, x: Tensor) -> Tensor:
        r"""Return the gradient of `log p`, shape `(n, 2)`.

        With $y$ the point turned back and $s$ the score of the blobs at $y$, the chain rule through the angle
        $-\text{swirl}(\lVert x\rVert - \text{radius})$ gives
        $R^\top s - \text{swirl}\,(y_\perp \cdot s)\,x/\lVert x\rVert$, with $y_\perp$ the quarter turn of $y$.
        """
        blob = self._turn(check_points(x, 2), -1.0)
        log_p, along, across = self._log_joint(blob)
        responsibility = torch.softmax(log_p, 1)
        outwards = self.outwards.to(x)
        blob_score = -(responsibility * along / self.radial**2) @ outwards
        blob_score = blob_score - (responsibility * across / self.tangential**2) @ _quarter_turn(outwards)
        radius = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        angle = self.swirl * (radius - self.radius)  # R transposed: the turn forwards, by the radius of x
        turned = angle.cos() * blob_score + angle.sin() * _quarter_turn(blob_score)
        twist = (_quarter_turn(blob) * blob_score).sum(1, keepdim=True)
        return turned - self.swirl * twist * x / radius.clamp_min(torch.finfo(x.dtype).tiny)


def _quarter_turn(points: Tensor) -> Tensor:
    """Turn each point by 90 degrees, against the clock."""
    return torch.stack([-points[:, 1], points[:, 0]], 1)


class Checkerboard:
    r"""Uniform on alternate squares of a `cells` × `cells` board that spans `[-half_width, half_width)²`.

    The square in the lower left corner is filled. `log_prob` is one constant on the filled squares and -∞
    elsewhere; there is no `score`, for the density has no gradient where it is not flat. Raises ValueError where
    `cells` or `half_width` is not above 0.
    """

    dim = 2

    def __init__(self, cells: int = 4, half_width: float = 2.0) -> None:
        self.cells = check_count(cells, name="cells")
        self.half_width = check_positive(half_width, name="half_width")
        self.side = 2 * self.half_width / cells
        rows, columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        self.filled = torch.stack([rows, columns], -1)[(rows + columns) % 2 == 0]  # (filled squares, 2)
        edge = self.half_width
        self.bounds = torch.tensor([[-edge, -edge], [edge, edge]])

    def _square(self, x: Tensor) -> Tensor:
        """Return the row and column of each point's square, shape `(n, 2)`, as float64."""
        return ((x.to(torch.float64) + self.half_width) / self.side).floor()

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` points, shape `(n, 2)`, float32: first a filled square, then a point in it."""
        chosen = torch.randint(len(self.filled), (check_count(n),), generator=generator)
        square = self.filled[chosen].to(torch.float64)
        place = torch.rand(n, 2, generator=generator, dtype=torch.float64)
        x = ((square + place) * self.side - self.half_width).to(torch.float32)
        centre = ((square + 0.5) * self.side - self.half_width).to(torch.float32)
        # rounding to float32 may carry a draw over an edge: one step back
        return torch.where(self._square(x) == square, x, torch.nextafter(x, centre))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return `log p(x)` in nats, shape `(n,)`: `-log` of the filled area, or -∞ off the filled squares."""
        square = self._square(check_points(x, 2))
        on_board = ((square >= 0) & (square < self.cells)).all(1)
        filled = on_board & (square.sum(1).remainder(2) == 0)
        log_p = torch.full(x.shape[:1], -math.log(len(self.filled) * self.side**2)).to(x)
        return torch.where(filled, log_p, -math.inf)
