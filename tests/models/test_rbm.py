"""Restricted Boltzmann machines against sums over every state, and learning rules written out by hand."""

import math
import os
import signal

import pytest
import torch
from scipy import stats
from torch.nn.functional import softplus

from genbook import train
from genbook.models.rbm import RBM
from genbook.prob.exponential import Binary, GaussianUnits, Levels
from genbook.prob.quadrature import integrate


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def machine(visible=3, hidden=4, size=0.8, seed=0, **options):
    """A machine in float64 with weights and biases of standard deviation `size`."""
    m = RBM(visible, hidden, generator=generator(seed), **options).double()
    drawn = generator(seed)
    with torch.no_grad():
        for parameter in m.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=drawn, dtype=torch.float64))
    return m


def bits(n):
    return torch.cartesian_prod(*[torch.arange(2)] * n).double().view(-1, n)


def states(m):
    """Every visible state in data units."""
    levels = 2 if isinstance(m.units, Binary) else m.units.width
    return torch.cartesian_prod(*[torch.arange(levels)] * m.visible).double().view(-1, m.visible)


def joint(m, v):
    """-E(v, h) for the features v and every hidden state, `(n, 2^hidden)`, term by term."""
    h = bits(m.hidden)
    alone = (v @ m.visible_bias + m.units.log_carrier(v))[:, None] + (h @ m.hidden_bias)[None]
    return alone + torch.einsum("ni,ij,kj->nk", v, m.weight, h)


def exact_law(m):
    return (-m.energy(states(m))).softmax(0).detach()


def agree(m, x, law):
    """Chi-square of `x`, in data units, against a law over `states(m)`."""
    cell = (x[:, None] == states(m)).all(2).double().argmax(1)
    assert torch.equal(states(m)[cell], x)
    counts, expected = torch.bincount(cell, minlength=len(law)).double(), len(x) * law
    enough = expected >= 5
    counts = torch.cat([counts[enough], counts[~enough].sum()[None]])
    expected = torch.cat([expected[enough], expected[~enough].sum()[None].clamp_min(1e-6)])
    return stats.chisquare(counts.numpy(), (expected * len(x) / expected.sum()).numpy()).pvalue > 1e-3


KINDS = {"Binary": {}, "Levels": {"visible": 2, "units": Levels(3)}}
discrete = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
KINDS_AND_GAUSSIAN = KINDS | {"Gaussian": {"visible": 2, "units": GaussianUnits(offset=1.0, scale=2.0)}}
every_kind = pytest.mark.parametrize("kind", KINDS_AND_GAUSSIAN.values(), ids=KINDS_AND_GAUSSIAN)


def examples(m, n=6, seed=5):
    """Data for a machine of any kind."""
    if isinstance(m.units, GaussianUnits):
        return 1 + 2 * torch.randn(n, m.visible, generator=generator(seed), dtype=torch.float64)
    return states(m)[torch.randint(len(states(m)), (n,), generator=generator(seed))]


# ---- the law ----------------------------------------------------------------------------------------------------
@every_kind
def test_the_free_energy_sums_the_joint_law_over_every_hidden_state(kind):
    m = machine(**kind)
    v = m.units.features(examples(m))
    assert torch.allclose(m.free_energy(v), -joint(m, v).logsumexp(1), atol=1e-12)
    assert torch.equal(m.energy(examples(m)), m.free_energy(v))


def test_the_free_energy_of_two_units_worked_out_by_hand():
    m = RBM(1, 1)
    with torch.no_grad():
        m.visible_bias.fill_(0.5), m.hidden_bias.fill_(-1.0), m.weight.fill_(2.0)
    expected = [-math.log(1 + math.exp(-1)), -0.5 - math.log(1 + math.exp(1))]
    assert m.energy(torch.tensor([[0.0], [1.0]])).tolist() == pytest.approx(expected, rel=1e-6)
    log_z = math.log(1 + math.exp(-1) + math.exp(0.5) + math.exp(0.5 - 1 + 2))
    assert m.log_partition().item() == pytest.approx(log_z, rel=1e-6)


