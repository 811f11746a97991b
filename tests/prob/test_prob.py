"""The arithmetic of probability against closed forms, scipy and autograd."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from genbook.prob.divergences import cross_entropy, entropy, jensen_shannon, kl_divergence, kl_normal
from genbook.prob.gaussian import log_multivariate_normal, log_normal, multivariate_normal_score
from genbook.prob.quadrature import integrate, midpoints
from genbook.prob.units import bits_per_dimension, perplexity

BOX = torch.tensor([[-12.0], [14.0]])


def normal(mean, scale):
    return lambda x: log_normal(x[:, 0], mean, scale)


def test_log_normal_equals_scipy():
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    assert np.allclose(log_normal(x, 0.7, 1.3), stats.norm(0.7, 1.3).logpdf(x.numpy()), atol=1e-12)


def test_multivariate_normal_equals_scipy_and_its_score_is_the_gradient():
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    scale_tril = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64).tril()
    scale_tril.diagonal(dim1=1, dim2=2).abs_().add_(0.5)
    x = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    ours = log_multivariate_normal(x, means, scale_tril)
    score = multivariate_normal_score(x.detach(), means, scale_tril)
    assert ours.shape == (7, 3)
    for k in range(3):
        theirs = stats.multivariate_normal(means[k].numpy(), (scale_tril[k] @ scale_tril[k].T).numpy())
        assert np.allclose(ours[:, k].detach(), theirs.logpdf(x.detach().numpy()), atol=1e-10)
        (gradient,) = torch.autograd.grad(ours[:, k].sum(), x, retain_graph=True)
        assert torch.allclose(score[:, k], gradient, atol=1e-10)


def test_midpoints_cover_the_box_in_float64():
    grid, volume = midpoints(torch.tensor([[0.0, 1.0], [2.0, 2.0]]), 4)
    assert grid.shape == (16, 2)
    assert grid.dtype == torch.float64
    assert float(volume) == pytest.approx(0.5 * 0.25)
    assert grid[0].tolist() == [0.25, 1.125]
    assert grid[1].tolist() == [0.25, 1.375]


def test_integrate_knows_a_polynomial_and_a_gaussian():
    assert integrate(lambda x: x[:, 0] ** 2, torch.tensor([[0.0], [3.0]]), 3000) == pytest.approx(9, abs=1e-5)
    assert integrate(lambda x: normal(1, 2)(x).exp(), BOX, 400) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("bad", [[[0.0], [0.0]], [[1.0], [0.0]], [0.0, 1.0]])
def test_a_box_that_is_no_box_is_refused(bad):
    with pytest.raises(ValueError, match="bounds must be"):
        midpoints(torch.tensor(bad), 4)


def test_divergences_equal_the_closed_forms_of_gaussians():
    p, q = (0.0, 1.0), (1.0, 2.0)
    closed = float(kl_normal(*(torch.tensor(v, dtype=torch.float64) for v in (*p, *q))))
    assert closed == pytest.approx(math.log(2) + 2 / 8 - 0.5)
    assert kl_divergence(normal(*p), normal(*q), BOX, 4000) == pytest.approx(closed, abs=1e-8)
    assert entropy(normal(*q), BOX, 4000) == pytest.approx(0.5 * math.log(2 * math.pi * math.e * 4), abs=1e-6)
    assert cross_entropy(normal(*p), normal(*q), BOX, 4000) == pytest.approx(
        entropy(normal(*p), BOX, 4000) + closed, abs=1e-8
    )


def test_kl_is_not_symmetric_and_jensen_shannon_is():
    p, q = normal(0, 1), normal(1, 2)
    assert kl_divergence(p, q, BOX) != pytest.approx(kl_divergence(q, p, BOX), abs=0.1)
    assert jensen_shannon(p, q, BOX) == pytest.approx(jensen_shannon(q, p, BOX), abs=1e-12)
    far = torch.tensor([[-60.0], [60.0]])
    assert jensen_shannon(normal(-40, 1), normal(40, 1), far, 9000) == pytest.approx(math.log(2), abs=1e-6)
    assert jensen_shannon(p, p, BOX) == pytest.approx(0, abs=1e-12)


def test_kl_is_infinite_where_the_model_says_never():
    def half(x):
        return torch.where(x[:, 0] > 0, normal(0, 1)(x) + math.log(2), -math.inf)

    assert kl_divergence(normal(0, 1), half, BOX) == math.inf
    assert kl_divergence(half, normal(0, 1), BOX, 4000) == pytest.approx(math.log(2), abs=1e-3)


def test_units():
    assert bits_per_dimension(64 * math.log(17), 64) == pytest.approx(math.log2(17))
    assert perplexity(math.log(27)) == pytest.approx(27)
    with pytest.raises(ValueError, match="dimensions must be"):
        bits_per_dimension(1.0, 0)


def test_nan_and_wrong_shapes_are_not_summed_away():
    with pytest.raises(ValueError, match=r"function is NaN at \[1\.[0-9]"):
        integrate(lambda x: torch.where(x[:, 0] > 1, math.nan, 1.0), BOX)
    with pytest.raises(ValueError, match=r"log_q must map \(1000, d\) to \(1000,\), got \(1000, 1\)"):
        cross_entropy(normal(0, 1), lambda x: normal(0, 1)(x)[:, None], BOX)


def test_log_normal_refuses_whole_numbers_and_bad_scales():
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got a torch\.int64 tensor"):
        log_normal(torch.arange(3), 0.0, 1.5)
    with pytest.raises(ValueError, match="scale must be above 0, got -1"):
        log_normal(torch.zeros(3), 0.0, -1.0)
