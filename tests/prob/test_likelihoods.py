"""Likelihoods of pixels against sums over every level, integrals, and values worked out by hand."""

import math

import pytest
import torch
from scipy import stats

from genbook.prob.likelihoods import BernoulliPixels, CategoricalPixels, GaussianPixels, LogisticMixturePixels
from genbook.prob.quadrature import integrate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


#: A likelihood, and the levels of its pixels.
DISCRETE = {
    "Bernoulli": (BernoulliPixels(), 2),
    "Categorical": (CategoricalPixels(5), 5),
    "LogisticMixture": (LogisticMixturePixels(5, 3), 5),
    "two levels": (LogisticMixturePixels(2, 2), 2),
    "one component": (LogisticMixturePixels(17, 1), 17),
}
discrete = pytest.mark.parametrize(("likelihood", "levels"), DISCRETE.values(), ids=DISCRETE)
EVERY = {name: one for name, (one, _) in DISCRETE.items()} | {
    "Gaussian": GaussianPixels(0.7, offset=3.0, unit=2.0),
}
every = pytest.mark.parametrize("likelihood", EVERY.values(), ids=EVERY)


def parameters(likelihood, n=1, d=1, size=1.0, seed=1):
    drawn = torch.randn(n, likelihood.outputs * d, generator=generator(seed), dtype=torch.float64)
    return size * drawn


def table(likelihood, levels, given):
    """The probabilities of every level of one pixel."""
    x = torch.arange(float(levels), dtype=given.dtype)[:, None]
    return likelihood.log_prob(x, given.expand(levels, -1)).exp()


# ---- every kind -------------------------------------------------------------------------------------------------
@discrete
@pytest.mark.parametrize("size", [0.3, 1.0, 4.0])
def test_the_probabilities_of_all_levels_sum_to_one(likelihood, levels, size):
    for seed in range(5):
        found = table(likelihood, levels, parameters(likelihood, size=size, seed=seed))
        assert found.sum().item() == pytest.approx(1, abs=1e-9)


def test_the_gaussian_integrates_to_one_in_data_units():
    likelihood, given = GaussianPixels(0.5, offset=10.0, unit=4.0), torch.tensor([[0.25]], dtype=torch.float64)
    box = torch.tensor([[5.0], [17.0]], dtype=torch.float64)

    def density(x):
        return likelihood.log_prob(x, given.expand(len(x), -1)).exp()

    assert integrate(density, box, 4000) == pytest.approx(1, abs=1e-9)
    assert integrate(lambda x: x[:, 0] * density(x), box, 4000) == pytest.approx(11, abs=1e-6)


@every
def test_an_examples_log_probability_is_the_sum_over_its_pixels(likelihood):
    n, d = 4, 6
    given = parameters(likelihood, n, d)
    x = likelihood.sample(given, generator=generator())
    whole = likelihood.log_prob(x, given)
    assert whole.shape == (n,) and whole.dtype == torch.float64
    planes = given.view(n, likelihood.outputs, d)
    apart = sum(likelihood.log_prob(x[:, i : i + 1], planes[:, :, i]) for i in range(d))
    assert torch.allclose(whole, apart, atol=1e-12)


@every
def test_pictures_and_planes_serve_as_rows_do(likelihood):
    given = parameters(likelihood, 3, 12)
    x = likelihood.sample(given, generator=generator())
    planes = given.view(3, likelihood.outputs, 4, 3)
    assert torch.equal(likelihood.log_prob(x.view(3, 1, 4, 3), planes), likelihood.log_prob(x, given))
    assert torch.equal(likelihood.mean(planes), likelihood.mean(given))
    assert torch.equal(likelihood.sample(planes, generator=generator()), x)
    assert x.shape == likelihood.mean(given).shape == (3, 12)


@discrete
def test_samples_follow_the_table(likelihood, levels):
    n = 30_000
    given = parameters(likelihood)
    x = likelihood.sample(given.expand(n, -1), generator=generator(3))
    assert x.dtype == torch.float64
    expected = n * table(likelihood, levels, given)
    counts = torch.bincount(x[:, 0].long(), minlength=levels).double()
    enough = expected >= 5
    counts, expected = (torch.cat([part[enough], part[~enough].sum()[None]]) for part in (counts, expected))
    expected = expected.clamp_min(1e-6)
    assert stats.chisquare(counts.numpy(), (expected * n / expected.sum()).numpy()).pvalue > 1e-3