@discrete
@pytest.mark.parametrize("hidden", [1, 4, 6])
def test_log_partition_is_the_sum_over_every_visible_state(kind, hidden):
    m = machine(hidden=hidden, **kind)
    log_z = m.log_partition()
    by_states = (-m.energy(states(m))).logsumexp(0)
    assert log_z.shape == ()
    assert torch.allclose(log_z, by_states, atol=1e-10)
    ours, theirs = (torch.autograd.grad(value, tuple(m.parameters())) for value in (log_z, by_states))
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(ours, theirs, strict=True))


def test_log_partition_of_more_states_than_fit_at_once():
    m = machine(3, 15)
    assert torch.allclose(m.log_partition(), (-m.energy(states(m))).logsumexp(0), atol=1e-10)


def test_log_partition_of_gaussian_units_is_the_integral_over_the_data():
    line = machine(1, 3, units=GaussianUnits(offset=1.0, scale=3.0))
    plane = machine(2, 2, units=GaussianUnits(offset=-1.0, scale=0.5))
    for m, points in ((line, 4000), (plane, 500)):
        reach = 9 * m.units.scale
        box = torch.tensor([[m.units.offset - reach] * m.visible, [m.units.offset + reach] * m.visible]).double()
        with torch.no_grad():
            total = integrate(lambda x, m=m: (-m.energy(x)).exp(), box, points)
        assert math.log(total) == pytest.approx(m.log_partition().item(), abs=1e-6)


def test_gaussian_units_make_a_mixture_with_a_component_for_each_hidden_state():
    m = machine(1, 2, units=GaussianUnits(offset=2.0, scale=0.7))
    h, x = bits(2), torch.linspace(-3, 6, 50, dtype=torch.float64)[:, None]
    means = m.visible_input(h)[:, 0]
    weights = (h @ m.hidden_bias + 0.5 * means.square()).softmax(0)
    density = torch.distributions.Normal(2 + 0.7 * means, 0.7).log_prob(x).exp() @ weights
    assert torch.allclose((-m.energy(x) - m.log_partition()).exp(), density, atol=1e-12)


@every_kind
def test_each_layer_given_the_other_follows_the_joint_law(kind):
    m = machine(**kind)
    v = m.units.features(examples(m))
    hidden = joint(m, v).softmax(1) @ bits(m.hidden)
    assert torch.allclose(torch.sigmoid(m.hidden_input(v)), hidden, atol=1e-12)
    if "Gaussian" not in type(m.units).__name__:
        every = m.units.features(states(m))
        visible = joint(m, every).softmax(0).T @ every
        assert torch.allclose(m.units.mean(m.visible_input(bits(m.hidden))), visible, atol=1e-12)
    else:  # E[v | h] where the joint law, as a function of v, is highest
        for h in bits(m.hidden)[::5]:
            v = m.visible_input(h[None]).detach().requires_grad_()
            exponent = (v @ m.visible_bias + m.units.log_carrier(v) + (v @ m.weight) @ h).sum()
            assert torch.allclose(torch.autograd.grad(exponent, v)[0], torch.zeros(1, 2).double(), atol=1e-12)


def test_energies_of_strong_machines_are_finite():
    m = machine(size=400.0)
    assert bool(m.energy(states(m)).isfinite().all()) and bool(m.log_partition().isfinite())


# ---- Gibbs sampling ---------------------------------------------------------------------------------------------
@discrete
@pytest.mark.parametrize("steps", [1, 4])
def test_gibbs_leaves_the_exact_law_as_it_is(kind, steps):
    m, n = machine(**kind), 20_000
    law = exact_law(m)
    start = m.units.features(states(m)[torch.multinomial(law, n, replacement=True, generator=generator())])
    end = m.gibbs(start, steps, generator=generator(1))
    assert agree(m, m.units.values(end), law)
    assert not torch.equal(end, start)


