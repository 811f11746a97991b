"""Annealed importance sampling against partition functions that are known exactly."""

import math

import pytest
import torch

from genbook.data import digits
from genbook.evaluate.ais import ais, annealed_log_weights, log_mean_exp, reverse_ais
from genbook.models.rbm import RBM
from genbook.prob.exponential import GaussianUnits, Levels
from genbook.train import adamw, fit, warmup_cosine


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def machine(visible=4, hidden=5, size=1.0, seed=0, **options):
    m = RBM(visible, hidden, generator=generator(seed), **options)
    drawn = generator(seed)
    with torch.no_grad():
        for parameter in m.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=drawn))
    return m


KINDS = {
    "Binary": {"size": 2.0},
    "Levels": {"visible": 2, "units": Levels(3), "size": 1.5},
    "Gaussian": {"visible": 2, "units": GaussianUnits(offset=1.0, scale=3.0), "size": 0.7},
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


# ---- the parts --------------------------------------------------------------------------------------------------
def test_log_mean_exp_of_numbers_worked_out_by_hand():
    value, error = log_mean_exp(torch.tensor([1.0, 3.0, 5.0, 7.0]).double().log())
    assert value == pytest.approx(math.log(4))
    assert error == pytest.approx(math.sqrt(20 / 3) / 4 / 2)
    assert log_mean_exp(torch.full((5,), -2.5)) == (pytest.approx(-2.5), 0)


def test_log_mean_exp_of_weights_too_large_or_small_for_exp():
    for shift in (-2000.0, 2000.0):
        value, error = log_mean_exp(torch.tensor([1.0, 3.0, 5.0, 7.0]).double().log() + shift)
        assert value == pytest.approx(math.log(4) + shift)
        assert error == pytest.approx(math.sqrt(20 / 3) / 8)


def test_the_standard_error_is_the_spread_of_the_estimate():
    log_weights = 0.7 * torch.randn(3000, 200, generator=generator(), dtype=torch.float64)
    values, errors = torch.tensor([log_mean_exp(row) for row in log_weights]).T
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.08)


@pytest.mark.parametrize("bad", [torch.zeros(1), torch.zeros(0), torch.zeros(3, 2)], ids=lambda x: str(len(x)))
def test_bad_log_weights_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=r"log_weights must have shape \(c,\) with c ≥ 2, got \("):
        log_mean_exp(bad)


class Counting:
    """A law whose energy is β v², and whose transition adds 10 β: every step can be worked out by hand."""

    log: list = []

    def __init__(self, beta):
        self.beta = beta

    def free_energy(self, v):
        return self.beta * v.square().sum(1)

    def gibbs(self, v, steps, *, generator=None):
        self.log.append((self.beta, steps, generator))
        return v + 10 * self.beta


def test_log_weights_are_the_energies_lost_at_each_change_of_law():
    start, source = torch.tensor([[1.0], [2.0]]), generator()
    Counting.log.clear()
    log_weights = annealed_log_weights(Counting, start, torch.tensor([0.0, 0.5, 1.0]).double(), generator=source)
    # v₀ = 1: from β 0 to 0.5 it loses 0.5·1², then moves to 6, and from 0.5 to 1 it loses 0.5·6²
    assert log_weights.tolist() == [-0.5 * 1 - 0.5 * 36, -0.5 * 4 - 0.5 * 49]
    assert log_weights.dtype == torch.float64
    assert Counting.log[0] == (0.5, 1, source)
    assert start.tolist() == [[1], [2]]
    back = annealed_log_weights(Counting, start, torch.tensor([1.0, 0.25, 0.0]))
    assert back.tolist() == [0.75 * 1 + 0.25 * 3.5**2, 0.75 * 4 + 0.25 * 4.5**2]


@pytest.mark.parametrize("betas", [torch.tensor([1.0]), torch.zeros(2, 2), torch.tensor(0.5)])
def test_bad_betas_are_refused_by_name(betas):
    with pytest.raises(ValueError, match=r"betas must have shape \(k,\) with k ≥ 2, got \("):
        annealed_log_weights(Counting, torch.zeros(1, 1), betas)


def test_one_step_is_importance_sampling_from_independent_units():
    m = machine(size=1.0)
    start = m.units.draw(m.visible_bias.expand(50, -1), generator=generator(3)).detach()
    log_weights = -m.free_energy(start) + m.tempered(0.0, start_bias=m.visible_bias).free_energy(start)
    at_start = 5 * math.log(2) + m.units.log_normaliser(m.visible_bias).item()
    value, error = ais(m, chains=50, steps=1, generator=generator(3))
    expected, spread = log_mean_exp(log_weights.detach())
    assert value == pytest.approx(at_start + expected, abs=1e-5)
    assert error == pytest.approx(spread, rel=1e-4)


