"""The variational autoencoder against a model whose evidence is known in closed form, and by hand."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from genbook.models.probabilistic_pca import ProbabilisticPCA
from genbook.models.vae import VAE, gaussian_kl
from genbook.nn.coders import PictureDecoder, PictureEncoder
from genbook.nn.mlp import mlp
from genbook.prob.likelihoods import BernoulliPixels, CategoricalPixels, GaussianPixels, LogisticMixturePixels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def data(n=400, d=5, seed=0):
    """Points near a plane in `d` dimensions, away from 0."""
    drawn = generator(seed)
    return (
        3
        + torch.randn(n, 2, generator=drawn) @ torch.randn(2, d, generator=drawn)
        + 0.4 * torch.randn(n, d, generator=drawn)
    )


class Said(nn.Module):
    """An encoder that says the same μ and log σ² of every example, and counts what it is shown."""

    def __init__(self, *said):
        super().__init__()
        self.said, self.seen = nn.Parameter(torch.tensor([said])), []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return self.said.expand(len(x), -1)


def small(*said, latent=2, d=3, **options):
    """A model with a fixed guess and a linear decoder, whose terms can be worked out by hand."""
    torch.manual_seed(0)
    encoder = Said(*said) if said else mlp([d, 8, 2 * latent])
    return VAE(encoder, nn.Linear(latent, d), GaussianPixels(0.5), latent=latent, shape=(d,), **options)


def linear_vae(known, **options):
    """The linear model of probabilistic PCA with an encoder that says its exact posterior.

    The posterior covariance σ² (WᵀW + σ² I)⁻¹ is diagonal, for the columns of W are orthogonal.
    """
    d, latent = known.weight.shape
    inverse = torch.linalg.inv(known.weight.T @ known.weight + known.variance * torch.eye(latent))
    encoder, decoder = nn.Linear(d, 2 * latent), nn.Linear(latent, d)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.weight[:latent] = inverse @ known.weight.T
        encoder.bias[:latent] = -inverse @ known.weight.T @ known.mean
        encoder.bias[latent:] = (known.variance * inverse.diagonal()).log()
        decoder.weight.copy_(known.weight), decoder.bias.copy_(known.mean)
    return VAE(encoder, decoder, GaussianPixels(known.variance**0.5), latent=latent, shape=(d,), **options)


# ---- the divergence ---------------------------------------------------------------------------------------------
def test_the_divergence_is_that_of_torch_and_zero_for_the_prior_alone():
    mean, log_variance = 2 * noise(2, 50, 3).double()
    ours = gaussian_kl(mean, log_variance)
    theirs = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    assert torch.allclose(ours, theirs, atol=1e-12) and bool((ours > 0).all())
    assert gaussian_kl(torch.zeros(2), torch.zeros(2)).tolist() == [0, 0]
    by_hand = gaussian_kl(torch.tensor(3.0), torch.tensor(math.log(4.0)))
    assert by_hand.item() == pytest.approx(0.5 * (9 + 4 - math.log(4) - 1))


# ---- the bound --------------------------------------------------------------------------------------------------
def test_the_terms_of_one_example_worked_out_by_hand():
    m = small(0.5, -1.0, math.log(0.04), 0.0, d=2)
    with torch.no_grad():
        m.decoder.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 1.0]])), m.decoder.bias.zero_()
    e = torch.tensor([[1.0, 2.0]])
    z = (0.5 + 0.2 * 1, -1 + 1 * 2)
    mean = (z[0], 2 * z[0] + z[1])
    x = torch.tensor([[1.0, 2.0]])
    likelihood, divergence = m.terms(x, noise=e)
    expected = sum(-0.5 * ((v - u) / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi)
                   for v, u in zip((1.0, 2.0), mean, strict=True))  # fmt: skip
    paid = [0.5 * (0.25 + 0.04 - math.log(0.04) - 1), 0.5]
    assert likelihood.item() == pytest.approx(expected, rel=1e-5)
    assert divergence[0].tolist() == pytest.approx(paid, rel=1e-5)
    assert m.elbo(x, noise=e).item() == pytest.approx(expected - sum(paid), rel=1e-5)
    assert m.loss(x, noise=e).item() == pytest.approx(sum(paid) - expected, rel=1e-5)


def test_at_the_exact_posterior_the_bound_is_the_evidence():
    """For the linear model the gap closes: log p(x, z) - log q(z|x) is the evidence whatever z is drawn."""
    x = data()
    known = ProbabilisticPCA(2).fit(x)
    m, exact = linear_vae(known), known.log_prob(x)
    weights = m.log_weights(x, noise=noise(400, 5, 2))
    assert torch.allclose(weights, exact[:, None].expand(-1, 5), rtol=1e-4)
    n = 4000
    bound = m.elbo(x[:20].repeat_interleave(n, 0), noise=noise(20 * n, 2)).view(20, n)
    error = bound.std(1) / math.sqrt(n)
    assert bool(((bound.mean(1) - exact[:20]).abs() < 4 * error).all())
    mean = m.elbo(x.repeat(200, 1), noise=noise(80_000, 2)).mean().item()
    assert mean == pytest.approx(exact.mean().item(), rel=5e-3)


@torch.no_grad()
def test_with_antithetic_unit_noise_the_linear_bound_has_no_sampling_error_left():
    """The bound is quadratic in ε: the corners ±1 average to its expectation, within 1e-4 of the evidence."""
    x = data()
    known = ProbabilisticPCA(2).fit(x)
    m = linear_vae(known)
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    bound = torch.stack([m.elbo(x, noise=corner.expand(400, -1)) for corner in corners]).mean(0)
    assert torch.allclose(bound, known.log_prob(x), rtol=1e-4)
    for spoil in (lambda: m.encoder.bias[:2].add_(0.3), lambda: m.encoder.bias[2:].sub_(0.5)):
        spoil()
        worse = torch.stack([m.elbo(x, noise=corner.expand(400, -1)) for corner in corners]).mean(0)
        assert bool((worse < known.log_prob(x) - 0.01).all())


def test_the_gap_is_the_divergence_of_the_guess_from_the_posterior():
    x = data()
    known = ProbabilisticPCA(2).fit(x)
    m = linear_vae(known)
    with torch.no_grad():
        m.encoder.bias[:2] += 0.2
        m.encoder.bias[2:] += 0.4
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    bound = torch.stack([m.elbo(x, noise=corner.expand(400, -1)) for corner in corners]).mean(0)
    mean, covariance = known.posterior(x)
    exact = Normal(mean, covariance.diagonal().sqrt())
    said = Normal(m.encode(x), (0.5 * m.posterior(x)[1]).exp())
    gap = kl_divergence(said, exact).sum(1)
    assert torch.allclose(known.log_prob(x) - bound, gap, atol=2e-3)


def test_log_weights_are_log_joint_minus_log_guess():
    m = small()
    x, e = data(6, 3), noise(6, 4, 2)
    mean, log_variance = m.posterior(x)
    guess = Normal(mean[:, None], (0.5 * log_variance).exp()[:, None])
    z = guess.mean + guess.stddev * e
    joint = Normal(m.decoder(z), 0.5).log_prob(x[:, None]).sum(2) + Normal(0.0, 1.0).log_prob(z).sum(2)
    weights = m.log_weights(x, noise=e)
    assert weights.shape == (6, 4)
    assert torch.allclose(weights, joint - guess.log_prob(z).sum(2), atol=1e-4)
    alone = torch.cat([m.log_weights(x[i : i + 1], noise=e[i : i + 1]) for i in range(6)])
    assert torch.allclose(alone, weights, atol=1e-4)


def test_the_mean_log_weight_is_the_bound():
    m = small()
    x, e = data(4, 3), noise(4, 20_000, 2)
    weights = m.log_weights(x, noise=e).detach()
    bound = torch.stack([m.elbo(x, noise=e[:, k]) for k in range(0, 20_000, 40)], 1).detach()
    error = (weights.var(1) / 20_000 + bound.var(1) / bound.shape[1]).sqrt()
    assert bool(((weights.mean(1) - bound.mean(1)).abs() < 4 * error).all())


def test_the_gradient_reaches_encoder_and_decoder_through_the_draw():
    """Against a finite difference of the loss with the same noise, in float64."""
    torch.manual_seed(0)
    m = VAE(mlp([3, 8, 4]), mlp([2, 8, 3]), GaussianPixels(0.5), latent=2, shape=(3,))
    x, e = data(6, 3), noise(6, 2)
    m.loss(x, noise=e).backward()
    for p in (m.encoder[0].weight, m.encoder[2].bias, m.decoder[0].weight):
        slope, step = p.grad.flatten()[1].item(), 1e-2
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                p.view(-1)[1] += sign * step
                values.append(m.loss(x, noise=e).item())
                p.view(-1)[1] -= sign * step
        assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.03, abs=0.02)


# ---- re-weighting -----------------------------------------------------------------------------------------------
def test_beta_multiplies_the_divergence_and_leaves_the_bound_alone():
    x, e = data(6, 3), noise(6, 2)
    plain = small()
    likelihood, divergence = plain.terms(x, noise=e)
    for beta in (0.0, 0.5, 4.0):
        m = small(beta=beta)
        expected = beta * divergence.sum(1).mean() - likelihood.mean()
        assert m.loss(x, noise=e).item() == pytest.approx(expected.item(), rel=1e-5)
        assert torch.equal(m.elbo(x, noise=e), plain.elbo(x, noise=e))


def test_free_bits_are_paid_for_each_coordinate_by_its_mean_over_the_batch():
    x, e = data(6, 3), noise(6, 2)
    plain = small()
    likelihood, divergence = plain.terms(x, noise=e)
    mean = divergence.mean(0).tolist()
    assert min(mean) != max(mean)
    for free in (min(mean) / 2, sum(mean) / 2, max(mean) + 1):
        m = small(free_bits=free)
        expected = sum(max(value, free) for value in mean) - likelihood.mean().item()
        assert m.loss(x, noise=e).item() == pytest.approx(expected, rel=1e-5)
        assert torch.equal(m.elbo(x, noise=e), plain.elbo(x, noise=e))


def test_a_coordinate_within_its_free_bits_is_not_pressed():
    m = small(0.1, 3.0, 0.0, 0.0, free_bits=0.5)  # divergences 0.005 and 4.5
    with torch.no_grad():
        m.decoder.weight.zero_()
    m.loss(data(6, 3), noise=noise(6, 2)).backward()
    assert m.encoder.said.grad[0].tolist() == pytest.approx([0, 3, 0, 0], abs=1e-6)


def test_beta_and_free_bits_together():
    x, e = data(6, 3), noise(6, 2)
    likelihood, divergence = small().terms(x, noise=e)
    expected = 3.0 * sum(max(value, 5.0) for value in divergence.mean(0).tolist()) - likelihood.mean().item()
    assert small(beta=3.0, free_bits=5.0).loss(x, noise=e).item() == pytest.approx(expected, rel=1e-5)


# ---- the two halves ---------------------------------------------------------------------------------------------
def test_the_encoder_sees_units_of_its_own_and_the_likelihood_the_datas():
    m = small(0.0, 0.0, 0.0, 0.0, offset=3.0, scale=2.0)
    x = data(6, 3)
    m.elbo(x, noise=noise(6, 2))
    assert torch.allclose(m.encoder.seen[0], (x - 3) / 2)
    mean, log_variance = m.posterior(x)
    assert torch.equal(m.encode(x), mean) and not mean.any() and not log_variance.any()


def test_the_guess_is_the_mean_then_the_log_variance():
    m = small(1.0, 2.0, -3.0, 0.5)
    mean, log_variance = m.posterior(data(2, 3))
    assert mean.tolist() == [[1, 2]] * 2 and log_variance.tolist() == [[-3, 0.5]] * 2


def test_absurd_log_variances_are_brought_within_reason():
    m = small(0.0, 0.0, -1000.0, 1000.0)
    x = data(4, 3)
    assert m.posterior(x)[1][0].tolist() == [-14, 6]
    assert math.isfinite(m.loss(x, noise=noise(4, 2)).item())


@pytest.mark.parametrize(
    "likelihood",
    [BernoulliPixels(), CategoricalPixels(3), LogisticMixturePixels(17, 2), GaussianPixels(1.0, offset=8, unit=8)],
    ids=lambda one: type(one).__name__,
)
def test_pictures_keep_their_shape(likelihood):
    torch.manual_seed(0)
    networks = PictureEncoder(6, (4, 8)), PictureDecoder(3, (8, 4), planes=likelihood.outputs)
    m = VAE(*networks, likelihood, latent=3, shape=(1, 8, 8), offset=0.5, scale=0.5)
    x = m.sample(5, generator=generator())
    assert x.shape == (5, 1, 8, 8) and not x.requires_grad
    assert m.encode(x).shape == (5, 3)
    assert m.decode(noise(4, 3)).shape == (4, 1, 8, 8)
    assert m.elbo(x, noise=noise(5, 3)).shape == (5,)
    assert m.log_weights(x, noise=noise(5, 7, 3)).shape == (5, 7)


def test_decoding_is_the_mean_of_what_would_be_drawn():
    m = small()
    z = noise(1, 2)
    draws = m.likelihood.sample(m.decoder(z).expand(20_000, -1), generator=generator()).detach()
    assert torch.allclose(m.decode(z)[0], draws.mean(0), atol=0.02)
    assert torch.equal(m.decode(z), m.decoder(z))


def test_samples_of_the_linear_model_have_its_mean_and_covariance():
    known = ProbabilisticPCA(2).fit(data())
    x = linear_vae(known).sample(100_000, generator=generator())
    covariance = known.weight @ known.weight.T + known.variance * torch.eye(5)
    assert torch.allclose(x.mean(0), known.mean, atol=0.03)
    assert torch.allclose(torch.cov(x.T), covariance, atol=0.06)


def test_noise_that_is_not_given_is_drawn_from_the_global_generator():
    m, x = small(), data(6, 3)
    torch.manual_seed(4)
    loss = m.loss(x)
    torch.manual_seed(4)
    assert torch.equal(loss, m.loss(x, noise=torch.randn(6, 2)))


# ---- bad input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"latent": 0}, ValueError, "latent must be at least 1, got 0"),
        ({"latent": 1.0}, TypeError, "latent must be a whole number"),
        ({"beta": -1.0}, ValueError, r"beta must be a finite number ≥ 0, got -1\.0"),
        ({"free_bits": -0.1}, ValueError, r"free_bits must be a finite number ≥ 0, got -0\.1"),
        ({"scale": 0.0}, ValueError, r"scale must be a finite number > 0, got 0\.0"),
        ({"offset": math.inf}, ValueError, "offset must be finite, got inf"),
    ],
)
def test_bad_arguments_are_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        VAE(nn.Identity(), nn.Identity(), BernoulliPixels(), **({"latent": 1, "shape": (2,)} | options))


def test_bad_data_noise_and_encoders_are_refused_by_name():
    m = small()
    for call in (m.posterior, m.encode, m.elbo, m.loss):
        with pytest.raises(ValueError, match=r"x must have shape \(n, 3\), got \(2, 4\)"):
            call(torch.zeros(2, 4))
    for call in (m.elbo, m.loss, m.terms):
        with pytest.raises(ValueError, match=r"noise must have shape \(2, 2\), got \(2, 3\)"):
            call(torch.zeros(2, 3), noise=torch.zeros(2, 3))
    for bad in (torch.zeros(3, 4, 2), torch.zeros(2, 4, 1)):
        with pytest.raises(ValueError, match=r"noise must have shape \(2, 4, 2\), got \("):
            m.log_weights(torch.zeros(2, 3), noise=bad)
    wrong = VAE(nn.Linear(3, 6), nn.Linear(2, 3), GaussianPixels(1.0), latent=2, shape=(3,))
    with pytest.raises(ValueError, match=r"encoder must return 2 · latent = 4 numbers an example, got 6"):
        wrong.encode(torch.zeros(2, 3))
    pictures = VAE(nn.Linear(3, 6), nn.Linear(2, 3), GaussianPixels(1.0), latent=2, shape=(1, 8, 8))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 1, 8, 8\), got \(2, 64\)"):
        pictures.encode(torch.zeros(2, 64))
