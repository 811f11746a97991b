"""Hidden Markov models against sums over every path, and EM against the likelihood that it must not lower."""

import itertools
import math

import pytest
import torch
from scipy import stats

from genbook.data import prose
from genbook.models.hmm import HiddenMarkov, backward, forward, improved


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*shape, seed=0):
    drawn = torch.rand(*shape, generator=generator(seed), dtype=torch.float64) + 0.05
    return drawn / drawn.sum(-1, keepdim=True)


def machine(states=3, vocabulary=4, seed=0):
    tables = rows(states, seed=seed), rows(states, states, seed=seed + 1), rows(states, vocabulary, seed=seed + 2)
    return HiddenMarkov(states, vocabulary).set_tables(*tables)


def joint(m, x):
    """log P(x, path) of one sequence `(T,)` for every path, in the order of itertools.product, step by step."""
    found = []
    for path in itertools.product(range(m.states), repeat=len(x)):
        total = m.start[path[0]] + m.emit[path[0], x[0]]
        for t in range(1, len(x)):
            total = total + m.move[path[t - 1], path[t]] + m.emit[path[t], x[t]]
        found.append(total)
    return torch.stack(found)


def draws(m, n=5, length=5, seed=7):
    return torch.randint(m.vocabulary, (n, length), generator=generator(seed))


SIZES = pytest.mark.parametrize("states", [1, 2, 3])


# ---- the law ----------------------------------------------------------------------------------------------------
@SIZES
@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_log_probability_sums_over_every_path(states, length):
    m = machine(states)
    x = draws(m, length=length)
    expected = torch.stack([joint(m, row).logsumexp(0) for row in x])
    assert torch.allclose(m.log_prob(x), expected, atol=1e-12)
    assert m.log_prob(x).shape == (5,) and m.log_prob(x).dtype == torch.float64


@SIZES
def test_forward_and_backward_are_sums_over_the_paths_of_one_side(states):
    m = machine(states)
    x = draws(m, n=1, length=4)
    emitted = m.emit.T[x]
    ahead, behind = forward(m.start, m.move, emitted)[0], backward(m.move, emitted)[0]
    paths = torch.tensor(list(itertools.product(range(states), repeat=4)))
    for t, state in itertools.product(range(4), range(states)):
        before = joint(m, x[0, : t + 1])
        here = torch.tensor(list(itertools.product(range(states), repeat=t + 1)))[:, -1] == state
        assert ahead[t, state].item() == pytest.approx(before[here].logsumexp(0).item(), abs=1e-12)
        through = joint(m, x[0])[paths[:, t] == state].logsumexp(0)
        assert (ahead + behind)[t, state].item() == pytest.approx(through.item(), abs=1e-12)


@SIZES
def test_the_posterior_is_the_share_of_the_paths_through_a_state(states):
    m = machine(states)
    x = draws(m)
    chances = m.posterior(x)
    paths = torch.tensor(list(itertools.product(range(states), repeat=5)))
    for row, found in zip(x, chances, strict=True):
        share = joint(m, row).softmax(0)
        for t, state in itertools.product(range(5), range(states)):
            assert found[t, state].item() == pytest.approx(share[paths[:, t] == state].sum().item(), abs=1e-12)


@SIZES
@pytest.mark.parametrize("length", [1, 5])
def test_viterbi_finds_the_likeliest_of_all_paths(states, length):
    m = machine(states)
    x = draws(m, n=30, length=length)
    paths = torch.tensor(list(itertools.product(range(states), repeat=length)))
    found, value = m.viterbi(x)
    assert found.shape == x.shape and found.dtype == torch.int64
    for row, path, score in zip(x, found, value, strict=True):
        every = joint(m, row)
        assert torch.equal(path, paths[every.argmax()])
        assert score.item() == pytest.approx(every.max().item(), abs=1e-12)


def test_the_likeliest_path_is_not_the_string_of_likeliest_states():
    """Stay with 0.8, emit one's own token with 0.6; seen 0 0 1 1. Rabiner's stumble, all 16 paths enumerated."""
    m = HiddenMarkov(2, 2).set_tables(
        torch.tensor([0.5, 0.5]), torch.tensor([[0.8, 0.2], [0.2, 0.8]]), torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    )
    x = torch.tensor([[0, 0, 1, 1]])
    pointwise = m.posterior(x)[0, :, 0]
    assert pointwise.tolist() == pytest.approx([0.604, 0.566, 0.434, 0.396], abs=5e-4)
    string = tuple((pointwise < 0.5).long().tolist())
    assert string == (0, 0, 1, 1)
    path, value = m.viterbi(x)
    assert len(set(path[0].tolist())) == 1  # it stays in one state; the two constant paths tie
    shares = joint(m, x[0]).softmax(0)
    order = list(itertools.product(range(2), repeat=4))
    assert shares[order.index((0, 0, 0, 0))].item() == pytest.approx(0.239, abs=5e-4)
    assert shares[order.index(string)].item() == pytest.approx(0.134, abs=5e-4)
    assert (value - m.log_prob(x)).exp().item() == pytest.approx(shares.max().item(), abs=1e-12)


