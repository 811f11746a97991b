"""Samplers against laws that are known: exact tables, scipy's tests, and the failure each is prone to."""

import math

import pytest
import torch
from scipy import stats

from genbook.data.truths import Mixture1D
from genbook.prob.gaussian import log_normal
from genbook.samplers.ancestral import ancestral_mixture, categorical
from genbook.samplers.importance import effective_sample_size, importance, weighted_mean
from genbook.samplers.inverse_transform import inverse_transform
from genbook.samplers.metropolis import metropolis
from genbook.samplers.rejection import rejection


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def uniform_box(low, high):
    def propose(n, *, generator=None):
        return low + (high - low) * torch.rand(n, 1, generator=generator)

    return propose, lambda x: torch.full((len(x),), -math.log(high - low))


def test_categorical_follows_its_table_and_never_draws_a_zero():
    table = torch.tensor([0.0, 1.0, 3.0, 0.0, 4.0, 0.0])
    counts = torch.bincount(categorical(table, 40_000, generator=generator()), minlength=6)
    assert counts[[0, 3, 5]].tolist() == [0, 0, 0]
    assert stats.chisquare(counts[[1, 2, 4]].numpy(), [5000, 15000, 20000]).pvalue > 1e-3


@pytest.mark.parametrize("bad", [[0.0, 0.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_categorical_refuses_what_is_no_distribution(bad):
    with pytest.raises(ValueError, match="probabilities must be"):
        categorical(torch.tensor(bad), 1)


def test_ancestral_mixture_has_the_right_moments():
    weights, means = torch.tensor([0.25, 0.75]), torch.tensor([[0.0, 0.0], [40.0, -2.0]])
    scale_tril = torch.tensor([[[1.0, 0.0], [0.8, 0.6]], [[0.5, 0.0], [0.0, 2.0]]])
    x = ancestral_mixture(weights, means, scale_tril, 200_000, generator=generator())
    second = x[x[:, 0] > 20]
    assert len(second) / len(x) == pytest.approx(0.75, abs=0.01)
    assert torch.allclose(x.mean(0), weights @ means, atol=0.15)
    first = x[x[:, 0] < 20]
    assert float(torch.corrcoef(first.T)[0, 1]) == pytest.approx(0.8, abs=0.05)
    assert torch.allclose(second.std(0), torch.tensor([0.5, 2.0]), atol=0.02)


def test_inverse_transform_by_kolmogorov_smirnov():
    truth = Mixture1D()
    grid = torch.linspace(float(truth.bounds[0]), float(truth.bounds[1]), 4001, dtype=torch.float64)
    cumulative = truth.cdf(grid[:, None])
    cumulative = (cumulative - cumulative[0]) / (cumulative[-1] - cumulative[0])
    x = inverse_transform(grid, cumulative, 20_000, generator=generator())
    assert stats.kstest(x.numpy(), lambda v: truth.cdf(torch.as_tensor(v)[:, None]).numpy()).pvalue > 1e-3


def test_inverse_transform_skips_places_without_mass():
    grid, cumulative = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 0.5, 0.5, 1.0])
    x = inverse_transform(grid, cumulative, 5000, generator=generator())
    assert not bool(((x > 1) & (x < 2)).any())
    assert float((x < 1).float().mean()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("cumulative", [[0.0, 0.6, 0.5, 1.0], [0.1, 0.2, 0.5, 1.0], [0.0, 0.2, 0.5, 0.9]])
def test_inverse_transform_refuses_what_is_no_cumulative_function(cumulative):
    with pytest.raises(ValueError, match="cumulative must rise from 0 to 1"):
        inverse_transform(torch.arange(4.0), torch.tensor(cumulative), 1)


def test_rejection_is_exact_and_keeps_one_in_M():
    truth = Mixture1D()
    low, high = truth.bounds.flatten().tolist()
    propose, log_proposal = uniform_box(low, high)
    grid = torch.linspace(low, high, 5000)[:, None]
    log_bound = float((truth.log_prob(grid) - log_proposal(grid)).max()) + 1e-3
    x, kept = rejection(truth.log_prob, propose, log_proposal, log_bound, 20_000, generator=generator())
    assert x.shape == (20_000, 1)
    assert kept == pytest.approx(math.exp(-log_bound), rel=0.03)
    assert stats.kstest(x[:, 0].numpy(), lambda v: truth.cdf(torch.as_tensor(v)[:, None]).numpy()).pvalue > 1e-3


def test_rejection_notices_a_bound_that_does_not_hold_and_a_hopeless_proposal():
    propose, log_proposal = uniform_box(-1.0, 1.0)
    with pytest.raises(ValueError, match=r"log_bound=0 is too small"):
        rejection(lambda x: log_normal(x[:, 0], 0, 0.1), propose, log_proposal, 0.0, 10, generator=generator())
    with pytest.raises(RuntimeError, match="too unlike the target"):
        rejection(lambda x: torch.full((len(x),), -math.inf), propose, log_proposal, 0.0, 10, max_proposals=5000)


def test_importance_weighs_right_and_its_error_bar_is_honest():
    def target(x):  # unnormalised on purpose
        return log_normal(x[:, 0], 1.0, 0.5) + 7.0

    def propose(n, *, generator=None):
        return 2 * torch.randn(n, 1, generator=generator)

    hits, estimates, errors = 0, [], []
    for seed in range(60):
        x, log_weights = importance(
            target, propose, lambda x: log_normal(x[:, 0], 0.0, 2.0), 2000, generator=generator(seed)
        )
        mean, error = weighted_mean(x[:, 0], log_weights)
        estimates.append(mean)
        errors.append(error)
        hits += abs(mean - 1.0) < 2 * error
    assert hits >= 51  # 2 se hold the truth about 57 times of 60
    spread = torch.tensor(estimates).std()
    assert float(spread / torch.tensor(errors).mean()) == pytest.approx(1, abs=0.3)


def test_effective_sample_size_at_its_ends():
    assert effective_sample_size(torch.full((50,), -3.0)) == pytest.approx(50)
    assert effective_sample_size(torch.tensor([0.0, -80.0, -80.0])) == pytest.approx(1)


def test_metropolis_keeps_its_law():
    truth = Mixture1D()
    start = truth.sample(400, generator=generator(1))  # chains that start in the law must stay in it
    states, accepted = metropolis(truth.log_prob, start, 300, 1.0, generator=generator(2))
    assert states.shape == (300, 400, 1)
    assert 0.3 < accepted < 0.95
    cdf = lambda v: truth.cdf(torch.as_tensor(v)[:, None]).numpy()  # noqa: E731
    assert stats.kstest(states[-1, :, 0].numpy(), cdf).pvalue > 1e-3
    everything = states[::10].flatten().numpy()
    assert stats.kstest(everything, cdf).statistic < 0.02


def test_metropolis_repeats_the_state_when_it_rejects():
    states, accepted = metropolis(
        lambda x: torch.where(x[:, 0].abs() < 1, 0.0, -math.inf),
        torch.zeros(200, 1),
        400,
        3.0,
        generator=generator(),
    )
    repeats = (states[1:] == states[:-1]).float().mean()
    assert float(repeats) == pytest.approx(1 - accepted, abs=0.01)
    assert float(repeats) > 0.5
    assert bool((states.abs() < 1).all())
    assert stats.kstest(states[100::10].flatten().numpy(), stats.uniform(-1, 2).cdf).statistic < 0.02


def test_metropolis_refuses_a_start_without_density():
    with pytest.raises(ValueError, match="zero density"):
        metropolis(lambda x: torch.full((len(x),), -math.inf), torch.zeros(1, 1), 3, 1.0)
    with pytest.raises(ValueError, match=r"start must have shape"):
        metropolis(lambda x: x, torch.zeros(3), 3, 1.0)


def test_inverse_transform_spreads_draws_within_a_cell():
    grid, cumulative = torch.tensor([2.0, 4.0, 5.0]), torch.tensor([0.0, 0.5, 1.0])
    x = inverse_transform(grid, cumulative, 5000, generator=generator())
    law = stats.rv_histogram(([0.5, 0.5], [2.0, 4.0, 5.0]), density=False)
    assert stats.kstest(x.numpy(), law.cdf).pvalue > 1e-3


def test_inverse_transform_never_falls_off_the_end():
    grid, cumulative = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([0.0, 0.5, 1 - 9e-7, 1 - 9e-7]).double()
    x = inverse_transform(grid, cumulative, 3_000_000, generator=generator())
    assert float(x.min()) >= 0 and float(x.max()) <= 3


def test_models_with_gradients_can_be_sampled_without_a_graph():
    weight = torch.ones(1, requires_grad=True)

    def log_prob(x):
        return weight * log_normal(x[:, 0], 0.0, 1.0)

    states, _ = metropolis(log_prob, torch.zeros(5, 1), 10, 1.0, generator=generator())
    _, log_weights = importance(log_prob, lambda n, generator: torch.randn(n, 1), log_prob, 10)
    assert not states.requires_grad and not log_weights.requires_grad
    assert effective_sample_size(weight * torch.zeros(7)) == pytest.approx(7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: weighted_mean(torch.zeros(5, 1), torch.zeros(5)),
            r"values must have the shape of log_weights, \(5,\)",
        ),
        (lambda: weighted_mean(torch.zeros(5), torch.full((5,), -math.inf)), "at least one finite value"),
        (lambda: effective_sample_size(torch.tensor([0.0, math.nan])), "no NaN"),
        (lambda: metropolis(lambda x: x[:, 0], torch.zeros(2, 1), 0, 1.0), "steps must be at least 1"),
        (lambda: metropolis(lambda x: x[:, 0], torch.zeros(2, 1), 3, math.nan), "scale must be a finite number"),
        (lambda: rejection(None, None, None, math.nan, 5), "log_bound must be finite"),
        (lambda: rejection(None, None, None, 0.0, 0), "n must be at least 1"),
        (
            lambda: inverse_transform(torch.arange(3), torch.tensor([0.0, 0.5, 1.0]), 1),
            "grid and cumulative must be",
        ),
        (
            lambda: inverse_transform(torch.arange(4.0), torch.tensor([0.0, 0.5, 1.0]), 1),
            "grid and cumulative must be",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
