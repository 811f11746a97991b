"""Our machines, components and bounds against scikit-learn's and PyTorch's: the same weights in, the same out."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as TheirPCA
from sklearn.neural_network import BernoulliRBM
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from genbook.evaluate.iwae import iwae
from genbook.models.autoencoder import PCA
from genbook.models.probabilistic_pca import ProbabilisticPCA
from genbook.models.rbm import RBM
from genbook.models.vae import VAE, gaussian_kl
from genbook.prob.exponential import Binary, GaussianUnits, Levels
from genbook.prob.likelihoods import BernoulliPixels, CategoricalPixels, GaussianPixels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


# ---- restricted Boltzmann machines against scikit-learn ---------------------------------------------------------
def machines(visible=6, hidden=4):
    """One machine of ours and one of scikit-learn's with the same weights."""
    ours = RBM(visible, hidden).double()
    with torch.no_grad():
        for seed, parameter in enumerate(ours.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=seed))
    theirs = BernoulliRBM(n_components=hidden, random_state=0)
    theirs.components_ = ours.weight.detach().T.numpy().copy()
    theirs.intercept_visible_ = ours.visible_bias.detach().numpy().copy()
    theirs.intercept_hidden_ = ours.hidden_bias.detach().numpy().copy()
    theirs.random_state_ = np.random.RandomState(0)
    return ours, theirs


def test_the_hidden_chances_and_the_free_energy_are_scikit_learns():
    ours, theirs = machines()
    x = (normal(50, 6, seed=9) > 0).double()
    assert np.allclose(torch.sigmoid(ours.hidden_input(x)).detach(), theirs.transform(x.numpy()), atol=1e-12)
    assert np.allclose(ours.energy(x).detach(), theirs._free_energy(x.numpy()), atol=1e-10)


def test_the_visible_chances_are_scikit_learns():
    ours, theirs = machines()
    h = (normal(1, 4, seed=9) > 0).double()
    n = 40_000
    drawn = theirs._sample_visibles(h.expand(n, -1).numpy(), np.random.RandomState(1)).mean(0)
    chances = torch.sigmoid(ours.visible_input(h))[0].detach().numpy()
    assert np.all(np.abs(drawn - chances) < 4.5 * np.sqrt(chances * (1 - chances) / n) + 1e-9)


def test_a_step_of_persistent_learning_is_scikit_learns():
    """Their update adds, with the rate over the batch, the chances of the data minus those of the particles."""
    ours, theirs = machines()
    x, particles = (normal(20, 6, seed=9) > 0).double(), (normal(20, 6, seed=8) > 0).double()
    theirs.learning_rate, theirs.h_samples_ = 0.1, (normal(20, 4, seed=7) > 0).double().numpy()
    before = theirs.components_.copy()
    theirs._sample_visibles = lambda h, rng: particles.numpy()  # what they dreamt
    theirs._fit(x.numpy(), np.random.RandomState(0))
    ours.loss(x, particles=particles).backward()
    assert np.allclose((theirs.components_ - before) / 0.1, -ours.weight.grad.T.numpy(), atol=1e-10)


# ---- principal components against scikit-learn ------------------------------------------------------------------
def plane(n=200, d=6, seed=0):
    return normal(n, 3, seed=seed) @ normal(3, d, seed=1) + 0.4 * normal(n, d, seed=seed + 2) + torch.arange(d)


@pytest.mark.parametrize("latent", [1, 3, 5])
def test_components_and_variances_are_scikit_learns(latent):
    x, probe = plane(), plane(40, seed=5)
    ours, theirs = PCA(latent).fit(x), TheirPCA(latent, svd_solver="full").fit(x.numpy())
    signs = np.sign((ours.components.numpy() * theirs.components_).sum(1, keepdims=True))
    assert np.allclose(ours.components, signs * theirs.components_, atol=1e-9)
    assert np.allclose(ours.mean, theirs.mean_)
    shares = ours.variances / ours.variances.sum()
    assert np.allclose(shares[:latent], theirs.explained_variance_ratio_)
    assert np.allclose(ours.variances[:latent] * 200 / 199, theirs.explained_variance_)
    assert np.allclose(ours.encode(probe), theirs.transform(probe.numpy()) * signs.T, atol=1e-9)
    back = theirs.inverse_transform(theirs.transform(probe.numpy()))
    assert np.allclose(ours.decode(ours.encode(probe)), back, atol=1e-9)