def test_long_sequences_do_not_underflow():
    m = machine()
    value = m.log_prob(draws(m, n=2, length=3000))
    assert bool(value.isfinite().all()) and float(value.max()) < -2000


def test_zeros_in_the_tables_stay_zeros():
    left_to_right = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    m = HiddenMarkov(2, 2).set_tables(torch.tensor([1.0, 0.0]), left_to_right, torch.eye(2))
    x = torch.tensor([[0, 0, 1], [0, 1, 0]])
    assert m.log_prob(x)[0].item() == pytest.approx(math.log(0.25)) and m.log_prob(x)[1] == -math.inf
    assert m.viterbi(x)[0][0].tolist() == [0, 0, 1]


@SIZES
def test_draws_follow_the_law(states):
    m, n = machine(states, 3), 20_000
    x = m.sample(n, length=3, generator=generator(5))
    every = torch.cartesian_prod(*[torch.arange(3)] * 3)
    counts = torch.bincount(x @ torch.tensor([9, 3, 1]), minlength=27)
    assert x.dtype == torch.int64
    assert stats.chisquare(counts, m.log_prob(every).exp() * n).pvalue > 1e-3


# ---- learning ---------------------------------------------------------------------------------------------------
def test_one_round_of_em_counts_expected_events():
    """The new tables from every path's share, added up one by one."""
    m, x = machine(2, 3), draws(machine(2, 3), n=4, length=4)
    begun, moved, met = torch.zeros(2), torch.zeros(2, 2), torch.zeros(2, 3)
    for row in x:
        for path, share in zip(itertools.product(range(2), repeat=4), joint(m, row).softmax(0), strict=True):
            begun[path[0]] += share
            for t in range(4):
                met[path[t], row[t]] += share
                if t:
                    moved[path[t - 1], path[t]] += share
    value, tables = improved(x, m.start[None], m.move[None], m.emit[None])
    assert value.item() == pytest.approx(m.log_prob(x).sum().item(), abs=1e-10)
    for ours, counts in zip(tables, (begun, moved, met), strict=True):
        assert torch.allclose(ours[0].exp(), (counts / counts.sum(-1, keepdim=True)).double(), atol=1e-5)


def test_em_never_lowers_the_likelihood_of_any_start():
    m = HiddenMarkov(3, 4).fit(draws(machine(), 20, 15), rounds=60, starts=6, tolerance=0, generator=generator(1))
    assert m.history.shape[1] == 6 and len(m.history) > 20
    assert float((m.history[1:] - m.history[:-1]).min()) > -1e-12
    assert float((m.history[-1] - m.history[0]).min()) > 0.01


def test_the_likeliest_start_is_kept_with_the_tables_of_the_last_round():
    x = draws(machine(), 20, 15)
    m = HiddenMarkov(3, 4).fit(x, rounds=30, starts=5, generator=generator(1))
    assert m.history[-1].std() > 0  # the starts differ
    assert m.log_prob(x).sum().item() / x.numel() == pytest.approx(m.history[-1].max().item(), abs=1e-12)


def test_learning_ends_when_no_start_gains():
    x = draws(machine(), 20, 15)
    few = HiddenMarkov(3, 4).fit(x, rounds=400, starts=3, tolerance=1e-3, generator=generator(1))
    assert 3 < len(few.history) < 400
    gains = few.history[1:] - few.history[:-1]
    assert float(gains[-1].max()) < 1e-3 <= float(gains[-2].max())
    assert len(HiddenMarkov(3, 4).fit(x, rounds=7, tolerance=0).history) == 7


def test_starts_learn_side_by_side_as_they_would_alone():
    x = draws(machine(), 8, 9)
    tables = rows(3, 2, seed=1), rows(3, 2, 2, seed=2), rows(3, 2, 4, seed=3)
    together = improved(x, *(t.log() for t in tables))
    for i in range(3):
        alone = improved(x, *(t[i : i + 1].log() for t in tables))
        assert together[0][i].item() == pytest.approx(alone[0].item(), abs=1e-10)
        for ours, theirs in zip(together[1], alone[1], strict=True):
            assert torch.allclose(ours[i], theirs[0], atol=1e-12)