@discrete
def test_one_round_is_the_products_of_the_two_conditional_laws(kind):
    m, n = machine(**kind), 20_000
    v = m.units.features(states(m))
    up, down = joint(m, v).softmax(1), joint(m, v).softmax(0).T
    for first in (0, len(v) - 1):
        end = m.gibbs(v[first].expand(n, -1), 1, generator=generator(first))
        assert agree(m, m.units.values(end), (up @ down)[first].detach())


def test_gaussian_chains_find_the_law_of_the_data():
    m, n = machine(1, 2, units=GaussianUnits(offset=2.0, scale=0.7)), 5000
    x = m.sample(n, steps=60, generator=generator())
    grid = torch.linspace(-8, 12, 8001, dtype=torch.float64)
    mass = (-m.energy(grid[:, None]) - m.log_partition()).exp().detach()
    cumulative = torch.cumsum(mass, 0) * float(grid[1] - grid[0])

    def cdf(values):
        places = torch.searchsorted(grid, torch.as_tensor(values)).clamp_max(8000)
        return cumulative[places].clamp_max(1).numpy()

    assert stats.kstest(x[:, 0].numpy(), cdf).pvalue > 1e-3


@discrete
def test_samples_begin_at_independent_units_and_end_at_the_law(kind):
    m, n = machine(**kind), 20_000
    features = m.units.features(states(m))
    apart = (features @ m.visible_bias).softmax(0).detach()
    assert agree(m, m.sample(n, steps=0, generator=generator(1)), apart)
    ends = m.sample(n, steps=30, generator=generator(1))
    assert agree(m, ends, exact_law(m))
    assert not agree(m, ends, apart)
    assert not ends.requires_grad


def test_samples_take_a_thousand_rounds_unless_told():
    m, rounds = machine(), []
    plain = m.gibbs
    m.gibbs = lambda v, steps, **options: rounds.append(steps) or plain(v, 1, **options)
    m.sample(1), m.complete(states(m), torch.tensor([True, False, False])), m.loss(states(m))
    assert rounds == [1000, 100, 1]


@discrete
def test_the_unknown_part_follows_its_conditional_law(kind):
    m, n = machine(**kind), 20_000
    known = torch.zeros(m.visible, dtype=torch.bool)
    known[-1] = True
    for value in (0.0, 1.0):
        start = torch.zeros(n, m.visible, dtype=torch.float64)
        start[:, -1] = value
        end = m.complete(start, known, steps=30, generator=generator(2))
        law = exact_law(m) * (states(m)[:, -1] == value)
        assert bool((end[:, -1] == value).all())
        assert agree(m, end, law / law.sum())


def test_each_example_may_know_other_columns():
    m, x = machine(units=Levels(4)), torch.randint(4, (200, 3), generator=generator()).double()
    known = torch.rand(x.shape, generator=generator(1)) < 0.5
    end = m.complete(x, known, steps=3, generator=generator(2))
    assert torch.equal(end[known], x[known]) and not torch.equal(end[~known], x[~known])
    assert torch.equal(end, m.complete(x, known, steps=3, generator=generator(2)))


# ---- learning ---------------------------------------------------------------------------------------------------
@discrete
def test_with_exact_particles_the_gradient_is_that_of_the_exact_likelihood(kind):
    """The mean of the loss over particles of the machine's own law, against autograd through log Z."""
    m = machine(**kind)
    x, law = examples(m, 9), exact_law(m)
    every = m.units.features(states(m))
    surrogate = sum(p * m.loss(x, particles=v[None]) for p, v in zip(law, every, strict=True))
    exact = m.energy(x).mean() + (-m.energy(states(m))).logsumexp(0)
    ours = torch.autograd.grad(surrogate, tuple(m.parameters()))
    theirs = torch.autograd.grad(exact, tuple(m.parameters()))
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(ours, theirs, strict=True))


