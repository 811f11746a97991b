"""The Gaussian density, in one dimension and in many.

Source: Bishop, *Pattern Recognition and Machine Learning* (2006), equations 1.46 and 2.43.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["log_multivariate_normal", "log_normal", "multivariate_normal_score"]

LOG_TWO_PI = math.log(2 * math.pi)


def log_normal(x: Tensor, mean: Tensor | float = 0.0, scale: Tensor | float = 1.0) -> Tensor:
    r"""Return the log-density of `x` under a one-dimensional Gaussian, in nats, element by element.

    `x`, `mean` and `scale` broadcast; `scale` is the standard deviation σ, not the variance:
    $\log N(x; \mu, \sigma^2) = -\tfrac12 \left((x-\mu)/\sigma\right)^2 - \log\sigma - \tfrac12\log 2\pi$.
    """
    if not x.is_floating_point():
        raise TypeError(f"x must be a floating-point tensor, got a {x.dtype} tensor")
    scale = torch.as_tensor(scale, dtype=x.dtype, device=x.device)
    if bool((scale <= 0).any()):
        raise ValueError(f"scale must be above 0, got {float(scale.min()):g}")
    return -0.5 * ((x - mean) / scale) ** 2 - scale.log() - 0.5 * LOG_TWO_PI


def log_multivariate_normal(x: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    r"""Return the log-density of each `x` under each of `K` Gaussians, in nats, shape `(n, K)`.

    `x` is `(n, d)`, `means` is `(K, d)` and `scale_tril` is `(K, d, d)`: the lower Cholesky factor $L$ of each
    covariance, $\Sigma = L L^\top$. The quadratic form is $\lVert L^{-1}(x-\mu)\rVert^2$ and the
    log-determinant is twice the sum of the logs of the diagonal of $L$.
    """
    eye = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    whiten = torch.linalg.solve_triangular(scale_tril, eye, upper=False)  # L⁻¹ once, then plain products
    whitened = whiten @ (x.T - means.unsqueeze(-1))  # (K, d, n)
    half_log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (K,)
    return (-0.5 * whitened.square().sum(1) - half_log_det[:, None] - 0.5 * x.shape[-1] * LOG_TWO_PI).T


def multivariate_normal_score(x: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    r"""Return $\nabla_x \log N(x; \mu_k, \Sigma_k) = -\Sigma_k^{-1}(x-\mu_k)$, shape `(n, K, d)`.

    Shapes of the arguments are those of `log_multivariate_normal`.
    """
    offset = x.T - means.unsqueeze(-1)  # (K, d, n)
    return -torch.cholesky_solve(offset, scale_tril).permute(2, 0, 1)
