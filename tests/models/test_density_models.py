"""The first families against answers worked out by hand."""

import itertools
import math

import pytest
import torch

from genbook.data import digits
from genbook.data.truths import Mixture1D, Moons, RingOfGaussians
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.histogram import Histogram
from genbook.models.kernel_density import KernelDensity, silverman_bandwidth
from genbook.models.mixture import GaussianMixture
from genbook.prob.gaussian import log_normal


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def column(*values):
    return torch.tensor(values)[:, None]


# ---- histogram --------------------------------------------------------------------------------------------------
def test_histogram_by_hand():
    model = Histogram(4, bounds=column(0.0, 2.0)).fit(column(0.1, 0.2, 0.6, 2.0))
    assert model.probabilities.tolist() == [0.5, 0.25, 0, 0.25]
    expected = [math.log(0.5 / 0.5), math.log(0.25 / 0.5), -math.inf, math.log(0.25 / 0.5), -math.inf, -math.inf]
    assert model.log_prob(column(0.4, 0.5, 1.2, 2.0, 2.1, -0.1)).tolist() == pytest.approx(expected)


def test_histogram_smoothing_leaves_no_cell_empty():
    model = Histogram(4, bounds=column(0.0, 2.0), smoothing=1.0).fit(column(0.1, 0.2, 0.6, 2.0))
    assert model.probabilities.tolist() == pytest.approx([3 / 8, 2 / 8, 1 / 8, 2 / 8])


def test_histogram_axes_do_not_change_places():
    corners = torch.tensor([[0.0, 0.0], [1.0, 10.0]])
    model = Histogram(2, bounds=corners).fit(torch.tensor([[0.9, 1.0], [0.9, 2.0], [0.1, 9.0], [0.9, 9.0]]))
    assert model.probabilities.tolist() == [
        0,
        0.25,
        0.5,
        0.25,
    ]  # row by row
    x = model.sample(2000, generator=generator())
    assert bool((x[:, 1] <= 10).all()) and bool((x[:, 0] <= 1).all())
    assert float(((x[:, 0] > 0.5) & (x[:, 1] < 5)).float().mean()) == pytest.approx(0.5, abs=0.05)


def test_histogram_samples_stay_in_cells_that_have_mass():
    x = 1e4 + 0.1 * torch.rand(500, 1, generator=generator(), dtype=torch.float64).pow(3)
    model = Histogram(20).fit(x)
    assert bool(torch.isfinite(model.log_prob(model.sample(20_000, generator=generator()))).all())


def test_histogram_refusals():
    with pytest.raises(ValueError, match="bins must be at least 1"):
        Histogram(0)
    with pytest.raises(ValueError, match="smoothing must be"):
        Histogram(3, smoothing=-1.0)
    with pytest.raises(ValueError, match=r"bounds must be \(2, d\)"):
        Histogram(3, bounds=column(1.0, 0.0))
    with pytest.raises(ValueError, match="1 of 2 points outside bounds"):
        Histogram(3, bounds=column(0.0, 1.0)).fit(column(0.5, 1.5))
    with pytest.raises(ValueError, match="all equal: pass bounds="):
        Histogram(3).fit(column(0.5, 0.5))
    with pytest.raises(ValueError, match=r"3 \*\* 64 cells"):
        Histogram(3).fit(torch.rand(5, 64))


# ---- kernel density ---------------------------------------------------------------------------------------------
def test_kernel_density_by_hand():
    model = KernelDensity(0.5).fit(column(0.0, 1.0))
    at = torch.tensor(0.25)
    expected = torch.logaddexp(log_normal(at, 0.0, 0.5), log_normal(at, 1.0, 0.5)) - math.log(2)
    assert float(model.log_prob(column(0.25))) == pytest.approx(float(expected), abs=1e-6)


def test_kernel_density_blocks_do_not_change_the_answer():
    x = Moons().sample(300, generator=generator()).double()
    whole, blocked = KernelDensity(0.1).fit(x), KernelDensity(0.1, block=7).fit(x)
    for call in ("log_prob", "score"):
        assert torch.allclose(getattr(whole, call)(x), getattr(blocked, call)(x), atol=1e-12)
    assert torch.allclose(whole.leave_one_out(), blocked.leave_one_out(), atol=1e-12)


def test_leave_one_out_is_what_it_says():
    x = Mixture1D().sample(40, generator=generator()).double()
    by_hand = [
        float(KernelDensity(0.3).fit(torch.cat([x[:i], x[i + 1 :]])).log_prob(x[i : i + 1])) for i in range(40)
    ]
    assert KernelDensity(0.3).fit(x).leave_one_out().tolist() == pytest.approx(by_hand, abs=1e-9)


def test_silverman_by_hand_and_for_one_gaussian():
    x = torch.randn(500, 1, generator=generator(), dtype=torch.float64) * 3
    assert silverman_bandwidth(x) == pytest.approx(float(x.std()) * (4 / 1500) ** 0.2)
    two = torch.randn(500, 2, generator=generator(), dtype=torch.float64)
    assert silverman_bandwidth(two) == pytest.approx(float(two.std(0).mean()) * (4 / 2000) ** (1 / 6))
    assert KernelDensity().fit(x).bandwidth == pytest.approx(silverman_bandwidth(x))