@pytest.mark.parametrize("name", ["Bernoulli", "Categorical", "Gaussian"])
def test_samples_have_the_stated_mean(name):
    likelihood, n = EVERY[name], 40_000
    given = parameters(likelihood, 1, 4)
    x = likelihood.sample(given.expand(n, -1), generator=generator(3))
    error = x.std(0) / math.sqrt(n)
    assert bool(((x.mean(0) - likelihood.mean(given)[0]).abs() < 4 * error).all())


@discrete
def test_the_mean_lies_between_the_lowest_and_the_highest_level(likelihood, levels):
    given = parameters(likelihood, 200, 3, size=5.0)
    mean = likelihood.mean(given)
    assert bool(((mean >= 0) & (mean <= levels - 1)).all())
    assert float(mean.max()) > 0.9 * (levels - 1) and float(mean.min()) < 0.1 * (levels - 1)


@every
def test_samples_follow_their_generator(likelihood):
    given = parameters(likelihood, 50, 3)
    before = torch.get_rng_state()
    first, again, other = (likelihood.sample(given, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    drawn = likelihood.sample(given)
    torch.manual_seed(5)
    assert torch.equal(drawn, likelihood.sample(given))


@every
@pytest.mark.parametrize("size", [1.0, 30.0, 1000.0])
def test_log_probabilities_and_their_gradients_are_finite_for_any_parameters(likelihood, size):
    given = parameters(likelihood, 200, 3, size=size).float()
    if isinstance(likelihood, LogisticMixturePixels):
        planes = given.view(200, 3, likelihood.components, 3)
        planes[:, 2] = planes[:, 2].clamp(-1e6, 20)  # wider than that no bin is seen
    given.requires_grad_()
    x = likelihood.sample(parameters(likelihood, 200, 3).float(), generator=generator())
    value = likelihood.log_prob(x, given)
    (slope,) = torch.autograd.grad(value.sum(), given)
    assert bool(value.isfinite().all()) and bool(slope.isfinite().all())


# ---- values by hand ---------------------------------------------------------------------------------------------
def test_bernoulli_pixels_worked_out_by_hand():
    likelihood, given = BernoulliPixels(), torch.tensor([[0.0, math.log(3)]])
    x = torch.tensor([[1.0, 0.0]])
    assert likelihood.log_prob(x, given).item() == pytest.approx(math.log(0.5) + math.log(0.25), rel=1e-6)
    assert torch.allclose(likelihood.mean(given), torch.tensor([[0.5, 0.75]]))
    assert likelihood.outputs == 1


def test_gaussian_pixels_worked_out_by_hand():
    likelihood, given = GaussianPixels(2.0, offset=1.0, unit=10.0), torch.tensor([[0.3, -0.2]])
    assert torch.allclose(likelihood.mean(given), torch.tensor([[4.0, -1.0]]))
    expected = -0.5 * ((6 - 4) / 2) ** 2 - 0.5 * ((0 + 1) / 2) ** 2 - 2 * math.log(2) - math.log(2 * math.pi)
    assert likelihood.log_prob(torch.tensor([[6.0, 0.0]]), given).item() == pytest.approx(expected, rel=1e-6)
    assert likelihood.outputs == 1


def test_gaussian_noise_has_the_stated_width():
    likelihood = GaussianPixels(3.0, offset=1.0, unit=10.0)
    x = likelihood.sample(torch.full((20_000, 1), 0.5, dtype=torch.float64), generator=generator())
    assert stats.kstest(x[:, 0].numpy(), stats.norm(6, 3).cdf).pvalue > 1e-3


def test_categorical_pixels_worked_out_by_hand():
    likelihood, logits = CategoricalPixels(3), torch.tensor([0.1, 0.2, 0.7]).log()
    given = torch.stack([logits, logits.flip(0)], 1)[None]  # (1, levels, pixels)
    x = torch.tensor([[2.0, 1.0]])
    assert likelihood.log_prob(x, given + 5).item() == pytest.approx(math.log(0.7) + math.log(0.2), rel=1e-5)
    assert torch.allclose(likelihood.mean(given), torch.tensor([[1.6, 0.4]]))
    assert likelihood.outputs == 3


def logistic(x):
    return 1 / (1 + math.exp(-x))


def test_a_mixture_of_two_logistics_worked_out_by_hand():
    """Five levels lie at -1, -1/2, 0, 1/2, 1; the edges of the bins are a quarter away."""
    likelihood = LogisticMixturePixels(5, 2)
    assert likelihood.outputs == 6
    shares, means, widths = (0.3, 0.7), (-0.4, 0.6), (0.2, 0.5)
    given = torch.tensor([[math.log(0.3), math.log(0.7), *means, math.log(0.2), math.log(0.5)]]).double()
    found = table(likelihood, 5, given)
    edges = [-math.inf, -0.75, -0.25, 0.25, 0.75, math.inf]
    for level in range(5):
        expected = 0.0
        for share, mean, width in zip(shares, means, widths, strict=True):
            upper, lower = ((edges[level + k] - mean) / width for k in (1, 0))
            upper = 1.0 if upper == math.inf else logistic(upper)
            expected += share * (upper - (0.0 if lower == -math.inf else logistic(lower)))
        assert found[level].item() == pytest.approx(expected, rel=1e-6)
    assert likelihood.mean(given).item() == pytest.approx(2 * (0.3 * -0.4 + 0.7 * 0.6) + 2, rel=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_lowest_and_the_highest_level_own_all_that_lies_beyond(levels):
    likelihood = LogisticMixturePixels(levels, 1)
    for mean, level in ((-50.0, 0.0), (50.0, levels - 1.0)):
        given = torch.tensor([[0.0, mean, -2.0]])
        assert likelihood.log_prob(torch.tensor([[level]]), given).item() == pytest.approx(0, abs=1e-6)
        assert likelihood.mean(given).item() == level
        assert likelihood.sample(given, generator=generator()).item() == level
        other = likelihood.log_prob(torch.tensor([[levels - 1 - level]]), given).item()
        assert -1000 < other < -300


def test_a_logistic_much_narrower_than_a_bin_puts_all_on_its_level_and_no_narrower_counts():
    likelihood = LogisticMixturePixels(5, 1)
    for log_width in (-7.0, -30.0, -1e6):
        given = torch.tensor([[0.0, 0.5, log_width]])
        assert table(likelihood, 5, given).tolist() == pytest.approx([0, 0, 0, 1, 0], abs=1e-6)
        far = likelihood.log_prob(torch.tensor([[0.0]]), given).item()
        assert far == pytest.approx(-(0.5 + 0.75) * math.exp(7), rel=1e-4)


def test_far_bins_are_exact_where_a_difference_of_logistics_would_be_zero():
    likelihood = LogisticMixturePixels(17, 1)
    given = torch.tensor([[0.0, -1.0, -5.0]])  # float32; level 12 lies 1.5 away, some 220 widths
    found = likelihood.log_prob(torch.tensor([[12.0]]), given).item()
    inverse, half = math.exp(5), 1 / 16
    expected = -inverse * (1.5 - half) + math.log1p(-math.exp(-2 * half * inverse))
    assert found == pytest.approx(expected, rel=1e-5)


# ---- bad input --------------------------------------------------------------------------------------------------
@discrete
@pytest.mark.parametrize("bad", [-1.0, 0.5, math.nan, "levels"])
def test_what_is_no_level_is_refused_and_shown(likelihood, levels, bad):
    bad = float(levels) if bad == "levels" else bad
    x = torch.tensor([[0.0, 1.0], [bad, 99.0]])
    message = rf"^x must hold whole numbers from 0 to {levels - 1}, got {bad:g}$"
    with pytest.raises(ValueError, match=message):
        likelihood.log_prob(x, parameters(likelihood, 2, 2))
    with pytest.raises(ValueError, match=message):
        likelihood.log_prob(x.view(2, 1, 1, 2), parameters(likelihood, 2, 2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: CategoricalPixels(1), ValueError, "levels must be at least 2, got 1"),
        (lambda: CategoricalPixels(2.0), TypeError, "levels must be a whole number"),
        (lambda: LogisticMixturePixels(1, 2), ValueError, "levels must be at least 2, got 1"),
        (lambda: LogisticMixturePixels(4, 0), ValueError, "components must be at least 1, got 0"),
        (lambda: GaussianPixels(0.0), ValueError, r"scale must be a finite number > 0, got 0\.0"),
        (lambda: GaussianPixels(1.0, unit=-1.0), ValueError, r"unit must be a finite number > 0, got -1\.0"),
        (lambda: GaussianPixels(1.0, offset=math.nan), ValueError, "offset must be finite, got nan"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()
