"""Probabilistic principal components against torch's Gaussians, and the maximum of the likelihood by search."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from genbook.models.probabilistic_pca import ProbabilisticPCA


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data(n=300, d=5, latent=2, seed=0):
    drawn = generator(seed)
    loadings = torch.randn(latent, d, generator=drawn).double()
    z, noise = torch.randn(n, latent, generator=drawn).double(), torch.randn(n, d, generator=drawn).double()
    return torch.arange(float(d)) + z @ loadings + 0.3 * noise


def law(model):
    weight = model.weight
    covariance = weight @ weight.T + model.variance * torch.eye(len(weight), dtype=weight.dtype)
    return MultivariateNormal(model.mean, covariance)


def test_a_case_worked_out_by_hand():
    """Six points on a cross with variances 16, 4 and 1 along the axes: one direction, and noise of (4 + 1)/2."""
    x = torch.tensor([[4.0, 0, 0], [-4, 0, 0], [0, 2, 0], [0, -2, 0], [0, 0, 1], [0, 0, -1]]) * 3**0.5
    m = ProbabilisticPCA(1).fit(x + torch.tensor([5.0, 6.0, 7.0]))
    assert m.variance == pytest.approx(2.5, rel=1e-6)
    assert torch.allclose(m.mean, torch.tensor([5.0, 6.0, 7.0]))
    assert torch.allclose(m.weight, torch.tensor([[13.5**0.5], [0.0], [0.0]]), atol=1e-5)
    mean, covariance = m.posterior(torch.tensor([[9.0, 6.0, 7.0]]))
    assert mean.item() == pytest.approx(13.5**0.5 * 4 / 16, rel=1e-5)
    assert covariance.item() == pytest.approx(2.5 / 16, rel=1e-5)
    assert torch.allclose(m.decode(torch.tensor([[2.0]])), torch.tensor([[5 + 2 * 13.5**0.5, 6.0, 7.0]]))


def test_log_prob_is_that_of_the_gaussian_with_this_covariance():
    m, x = ProbabilisticPCA(2).fit(data()), data(50, seed=1)
    assert torch.allclose(m.log_prob(x), law(m).log_prob(x), atol=1e-9)
    assert torch.allclose(m.loss(x), -law(m).log_prob(x).mean(), atol=1e-9)


def test_the_posterior_is_that_of_bayes():
    """log p(z) + log p(x|z) - log q(z|x) is the evidence at any z."""
    m, x = ProbabilisticPCA(2).fit(data()), data(20, seed=1)
    mean, covariance = m.posterior(x)
    assert mean.shape == (20, 2) and covariance.shape == (2, 2)
    for seed in range(4):
        z = torch.randn(20, 2, generator=generator(seed)).double()
        joint = Normal(0.0, 1.0).log_prob(z).sum(1) + Normal(m.decode(z), m.variance**0.5).log_prob(x).sum(1)
        assert torch.allclose(joint - MultivariateNormal(mean, covariance).log_prob(z), m.log_prob(x), atol=1e-8)
    assert torch.equal(m.encode(x), mean)


def test_codes_are_shrunk_towards_nought():
    m, x = ProbabilisticPCA(2).fit(data()), data(seed=1)
    straight = (x - m.mean) @ torch.linalg.pinv(m.weight).T  # least squares
    assert bool((m.encode(x).norm(dim=0) < straight.norm(dim=0)).all())


def test_the_fit_is_the_maximum_of_the_likelihood():
    x = data()
    m = ProbabilisticPCA(2).fit(x)
    best = m.loss(x).item()
    drawn = generator(3)
    for _ in range(20):
        other = ProbabilisticPCA(2).fit(x)
        other.weight = m.weight + 0.05 * torch.randn(5, 2, generator=drawn)
        other.mean = m.mean + 0.02 * torch.randn(5, generator=drawn)
        other.variance = m.variance * math.exp(0.1 * float(torch.randn(1, generator=drawn)))
        assert other.loss(x).item() > best
    variance = torch.tensor(m.variance, dtype=torch.float64)
    parameters = [p.clone().requires_grad_() for p in (m.weight, m.mean, variance)]
    covariance = parameters[0] @ parameters[0].T + parameters[2] * torch.eye(5, dtype=torch.float64)
    value = MultivariateNormal(parameters[1], covariance).log_prob(x).mean()
    slopes = torch.autograd.grad(value, parameters)
    assert all(torch.allclose(slope, torch.zeros_like(slope), atol=1e-8) for slope in slopes)


def test_the_columns_are_orthogonal_in_order_and_their_signs_are_fixed():
    x = data(d=6, latent=3)
    m = ProbabilisticPCA(3).fit(x)
    products = m.weight.T @ m.weight
    assert torch.allclose(products, products.diag().diag(), atol=1e-9)
    assert bool((products.diagonal().diff() < 0).all())
    largest = m.weight.gather(0, m.weight.abs().argmax(0, keepdim=True))
    assert bool((largest > 0).all())
    mirrored = ProbabilisticPCA(3).fit(-x)
    assert torch.allclose(mirrored.weight, m.weight, atol=1e-9) and torch.allclose(mirrored.mean, -m.mean)


def test_the_covariance_of_the_data_is_kept_along_the_directions_and_on_average_in_the_rest():
    x = data()
    m = ProbabilisticPCA(2).fit(x)
    own = torch.cov(x.T, correction=0)
    axes = m.weight / m.weight.norm(dim=0)
    modelled = law(m).covariance_matrix
    assert torch.allclose(axes.T @ modelled @ axes, axes.T @ own @ axes, atol=1e-9)
    assert modelled.trace().item() == pytest.approx(own.trace().item())


def test_score_is_the_gradient_of_log_prob():
    m = ProbabilisticPCA(2).fit(data())
    x = data(20, seed=1).requires_grad_()
    (slope,) = torch.autograd.grad(m.log_prob(x).sum(), x)
    assert torch.allclose(m.score(x.detach()), slope, atol=1e-9)


def test_samples_have_the_mean_and_the_covariance():
    m = ProbabilisticPCA(2).fit(data())
    x = m.sample(200_000, generator=generator())
    assert x.dtype == torch.float64
    assert torch.allclose(x.mean(0), m.mean, atol=0.02)
    assert torch.allclose(torch.cov(x.T), law(m).covariance_matrix, atol=0.03)


def test_a_single_precision_model_answers_in_the_dtype_of_the_points():
    m = ProbabilisticPCA(2).fit(data().float())
    assert m.weight.dtype == m.mean.dtype == torch.float32
    x = data(20, seed=1)
    for dtype in (torch.float32, torch.float64):
        mean, covariance = m.posterior(x.to(dtype))
        assert {m.log_prob(x.to(dtype)).dtype, m.score(x.to(dtype)).dtype, mean.dtype, covariance.dtype} == {dtype}
    assert torch.allclose(m.log_prob(x.float()).double(), m.log_prob(x), atol=1e-3)


def test_more_directions_never_fit_the_training_data_worse():
    x = data(d=6, latent=3)
    losses = [ProbabilisticPCA(k).fit(x).loss(x).item() for k in (1, 2, 3, 4, 5)]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("shape", [(3, 5), (2, 5), (10, 3), (10, 2), (1, 1)])
def test_too_few_rows_or_columns_are_refused(shape):
    x = torch.randn(*shape, generator=generator())
    with pytest.raises(ValueError, match=r"x must exceed latent = 3 in rows and columns, got \("):
        ProbabilisticPCA(3).fit(x)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_data_without_noise_around_the_directions_are_refused(scale, dtype):
    flat = torch.randn(40, 2, generator=generator(1)).double() @ torch.randn(2, 4, generator=generator()).double()
    for x in (torch.zeros(40, 4), torch.ones(40, 4), flat):
        with pytest.raises(ValueError, match="x must vary in more than latent = 2 directions"):
            ProbabilisticPCA(2).fit(scale * x.to(dtype))
    ProbabilisticPCA(1).fit(scale * flat.to(dtype))


def test_bad_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="latent must be at least 1, got 0"):
        ProbabilisticPCA(0)
    with pytest.raises(TypeError, match=r"latent must be a whole number, got 1\.5"):
        ProbabilisticPCA(1.5)
    m = ProbabilisticPCA(2).fit(data())
    for call in (m.log_prob, m.score, m.posterior, m.encode, m.loss):
        with pytest.raises(ValueError, match=r"x must have shape \(n, 5\), got \(3, 4\)"):
            call(torch.zeros(3, 4))
        with pytest.raises(TypeError, match="x must be a floating-point tensor"):
            call(torch.zeros(3, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        m.sample(0)
    for call in (lambda f: f.log_prob(data()), lambda f: f.decode(torch.zeros(1, 2)), lambda f: f.sample(1)):
        with pytest.raises(RuntimeError, match=r"this ProbabilisticPCA has seen no data yet: call fit\(x\) first"):
            call(ProbabilisticPCA(2))
