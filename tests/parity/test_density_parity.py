"""Our densities against scikit-learn's: the same data and the same start in, the same numbers out."""

import numpy as np
import pytest
import torch
from sklearn import mixture, naive_bayes, neighbors

from genbook.data import digits
from genbook.data.truths import Mixture1D, RingOfGaussians
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.histogram import Histogram
from genbook.models.kernel_density import KernelDensity
from genbook.models.mixture import GaussianMixture


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data(n=600):
    return RingOfGaussians().sample(n, generator=generator())


@pytest.mark.parametrize("bandwidth", [0.03, 0.2, 1.5])
def test_kernel_density_equals_scikit_learn(bandwidth):
    x, probe = data().double(), data(900)[600:].double()
    ours = KernelDensity(bandwidth).fit(x).log_prob(probe)
    theirs = neighbors.KernelDensity(bandwidth=bandwidth).fit(x.numpy()).score_samples(probe.numpy())
    assert np.allclose(ours, theirs, atol=1e-8)


def test_histogram_equals_numpy():
    x = Mixture1D().sample(500, generator=generator()).double()
    density, edges = np.histogram(x[:, 0].numpy(), bins=17, density=True)
    ours = Histogram(17).fit(x).log_prob(torch.as_tensor((edges[1:] + edges[:-1]) / 2)[:, None])
    assert np.allclose(ours.exp(), density, atol=1e-9)
    both = data().double()
    table, first, second = np.histogram2d(*both.numpy().T, bins=9, density=True)
    centres = [torch.as_tensor((e[1:] + e[:-1]) / 2) for e in (first, second)]
    ours = Histogram(9).fit(both).log_prob(torch.cartesian_prod(*centres)).exp().view(9, 9)
    assert np.allclose(ours, table, atol=1e-9)


@pytest.mark.parametrize("rounds", [1, 5, 40])
def test_em_equals_scikit_learn_round_for_round(rounds):
    x, start = data().double(), data(8).double()
    ridge = 1e-4
    covariances = torch.eye(2, dtype=torch.float64).repeat(8, 1, 1) * 0.5
    ours = GaussianMixture(8, ridge=ridge).set_parameters(torch.full((8,), 1 / 8), start, covariances)
    ours.fit(x, steps=rounds, tolerance=-1.0, initialise=False)
    theirs = mixture.GaussianMixture(
        8,
        reg_covar=ridge,
        max_iter=rounds,
        tol=-1.0 if rounds == 1 else 0.0,
        means_init=start.float().double().numpy(),
        weights_init=np.full(8, 1 / 8),
        precisions_init=np.linalg.inv(covariances.numpy()),
    )
    with np.errstate(all="ignore"):
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs = theirs.set_params(tol=0.0).fit(x.numpy())
    assert theirs.n_iter_ == rounds
    assert np.allclose(ours.weights.detach(), theirs.weights_, atol=2e-5)
    assert np.allclose(ours.means.detach(), theirs.means_, atol=2e-5)
    assert np.allclose(ours.covariances.detach(), theirs.covariances_, atol=2e-5)
    assert np.allclose(ours.log_prob(x).detach(), theirs.score_samples(x.numpy()), atol=2e-3)


def test_our_em_ends_as_high_as_scikit_learns():
    """Same model, same data, five starts each: ours may not end lower by more than a hundredth of a nat."""
    x = data(2000).double()
    ours = GaussianMixture(8).fit(x, starts=5, generator=generator())
    theirs = mixture.GaussianMixture(8, n_init=5, random_state=0).fit(x.numpy())
    assert ours.history[-1] > theirs.score(x.numpy()) - 0.01


def test_one_component_a_class_is_scikit_learns_categorical_naive_bayes():
    """A one-component categorical mixture is one class of CategoricalNB: the same smoothed tables."""
    train = digits.load("train")
    x, y = train.images.flatten(1), train.labels
    bayes = naive_bayes.CategoricalNB(alpha=0.3, min_categories=17).fit(x.numpy(), y.numpy())
    for digit in (0, 7):
        ours = CategoricalMixture(1, 17, smoothing=0.3).fit(x[y == digit])
        theirs = np.stack([table[digit] for table in bayes.feature_log_prob_])
        assert np.allclose(ours.tables[0].log(), theirs, atol=1e-9)