def test_kernel_density_refusals():
    with pytest.raises(ValueError, match="bandwidth must be a finite number > 0, got 0"):
        KernelDensity(0.0)
    with pytest.raises(ValueError, match="pass bandwidth="):
        KernelDensity().fit(column(1.0))
    with pytest.raises(ValueError, match="constant data"):
        KernelDensity().fit(column(1.0, 1.0, 1.0))
    with pytest.raises(RuntimeError, match="at least two"):
        KernelDensity(1.0).fit(column(1.0)).leave_one_out()


# ---- Gaussian mixture -------------------------------------------------------------------------------------------
def test_one_component_is_the_closed_form():
    x = RingOfGaussians().sample(500, generator=generator()).double()
    model = GaussianMixture(1, ridge=0.0).fit(x)
    assert torch.allclose(model.means[0].double(), x.mean(0), atol=1e-5)
    assert torch.allclose(model.covariances[0].double(), torch.cov(x.T, correction=0), atol=1e-5)


def test_em_never_goes_down():
    x = Moons().sample(800, generator=generator())
    for seed in range(5):
        history = GaussianMixture(6, ridge=0.0).fit(x, steps=60, tolerance=-1.0, generator=generator(seed)).history
        assert len(history) == 61
        assert min(b - a for a, b in itertools.pairwise(history)) > -1e-6
        assert history[-1] > history[0] + 0.1


def test_history_ends_at_the_models_own_likelihood():
    x = Mixture1D().sample(500, generator=generator())
    for options in ({"steps": 3, "tolerance": 0.0}, {"steps": 500}):
        model = GaussianMixture(3).fit(x, generator=generator(), **options)
        assert -float(model.loss(x.double()).detach()) == pytest.approx(model.history[-1], abs=2e-4)


def test_of_several_starts_the_highest_is_kept():
    x = pixels()[:300]
    one_by_one, g = [], generator(2)
    for _ in range(3):
        one_by_one.append(GaussianMixture(10, ridge=1.0).fit(x, steps=15, generator=g).history[-1])
    best = GaussianMixture(10, ridge=1.0).fit(x, starts=3, steps=15, generator=generator(2))
    assert (
        max(one_by_one) > max(one_by_one[0], one_by_one[-1]) + 0.1
    )  # keeping the first or the last is not enough
    assert best.history[-1] == pytest.approx(max(one_by_one))
    assert -float(best.loss(x).detach()) == pytest.approx(max(one_by_one), abs=1e-2)


def test_ridge_is_added_to_the_diagonal():
    x = RingOfGaussians().sample(500, generator=generator())
    plain, ridged = GaussianMixture(1, ridge=0.0).fit(x), GaussianMixture(1, ridge=0.5).fit(x)
    assert torch.allclose(ridged.covariances - plain.covariances, 0.5 * torch.eye(2), atol=1e-4)


def test_responsibilities_by_hand():
    model = GaussianMixture(2).set_parameters(torch.tensor([0.25, 0.75]), column(0.0, 2.0), torch.ones(2, 1, 1))
    # at x = 1 the two Gaussians are equally high, so the weights alone decide
    assert model.responsibilities(column(1.0))[0].tolist() == pytest.approx([0.25, 0.75])
    odds = 0.25 / (0.75 * math.exp(-2))
    assert model.responsibilities(column(0.0))[0].tolist() == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])


def test_the_gradient_has_every_parameter_and_ends_where_em_ends():
    x = Mixture1D().sample(2000, generator=generator())
    em = GaussianMixture(3).fit(x, generator=generator(), tolerance=1e-9, steps=2000)
    model = GaussianMixture(3).initialise(x, generator=generator())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        model.loss(x).backward()
        assert all(p.grad is not None for p in model.parameters())
        optimiser.step()
    assert float(model.loss(x).detach()) == pytest.approx(-em.history[-1], abs=2e-3)


def test_collapse_on_a_constant_column_is_named():
    x = torch.cat([torch.randn(50, 1, generator=generator()), torch.ones(50, 1)], dim=1)
    with pytest.raises(ValueError, match=r"covariance of component 0 is singular.*ridge=0; raise it"):
        GaussianMixture(1, ridge=0.0).fit(x)
    assert math.isfinite(GaussianMixture(1, ridge=1e-3).fit(x).history[-1])


def test_mixture_refusals():
    with pytest.raises(ValueError, match="components must be at least 1"):
        GaussianMixture(0)
    with pytest.raises(TypeError, match="components must be a whole number"):
        GaussianMixture(2.5)
    with pytest.raises(ValueError, match="x holds 3 points for 4 components"):
        GaussianMixture(4).fit(column(0.0, 1.0, 2.0))
    with pytest.raises(ValueError, match=r"must be \(2,\), \(2, d\)"):
        GaussianMixture(2).set_parameters(torch.ones(3), torch.zeros(2, 1), torch.ones(2, 1, 1))
    with pytest.raises(ValueError, match="starts must be at least 1"):
        GaussianMixture(1).fit(column(0.0, 1.0), starts=0)


