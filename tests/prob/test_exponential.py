"""Layers of units against sums over every state, integrals, and frequencies counted by hand."""

import math

import pytest
import torch
from scipy import stats

from genbook.prob.exponential import Binary, GaussianUnits, Levels
from genbook.prob.quadrature import integrate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


#: A kind of unit, and every state of two columns of data.
DISCRETE = [
    pytest.param(Binary(), torch.cartesian_prod(torch.arange(2), torch.arange(2)).double(), id="Binary"),
    pytest.param(Levels(3), torch.cartesian_prod(torch.arange(3), torch.arange(3)).double(), id="Levels"),
]


def inputs(kind, rows=1):
    return torch.randn(rows, 2 * kind.width, generator=generator(3), dtype=torch.float64)


@pytest.mark.parametrize(("kind", "states"), DISCRETE)
def test_the_log_normaliser_sums_over_every_state(kind, states):
    v, s = kind.features(states), inputs(kind, 5)
    summed = (s @ v.T + kind.log_carrier(v)).logsumexp(1)
    assert torch.allclose(kind.log_normaliser(s), summed, atol=1e-12)


@pytest.mark.parametrize(("kind", "states"), DISCRETE)
def test_the_mean_is_the_mean_over_every_state_and_the_slope_of_the_log_normaliser(kind, states):
    v, s = kind.features(states), inputs(kind, 5).requires_grad_()
    (slope,) = torch.autograd.grad(kind.log_normaliser(s).sum(), s)
    assert torch.allclose(kind.mean(s), (s @ v.T).softmax(1) @ v, atol=1e-12)
    assert torch.allclose(kind.mean(s), slope, atol=1e-12)


@pytest.mark.parametrize(("kind", "states"), DISCRETE)
def test_draws_follow_the_law_of_every_state(kind, states):
    s, n = inputs(kind), 40_000
    draws = kind.draw(s.expand(n, -1), generator=generator())
    assert draws.shape == (n, s.shape[1]) and draws.dtype == torch.float64
    x = kind.values(draws)
    cell = (x[:, None] == states).all(2).double().argmax(1)
    assert torch.equal(states[cell], x)
    expected = n * (s @ kind.features(states).T).softmax(1)[0]
    assert stats.chisquare(torch.bincount(cell, minlength=len(states)).numpy(), expected.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("kind", "states"), DISCRETE)
def test_features_and_values_are_inverse(kind, states):
    v = kind.features(states)
    assert v.shape == (len(states), 2 * kind.width) and v.dtype == torch.float64
    assert torch.equal(kind.values(v), states)
    assert torch.equal(kind.features(states.float()), v.float())


def test_levels_are_groups_of_one_hot_features_column_by_column():
    v = Levels(3).features(torch.tensor([[2.0, 0.0], [1.0, 1.0]]))
    assert v.tolist() == [[0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 0]]
    assert Levels(3).values(v).tolist() == [[2, 0], [1, 1]]
    chances = Levels(3).mean(torch.tensor([[0.0, math.log(2), 0.0, 0.0, 0.0, math.log(8)]]))
    assert torch.allclose(chances, torch.tensor([[0.25, 0.5, 0.25, 0.1, 0.1, 0.8]]))


def test_biases_have_the_frequencies_with_half_an_example_of_each_kind_added():
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    assert torch.allclose(Binary().mean(Binary().bias(x)), torch.tensor([0.5 / 5, 3.5 / 5]))
    kind = Levels(3)
    chances = kind.mean(kind.bias(kind.features(x))[None])[0]
    assert torch.allclose(chances, torch.tensor([4.5, 0.5, 0.5, 1.5, 3.5, 0.5]) / 5.5)
    assert torch.isfinite(Binary().bias(torch.zeros(3, 2))).all()
    assert GaussianUnits().bias(torch.tensor([[1.0, 5.0], [2.0, 1.0]])).tolist() == [1.5, 3.0]


@pytest.mark.parametrize("units", [{}, {"offset": -3.0, "scale": 0.25}, {"offset": 1.0, "scale": 8.0}])
def test_gaussian_units_are_normalised_in_the_units_of_the_data(units):
    kind, s = GaussianUnits(**units), torch.tensor([[0.7]], dtype=torch.float64)
    middle = kind.offset + kind.scale * 0.7
    box = torch.tensor([[middle - 10 * kind.scale], [middle + 10 * kind.scale]], dtype=torch.float64)

    def density(x):
        v = kind.features(x)
        return (v @ s[0] + kind.log_carrier(v) - kind.log_normaliser(s)).exp()

    assert integrate(density, box, 4000) == pytest.approx(1, abs=1e-9)
    mean = integrate(lambda x: x[:, 0] * density(x), box, 4000)
    assert mean == pytest.approx(float(kind.values(kind.mean(s))), abs=1e-6)