@every_kind
def test_the_gradient_is_the_rule_of_contrastive_divergence(kind):
    """Products of visible and hidden chances: those of the particles minus those of the data."""
    m = machine(**kind)
    v, particles = m.units.features(examples(m, 7)), m.units.features(examples(m, 4, seed=8))
    m.loss(examples(m, 7), particles=particles).backward()
    up, down = (torch.sigmoid(part @ m.weight + m.hidden_bias).detach() for part in (v, particles))
    assert torch.allclose(m.weight.grad, particles.T @ down / 4 - v.T @ up / 7, atol=1e-12)
    assert torch.allclose(m.visible_bias.grad, particles.mean(0) - v.mean(0), atol=1e-12)
    assert torch.allclose(m.hidden_bias.grad, down.mean(0) - up.mean(0), atol=1e-12)


@every_kind
def test_the_loss_is_the_difference_of_mean_free_energies(kind):
    m = machine(**kind)
    x, particles = examples(m, 7), m.units.features(examples(m, 4, seed=8)).requires_grad_()
    loss = m.loss(x, particles=particles)
    assert torch.allclose(loss, m.energy(x).mean() - m.free_energy(particles).mean(), atol=1e-12)
    loss.backward()
    assert particles.grad is None


@every_kind
@pytest.mark.parametrize("steps", [1, 3])
def test_without_chains_the_dream_begins_at_the_batch(kind, steps):
    m = machine(gibbs_steps=steps, **kind)
    x = examples(m, 7)
    dreamt = m.gibbs(m.units.features(x), steps, generator=generator(3))
    assert torch.equal(m.loss(x, generator=generator(3)), m.loss(x, particles=dreamt))
    assert m.particles.shape == (0, m.visible * m.units.width)


@every_kind
@pytest.mark.parametrize("steps", [1, 3])
def test_with_chains_the_dream_goes_on_where_it_was(kind, steps):
    m = machine(chains=5, gibbs_steps=steps, **kind)
    x, start, drawn, mirror = examples(m, 7), m.particles.clone(), generator(3), generator(3)
    for _ in range(3):
        start = m.gibbs(start, steps, generator=mirror)
        loss = m.loss(x, generator=drawn)
        assert torch.equal(m.particles, start)
        assert torch.equal(loss, m.loss(x, particles=start))
    m.loss(x, particles=start.flip(0))
    assert torch.equal(m.particles, start)  # particles that are given move no chain
    assert m.particles.shape == (5, m.visible * m.units.width) and not m.particles.requires_grad


def test_the_chains_are_saved_with_the_weights(tmp_path):
    m = machine(chains=4)
    m.loss(examples(m), generator=generator())
    assert [name for name, _ in m.named_buffers()] == ["particles"]
    train.save_weights(m, tmp_path / "weights.safetensors")
    other = train.load_weights(machine(chains=4, seed=9), tmp_path / "weights.safetensors")
    assert torch.equal(other.particles, m.particles)


def test_persistent_chains_go_on_from_a_checkpoint_as_if_there_had_been_no_break(tmp_path):
    x = examples(machine(), 200).float()
    options = {"batch_size": 20, "learning_rate": 0.05, "progress": False, "schedule": train.warmup_cosine()}
    whole, first, second = (RBM(3, 4, chains=10, generator=generator(seed)) for seed in (1, 1, 2))
    reference = train.fit(whole, x, steps=30, **options)
    plain, calls = first.loss, []

    def breaking(batch):
        calls.append(1)
        if len(calls) == 11:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(batch)

    first.loss = breaking
    assert train.fit(first, x, steps=30, checkpoint=tmp_path / "run", **options).steps == 11
    resumed = train.fit(second, x, steps=30, checkpoint=tmp_path / "run", **options)
    assert resumed.loss == reference.loss
    assert all(torch.equal(a, b) for a, b in zip(second.parameters(), whole.parameters(), strict=True))
    assert torch.equal(second.particles, whole.particles)
    assert float(whole.particles.mean()) not in (0.0, 1.0)