def test_setting_parameters_keeps_the_optimisers_tensors():
    model = GaussianMixture(2, dim=1)
    before = [id(p) for p in model.parameters()]
    model.set_parameters(torch.tensor([0.3, 0.7]), column(0.0, 2.0), torch.ones(2, 1, 1))
    assert [id(p) for p in model.parameters()] == before
    assert model.weights.tolist() == pytest.approx([0.3, 0.7])


def test_em_does_not_depend_on_where_the_data_lie():
    x = Mixture1D().sample(1000, generator=generator()).double()
    options = {"tolerance": 1e-7, "steps": 300}
    here = GaussianMixture(3, ridge=0.0).fit(x, generator=generator(), **options).history
    there = GaussianMixture(3, ridge=0.0).fit(1e6 + x, generator=generator(), **options).history
    assert here[-1] == pytest.approx(there[-1], abs=1e-5)
    assert min(b - a for history in (here, there) for a, b in itertools.pairwise(history)) > -1e-12


def test_what_float32_cannot_hold_is_named():
    x = 1e6 + 0.001 * torch.randn(200, 1, generator=generator(), dtype=torch.float64)
    with pytest.raises(ValueError, match="the data need centring"):
        GaussianMixture(1, ridge=0.0).fit(x)


@pytest.mark.parametrize(
    ("weights", "means", "covariance"),
    [([-0.5, 1.5], 0.0, 1.0), ([0.5, 0.5], math.nan, 1.0), ([0.5, 0.5], 0.0, math.inf)],
)
def test_parameters_that_cannot_be_are_refused(weights, means, covariance):
    with pytest.raises(ValueError, match="must be finite, and weights not negative"):
        GaussianMixture(2).set_parameters(
            torch.tensor(weights), torch.full((2, 1), means), torch.full((2, 1, 1), covariance)
        )


def test_a_model_of_one_dimension_is_not_refitted_to_another():
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\), got \(9, 3\)"):
        GaussianMixture(2, dim=2).fit(torch.randn(9, 3, generator=generator()))


# ---- categorical mixture ----------------------------------------------------------------------------------------
def pixels(split="train"):
    return digits.load(split).images.flatten(1)


def test_categorical_mixture_by_hand():
    x = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    model = CategoricalMixture(1, 2, smoothing=1.0).fit(x)
    assert model.tables.flatten().tolist() == pytest.approx([4 / 6, 2 / 6, 2 / 6, 4 / 6])
    assert model.weights.tolist() == [1.0]
    assert float(model.log_prob(torch.tensor([[1.0, 0.0]]))) == pytest.approx(2 * math.log(1 / 3))


def test_without_smoothing_the_unseen_is_impossible():
    x = torch.tensor([[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    model = CategoricalMixture(1, 3, smoothing=0.0).fit(x)
    assert model.log_prob(torch.tensor([[2.0, 0.0]])).item() == -math.inf
    assert float(model.log_prob(torch.tensor([[1.0, 0.0]]))) == pytest.approx(math.log(1 / 9))


def test_categorical_em_never_goes_down():
    for smoothing in (0.0, 0.3):
        model = CategoricalMixture(10, 17, smoothing=smoothing)
        history = model.fit(pixels()[:400], steps=30, tolerance=-1.0, generator=generator()).history
        assert len(history) == 30
        assert min(b - a for a, b in itertools.pairwise(history)) > -1e-9
        assert history[-1] > history[0] + 1


def test_the_books_floors_on_digits():
    """Independent pixels 106.3 and a mixture of ten 99.8 nats an image, the floors of the leaderboard."""
    one = CategoricalMixture(1, 17, smoothing=0.1).fit(pixels())
    ten = CategoricalMixture(10, 17).fit(pixels(), generator=generator())
    assert float(one.loss(pixels("test"))) == pytest.approx(106.3, abs=0.1)
    assert float(ten.loss(pixels("test"))) == pytest.approx(99.8, abs=0.8)


def test_many_columns_are_not_taken_for_impossible_ones():
    x = torch.randint(0, 16, (6, 200_000), generator=generator()).float()
    model = CategoricalMixture(2, 16).fit(x, steps=3, generator=generator())
    assert all(math.isfinite(v) for v in model.history)
    assert bool(torch.isfinite(model.log_prob(x)).all())


def test_categorical_refusals():
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 16, got 0\.5"):
        CategoricalMixture(1, 17).fit(torch.full((3, 2), 0.5))
    with pytest.raises(ValueError, match="whole numbers from 0 to 3, got 4"):
        CategoricalMixture(1, 4).fit(torch.full((3, 2), 4.0))
    with pytest.raises(ValueError, match="levels must be at least 2"):
        CategoricalMixture(1, 1)
    with pytest.raises(ValueError, match="3 points for 4 components"):
        CategoricalMixture(4, 2).fit(torch.zeros(3, 2))