# ---- the estimates ----------------------------------------------------------------------------------------------
@every_kind
def test_independent_units_are_estimated_without_any_error(kind):
    m = machine(**kind)
    with torch.no_grad():
        m.weight.zero_(), m.hidden_bias.zero_()
    exact = m.log_partition().item()
    value, error = ais(m, chains=3, steps=4, generator=generator())
    assert value == pytest.approx(exact, abs=1e-5) and error < 1e-6
    samples = m.sample(3, steps=1, generator=generator())
    assert reverse_ais(m, samples, steps=4, generator=generator())[0] == pytest.approx(exact, abs=1e-5)


@every_kind
def test_forward_and_reverse_estimates_lie_within_three_standard_errors(kind):
    m = machine(**kind)
    exact = m.log_partition().item()
    for seed in range(6):
        value, error = ais(m, chains=200, steps=100, generator=generator(seed))
        assert abs(value - exact) < 3 * error < 0.5
        samples = m.sample(200, steps=300, generator=generator(seed + 50))
        value, error = reverse_ais(m, samples, steps=100, generator=generator(seed))
        assert abs(value - exact) < 3 * error < 0.5


@every_kind
def test_any_start_leads_to_the_same_value(kind):
    m = machine(**kind)
    exact, bias = m.log_partition().item(), torch.linspace(-0.5, 0.5, m.visible * m.units.width)
    samples = m.sample(300, steps=300, generator=generator(9))
    for estimate in (
        ais(m, chains=300, steps=150, start_bias=bias, generator=generator(1)),
        reverse_ais(m, samples, steps=150, start_bias=bias, generator=generator(1)),
    ):
        assert abs(estimate[0] - exact) < 3 * estimate[1] < 0.5
    first = ais(m, chains=10, steps=3, start_bias=bias, generator=generator(2))
    assert first != ais(m, chains=10, steps=3, generator=generator(2))


def test_the_two_directions_err_to_the_two_sides():
    """With few steps and chains both are far off on average: forward too low, reverse too high."""
    m = machine(size=2.0)
    exact = m.log_partition().item()
    samples = m.sample(400, steps=300, generator=generator(7))
    forward = [ais(m, chains=4, steps=5, generator=generator(seed))[0] for seed in range(100)]
    reverse = [
        reverse_ais(m, samples[4 * seed : 4 * seed + 4], steps=5, generator=generator(seed)) for seed in range(100)
    ]
    assert sum(forward) / 100 < exact - 0.05
    assert sum(value for value, _ in reverse) / 100 > exact + 0.05


def test_more_steps_make_the_weights_even():
    m = machine(size=1.5)
    errors = [ais(m, chains=300, steps=steps, generator=generator())[1] for steps in (3, 30, 300)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2] > 0


def test_equal_generators_give_equal_estimates_without_a_gradient():
    m = machine()
    before = torch.get_rng_state()
    first, again, other = (ais(m, chains=5, steps=5, generator=generator(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)
    assert all(isinstance(number, float) for number in first)


def test_bad_counts_are_refused_by_name():
    m = machine()
    with pytest.raises(ValueError, match="chains must be at least 2, got 1"):
        ais(m, chains=1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        ais(m, steps=0)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        reverse_ais(m, torch.zeros(3, 4), steps=0)
    with pytest.raises(ValueError, match=r"log_weights must have shape \(c,\) with c ≥ 2, got \(1,\)"):
        reverse_ais(m, torch.zeros(1, 4), steps=2)
    with pytest.raises(ValueError, match="x must hold zeros and ones"):
        reverse_ais(m, torch.full((3, 4), 0.5))


def test_machines_that_learnt_digits_are_estimated_within_a_tenth_of_a_nat_on_twenty_of_twenty_runs():
    """12 to 15 hidden units, where log Z can still be summed; the interval of ±3 standard errors covers it."""
    x = (digits.load("train").images.flatten(1) >= 8).float()
    for hidden in (12, 13, 14, 15):
        m = RBM(64, hidden, chains=100, generator=generator(hidden)).initialise(x, generator=generator(1))
        fit(m, x, steps=250, batch_size=100, learning_rate=0.02, optimizer=adamw(0.1, betas=(0.9, 0.99)),
            schedule=warmup_cosine(0.02), progress=False)  # fmt: skip
        exact = m.log_partition().item()
        for seed in range(5):
            value, error = ais(
                m, chains=200, steps=300, start_bias=m.units.bias(x), generator=generator(100 + seed)
            )
            assert abs(value - exact) < 0.1
            assert abs(value - exact) < 3 * error < 0.1