@pytest.mark.parametrize("chains", [0, 50])
def test_learning_finds_the_table_that_the_data_come_from(chains):
    table = torch.tensor([0.35, 0.03, 0.05, 0.1, 0.02, 0.1, 0.05, 0.3])
    x = bits(3).float()[torch.multinomial(table, 3000, replacement=True, generator=generator())]
    m = RBM(3, 6, chains=chains, gibbs_steps=2, generator=generator(1)).initialise(x, generator=generator(2))
    options = {"batch_size": 100, "learning_rate": 0.05, "schedule": train.warmup_cosine(0.02)}
    gaps = []
    for steps in (0, 500):
        if steps:
            train.fit(m, x, steps=steps, progress=False, **options)
        gaps.append(float(table @ (table.log() + m.energy(bits(3).float()) + m.log_partition()).detach()))
    assert gaps[0] > 0.2 and gaps[1] < 0.03


# ---- the start --------------------------------------------------------------------------------------------------
@every_kind
def test_initialise_sets_the_visible_biases_and_puts_the_chains_at_examples(kind):
    m = machine(chains=40, **kind)
    weight, hidden_bias = m.weight.clone(), m.hidden_bias.clone()
    x = examples(m, 30)
    assert m.initialise(x, generator=generator(4)) is m
    v = m.units.features(x)
    assert torch.equal(m.visible_bias, m.units.bias(v)) and m.visible_bias.requires_grad
    assert torch.equal(m.weight, weight) and torch.equal(m.hidden_bias, hidden_bias)
    assert bool((m.particles[:, None] == v).all(2).any(1).all())
    assert len(torch.unique(m.particles, dim=0)) > 3
    first = m.particles.clone()
    assert torch.equal(m.initialise(x, generator=generator(4)).particles, first)
    assert not torch.equal(m.initialise(x, generator=generator(5)).particles, first)


def test_initialise_without_chains_needs_no_generator():
    before = torch.get_rng_state()
    m = RBM(3, 2, generator=generator()).initialise(torch.ones(4, 3))
    assert m.visible_bias.tolist() == pytest.approx([math.log(4.5 / 0.5)] * 3)
    assert torch.equal(torch.get_rng_state(), before)


@every_kind
def test_a_fresh_machine_has_small_weights_no_biases_and_chains_of_its_kind(kind):
    kind = {"visible": 3} | kind
    visible = kind["visible"]
    m = RBM(visible, 200, chains=300, units=kind.get("units"), generator=generator())
    assert m.weight.shape == (visible * m.units.width, 200)
    assert m.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not m.visible_bias.any() and not m.hidden_bias.any()
    twin = RBM(visible, 200, chains=300, units=kind.get("units"), generator=generator())
    assert torch.equal(m.weight, twin.weight) and torch.equal(m.particles, twin.particles)
    assert torch.equal(m.units.features(m.units.values(m.particles)), m.particles) or "units" in kind
    middle = m.units.mean(torch.zeros(1, visible * m.units.width))[0]
    assert torch.allclose(m.particles.mean(0), middle, atol=0.2)
    assert bool((m.particles.std(0) > 0.3).all())


# ---- tempering --------------------------------------------------------------------------------------------------
@every_kind
def test_the_tempered_machine_has_its_weights_and_biases_multiplied(kind):
    m = machine(chains=3, **kind)
    v, start = m.units.features(examples(m)), torch.arange(float(m.visible * m.units.width)).double()
    for beta in (0.0, 0.3, 1.0):
        for bias in (None, start):
            expected = beta * (joint(m, v) - m.units.log_carrier(v)[:, None]) + m.units.log_carrier(v)[:, None]
            if bias is not None:
                expected = expected + (1 - beta) * (v @ bias)[:, None]
            cooled = m.tempered(beta, start_bias=bias)
            assert isinstance(cooled, RBM) and cooled.units is m.units
            assert torch.allclose(cooled.free_energy(v), -expected.logsumexp(1), atol=1e-12)