def test_learning_finds_the_machine_that_made_the_data():
    stay, own = torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[0.7, 0.25, 0.05], [0.1, 0.2, 0.7]])
    truth = HiddenMarkov(2, 3).set_tables(torch.tensor([0.6, 0.4]), stay, own)
    x = truth.sample(300, length=50, generator=generator(0))
    m = HiddenMarkov(2, 3).fit(x, rounds=200, starts=3, generator=generator(1))
    order = [0, 1] if m.emit[0, 0] > m.emit[1, 0] else [1, 0]
    assert torch.allclose(m.move.exp()[order][:, order], stay.double(), atol=0.03)
    assert torch.allclose(m.emit.exp()[order], own.double(), atol=0.03)
    fresh = truth.sample(300, length=50, generator=generator(2))
    assert (truth.log_prob(fresh) - m.log_prob(fresh)).mean() < 0.05


def test_a_state_that_is_never_left_keeps_its_row():
    x = torch.tensor([[0, 1]])
    start, move, emit = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]), torch.eye(2)[None]
    _, (_, moved, met) = improved(x, *(t.double().log() for t in (start, move, emit)))
    assert moved[0].exp().tolist() == [[0, 1], [0.5, 0.5]] and not bool(met.isnan().any())


def test_two_states_discover_vowels():
    """Letters of the prose alone: one state takes a, e, i, o, u, the other the consonants; y is left out."""
    letters = [ord(c) - 97 for c in prose.split()[0].lower() if "a" <= c <= "z"][:5000]
    x = torch.tensor(letters).view(250, 20)
    for seed in range(5):
        m = HiddenMarkov(2, 26).fit(x, rounds=60, starts=12, generator=generator(seed))
        first = {chr(97 + i) for i in range(26) if m.emit[0, i] > m.emit[1, i]}
        right = sum((c in first) == (c in "aeiou") for c in "abcdefghijklmnopqrstuvwxz")
        assert max(right, 25 - right) >= 0.9 * 25, seed


# ---- bad input --------------------------------------------------------------------------------------------------
def test_bad_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="states must be at least 1, got 0"):
        HiddenMarkov(0, 3)
    with pytest.raises(ValueError, match="vocabulary must be at least 2, got 1"):
        HiddenMarkov(2, 1)
    good = rows(2), rows(2, 2), rows(2, 3)
    m = HiddenMarkov(2, 3)
    with pytest.raises(ValueError, match=r"move must have shape \(2, 2\), got \(2, 3\)"):
        m.set_tables(good[0], good[2], good[2])
    with pytest.raises(ValueError, match="emit must hold probabilities whose rows sum to 1"):
        m.set_tables(good[0], good[1], 2 * good[2])
    with pytest.raises(ValueError, match="start must hold probabilities"):
        m.set_tables(torch.tensor([1.5, -0.5]), *good[1:])
    x = torch.zeros(2, 3, dtype=torch.int64)
    for option in ("rounds", "starts"):
        with pytest.raises(ValueError, match=f"{option} must be at least 1, got 0"):
            m.fit(x, **{option: 0})
    with pytest.raises(ValueError, match="tolerance must be a finite number ≥ 0"):
        m.fit(x, tolerance=-1)


def test_bad_tokens_and_asking_too_early_are_refused():
    m, x = HiddenMarkov(2, 3), torch.zeros(2, 3, dtype=torch.int64)
    for call in (m.log_prob, m.posterior, m.viterbi):
        with pytest.raises(RuntimeError, match="this HiddenMarkov has no tables yet: call fit or set_tables"):
            call(x)
    with pytest.raises(RuntimeError, match="has no tables yet"):
        m.sample(1)
    m.fit(x)
    assert m.sample(1).shape == (1, 3)
    for call in (m.fit, m.log_prob, m.posterior, m.viterbi):
        with pytest.raises(TypeError, match=r"x must be an int64 tensor, got a torch\.float32 tensor"):
            call(x.float())
        with pytest.raises(ValueError, match="x must hold whole numbers from 0 to 2, got 0 to 3"):
            call(torch.tensor([[0, 3]]))
        with pytest.raises(ValueError, match="x is empty"):
            call(x[:, :0])
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        m.sample(1, length=0)