@pytest.mark.parametrize("latent", [1, 3, 5])
def test_log_prob_of_probabilistic_components_is_scikit_learns_score(latent):
    """Scikit-learn divides variances by n - 1: its data, made smaller by √(1 - 1/n), have ours."""
    x, probe = plane(), plane(40, seed=5)
    theirs = TheirPCA(latent, svd_solver="full").fit(((x - x.mean(0)) * math.sqrt(199 / 200)).numpy())
    ours = ProbabilisticPCA(latent).fit(x)
    assert ours.variance == pytest.approx(theirs.noise_variance_, rel=1e-9)
    assert np.allclose(ours.log_prob(probe), theirs.score_samples((probe - x.mean(0)).numpy()), atol=1e-8)
    covariance = ours.weight @ ours.weight.T + ours.variance * torch.eye(6)
    assert np.allclose(covariance, theirs.get_covariance(), atol=1e-8)


# ---- laws against torch.distributions ---------------------------------------------------------------------------
def test_the_divergence_is_torchs():
    mean, log_variance = 3 * normal(2, 20, 5)
    theirs = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    assert torch.allclose(gaussian_kl(mean, log_variance), theirs, atol=1e-10)


def test_pixels_are_torchs():
    given = 3 * normal(30, 12)
    bits = (normal(30, 12, seed=1) > 0).double()
    theirs = Independent(Bernoulli(logits=given), 1)
    assert torch.allclose(BernoulliPixels().log_prob(bits, given), theirs.log_prob(bits))
    assert torch.allclose(BernoulliPixels().mean(given), theirs.mean)
    x = normal(30, 12, seed=2)
    ours, theirs = GaussianPixels(0.7, offset=2.0, unit=3.0), Independent(Normal(2 + 3 * given, 0.7), 1)
    assert torch.allclose(ours.log_prob(x, given), theirs.log_prob(x))
    levels = torch.randint(4, (30, 3), generator=generator())
    ours, theirs = CategoricalPixels(4), Categorical(logits=given.view(30, 4, 3).movedim(1, 2))
    assert torch.allclose(ours.log_prob(levels.double(), given), theirs.log_prob(levels).sum(1))
    assert torch.allclose(ours.mean(given), theirs.probs @ torch.arange(4.0).double())


def test_units_are_torchs():
    """log p(v) = s·v + log r(v) - A(s), kind by kind."""
    s = 2 * normal(30, 12)
    bits = (normal(30, 12, seed=1) > 0).double()
    columns = torch.randint(4, (30, 3), generator=generator())
    three = (
        (Binary(), bits, Bernoulli(logits=s).log_prob(bits).sum(1)),
        (Levels(4), columns.double(), Categorical(logits=s.view(30, 3, 4)).log_prob(columns).sum(1)),
        (GaussianUnits(offset=1.0, scale=2.0), normal(30, 12, seed=3), None),
    )
    for kind, x, theirs in three:
        v = kind.features(x)
        ours = (s * v).sum(1) + kind.log_carrier(v) - kind.log_normaliser(s)
        theirs = Normal(1 + 2 * s, 2.0).log_prob(x).sum(1) if theirs is None else theirs
        assert torch.allclose(ours, theirs, atol=1e-10)


# ---- bounds against the evidence of the linear model ------------------------------------------------------------
def test_bounds_of_a_linear_autoencoder_lie_below_scikit_learns_evidence():
    """A guess that is not the posterior: ELBO < IWAE < the evidence, and the second comes close."""
    x = plane().float()
    known = ProbabilisticPCA(3).fit(x)
    theirs = TheirPCA(3, svd_solver="full").fit(((x - x.mean(0)) * math.sqrt(199 / 200)).double().numpy())
    evidence = torch.as_tensor(theirs.score_samples((x - x.mean(0)).double().numpy()))
    inverse = torch.linalg.inv(known.weight.T @ known.weight + known.variance * torch.eye(3))
    encoder, decoder = nn.Linear(6, 6), nn.Linear(3, 6)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.weight[:3] = inverse @ known.weight.T
        encoder.bias[:3] = -inverse @ known.weight.T @ known.mean
        encoder.bias[3:] = (known.variance * inverse.diagonal()).log()
        decoder.weight.copy_(known.weight), decoder.bias.copy_(known.mean)
    model = VAE(encoder, decoder, GaussianPixels(known.variance**0.5), latent=3, shape=(6,))
    exact, errors = iwae(model, x, samples=2, generator=generator())
    assert torch.allclose(exact, evidence, rtol=1e-4) and float(errors.max()) < 1e-2
    with torch.no_grad():
        encoder.bias[3:] += 0.8  # too wide
    values = iwae(model, x, samples=500, generator=generator())[0]
    bound = iwae(model, x, samples=1, generator=generator())[0]
    assert bound.mean() < evidence.mean() - 0.3
    assert bound.mean() < values.mean() < evidence.mean() + 0.01
    assert (evidence - values).mean() < 0.02