def test_tempered_binary_units_follow_the_power_of_the_law():
    m = machine()
    v = m.units.features(states(m))
    power = (0.4 * joint(m, v)).logsumexp(1).softmax(0)
    cooled = m.tempered(0.4)
    assert torch.allclose(exact_law(cooled), power.detach(), atol=1e-12)
    assert torch.allclose(cooled.log_partition(), (0.4 * joint(m, v)).flatten().logsumexp(0), atol=1e-12)


def test_the_tempered_machine_answers_and_shares_nothing():
    m = machine(chains=3, gibbs_steps=2)
    kept = {name: value.clone() for name, value in m.state_dict().items()}
    hot = m.tempered(0.5)
    assert (hot.visible, hot.hidden, hot.gibbs_steps) == (3, 4, 2) and len(hot.particles) == 0
    assert hot.sample(5, steps=2, generator=generator()).shape == (5, 3)
    with torch.no_grad():
        for parameter in hot.parameters():
            parameter.add_(1)
    m.tempered(1.0).weight.data.add_(1)
    assert all(torch.equal(value, kept[name]) for name, value in m.state_dict().items())


# ---- bad input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 4), {}, ValueError, "visible must be at least 1, got 0"),
        ((3, 0), {}, ValueError, "hidden must be at least 1, got 0"),
        ((3, 2.0), {}, TypeError, r"hidden must be a whole number, got 2\.0"),
        ((3, 4), {"chains": -1}, ValueError, "chains must be at least 0, got -1"),
        ((3, 4), {"gibbs_steps": 0}, ValueError, "gibbs_steps must be at least 1, got 0"),
    ],
)
def test_bad_sizes_are_refused_by_name(arguments, options, error, message):
    with pytest.raises(error, match=message):
        RBM(*arguments, **options)


@pytest.mark.parametrize("call", ["energy", "loss", "initialise", "complete"])
def test_bad_data_are_refused_by_name(call):
    m = RBM(3, 4)
    ask = getattr(m, call) if call != "complete" else lambda x: m.complete(x, torch.ones(3, dtype=torch.bool))
    for bad, error, message in (
        (torch.zeros(2, 3, dtype=torch.long), TypeError, "x must be a floating-point tensor"),
        (torch.zeros(2, 4), ValueError, r"x must have shape \(n, 3\), got \(2, 4\)"),
        (torch.zeros(0, 3), ValueError, "x is empty"),
        (torch.full((2, 3), 0.5), ValueError, r"x must hold zeros and ones, got 0\.5"),
        (torch.tensor([[0.0, 1.0, math.inf]]), ValueError, "x holds 1 values that are NaN or infinite"),
    ):
        with pytest.raises(error, match=message):
            ask(bad)


def test_bad_known_columns_are_refused_by_name():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"known must be bool of shape \(3,\), got torch.float32 \(3,\)"):
        RBM(3, 4).complete(x, torch.ones(3))
    with pytest.raises(ValueError, match=r"known must be bool of shape \(3,\), got torch.bool \(2,\)"):
        RBM(3, 4).complete(x, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"clamped must be bool of shape \(2, 3\) or \(3,\)"):
        RBM(3, 4).complete(x, torch.ones(5, 3, dtype=torch.bool))


def test_too_many_hidden_units_for_the_exact_sum_are_refused():
    message = r"hidden must be at most 20, got 21; genbook\.evaluate\.ais estimates it"
    with pytest.raises(ValueError, match=message):
        RBM(2, 21).log_partition()


def test_bad_temperatures_are_refused_by_name():
    for beta in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="beta must be a finite number ≥ 0"):
            RBM(2, 2).tempered(beta)


def test_the_free_energy_needs_one_pass_for_softplus_of_every_hidden_unit():
    m, v = machine(), bits(3)
    by_unit = sum(softplus(m.hidden_bias[j] + v @ m.weight[:, j]) for j in range(4))
    assert torch.allclose(m.free_energy(v), -(v @ m.visible_bias) - by_unit, atol=1e-12)