def test_the_gaussian_log_normaliser_and_carrier_of_several_features():
    kind, v = GaussianUnits(scale=3.0), torch.tensor([[1.0, -2.0], [0.0, 0.5]])
    assert torch.allclose(kind.log_normaliser(v), torch.tensor([2.5, 0.125]) + math.log(2 * math.pi))
    assert torch.allclose(kind.log_carrier(v), torch.tensor([-2.5, -0.125]) - 2 * math.log(3))
    assert torch.equal(kind.mean(v), v)


def test_gaussian_draws_are_normal_about_their_input():
    s = torch.tensor([2.0, -1.0], dtype=torch.float64)
    draws = GaussianUnits().draw(s.expand(20_000, -1), generator=generator())
    assert draws.dtype == torch.float64
    for column, middle in zip(draws.T, s.tolist(), strict=True):
        assert stats.kstest(column.numpy(), stats.norm(middle, 1).cdf).pvalue > 1e-3
    assert abs(float(torch.corrcoef(draws.T)[0, 1])) < 0.03


def test_gaussian_features_are_counted_from_the_offset_in_units_of_the_scale():
    kind = GaussianUnits(offset=10, scale=4)
    x = torch.tensor([[10.0, 18.0]])
    assert kind.features(x).tolist() == [[0, 2]]
    assert torch.equal(kind.values(kind.features(x)), x)


@pytest.mark.parametrize("kind", [Binary(), Levels(4), GaussianUnits()], ids=lambda kind: type(kind).__name__)
def test_draws_follow_their_generator_and_leave_the_inputs_alone(kind):
    s = torch.randn(5, 8, generator=generator())
    kept, before = s.clone(), torch.get_rng_state()
    first, second = (kind.draw(s, generator=generator(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, kind.draw(s, generator=generator(2)))
    assert torch.equal(s, kept) and torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    drawn = kind.draw(s)
    torch.manual_seed(4)
    assert torch.equal(drawn, kind.draw(s))


def test_draws_of_chances_and_levels_carry_no_gradient():
    s = torch.zeros(3, 4, requires_grad=True)
    assert not Binary().draw(s).requires_grad
    assert not Levels(2).draw(s).requires_grad


def test_inputs_that_leave_no_doubt_are_safe():
    s = torch.tensor([[200.0, -200.0]])
    assert Binary().log_normaliser(s).item() == 200
    assert Levels(2).log_normaliser(s).item() == 200
    for kind in (Binary(), Levels(2)):
        assert torch.equal(kind.draw(s.expand(2000, -1), generator=generator()), torch.tensor([[1.0, 0]] * 2000))


@pytest.mark.parametrize(("bad", "shown"), [(2.0, "2"), (0.5, "0.5"), (-1.0, "-1"), (math.nan, "nan")])
def test_what_is_no_bit_is_refused_and_shown(bad, shown):
    with pytest.raises(ValueError, match=f"^x must hold zeros and ones, got {shown}$"):
        Binary().features(torch.tensor([[0.0, 1.0], [bad, 7.0]]))


@pytest.mark.parametrize(("bad", "shown"), [(3.0, "3"), (0.5, "0.5"), (-1.0, "-1"), (math.nan, "nan")])
def test_what_is_no_level_is_refused_and_shown(bad, shown):
    with pytest.raises(ValueError, match=f"^x must hold whole numbers from 0 to 2, got {shown}$"):
        Levels(3).features(torch.tensor([[0.0, 2.0], [bad, 7.0]]))


def test_bad_kinds_are_refused_by_name():
    with pytest.raises(ValueError, match="levels must be at least 2, got 1"):
        Levels(1)
    with pytest.raises(TypeError, match=r"levels must be a whole number, got 2\.5"):
        Levels(2.5)
    with pytest.raises(ValueError, match="offset must be finite, got inf"):
        GaussianUnits(offset=math.inf)
    for scale in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="scale must be a finite number > 0"):
            GaussianUnits(scale=scale)
