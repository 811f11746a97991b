"""Rules for the next token against laws worked out by hand, and the loop against a chain whose law is a table."""

import itertools
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from genbook.samplers.tokens import generate, min_p, nucleus, temperature, top_k

#: The probabilities that the rules are worked out for by hand, not in order.
LAW = torch.tensor([0.15, 0.4, 0.0, 0.3, 0.1, 0.05], dtype=torch.float64)
LOGITS = LAW.log() + 1.7  # not normalised
#: A table of two tokens before and one after, none of them impossible.
TABLE = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25]], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def law(logits):
    return logits.softmax(-1)


def kept(logits):
    return (logits > -math.inf).nonzero()[:, 0].tolist()


# ---- each rule --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [0.5, 1.0, 3.0])
def test_temperature_is_a_power_of_the_probabilities(value):
    powers = LAW ** (1 / value)
    torch.testing.assert_close(law(temperature(LOGITS, value)), powers / powers.sum())


def test_temperature_makes_half_of_it_twice_the_difference():
    assert temperature(torch.tensor([3.0, 1.0, -math.inf]), 0.5).tolist() == [0.0, -4.0, -math.inf]


def test_temperature_near_and_at_its_ends():
    assert law(temperature(LOGITS, 1e-300)).tolist() == law(temperature(LOGITS, 0)).tolist() == [0, 1, 0, 0, 0, 0]
    assert law(temperature(torch.tensor([2.0, 5.0, 5.0]), 0.0)).tolist() == [0, 0.5, 0.5]
    assert law(temperature(torch.tensor([60_000.0, 0.0]).half(), 1e-3)).tolist() == [1, 0]
    flat = law(temperature(LOGITS, 1e9))
    assert flat[2] == 0 and torch.allclose(flat[LAW > 0], torch.tensor(0.2, dtype=torch.float64))


@pytest.mark.parametrize(
    ("k", "left"), [(1, [1]), (2, [1, 3]), (3, [0, 1, 3]), (5, [0, 1, 3, 4, 5]), (6, [0, 1, 3, 4, 5])]
)
def test_top_k_keeps_the_likeliest(k, left):
    found = top_k(LOGITS, k)
    assert kept(found) == left
    assert torch.equal(found[left], LOGITS[left])  # what stays is not touched
    assert torch.equal(top_k(LOGITS, 100), LOGITS)


def test_top_k_keeps_all_that_are_equal_to_the_last():
    assert kept(top_k(torch.tensor([1.0, 3.0, 2.0, 2.0, 0.0]), 2)) == [1, 2, 3]
    assert kept(top_k(torch.zeros(4), 1)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("p", "left"),
    [(1e-9, [1]), (0.39, [1]), (0.41, [1, 3]), (0.69, [1, 3]), (0.71, [0, 1, 3]), (0.9, [0, 1, 3, 4]),
     (0.96, [0, 1, 3, 4, 5]), (1, [0, 1, 3, 4, 5])],
)  # fmt: skip
def test_nucleus_keeps_the_fewest_that_have_p(p, left):
    """In order: 0.4, 0.7, 0.85, 0.95, 1. (0.9 is passed by the fourth.)"""
    found = nucleus(LOGITS, p)
    assert kept(found) == left
    assert torch.equal(found[left], LOGITS[left])


def test_nucleus_stops_where_p_is_reached_and_of_equals_the_first_stay():
    halves = torch.tensor([-math.inf, 0.0, 0.0, -math.inf])
    assert kept(nucleus(halves, 0.5)) == [1] and kept(nucleus(halves, 0.51)) == [1, 2]
    assert kept(nucleus(torch.zeros(100), 0.105)) == list(range(11))
    tiny = torch.cat([torch.zeros(1), torch.full((5000,), -20.0)])
    assert torch.equal(nucleus(tiny, 1), tiny) and torch.equal(nucleus(tiny, 1.0), tiny)


@pytest.mark.parametrize(
    ("p", "left"),
    [(0.0, [0, 1, 3, 4, 5]), (0.12, [0, 1, 3, 4, 5]), (0.13, [0, 1, 3, 4]), (0.26, [0, 1, 3]), (0.38, [1, 3]),
     (0.76, [1]), (1, [1])],
)  # fmt: skip
def test_min_p_keeps_what_has_a_share_of_the_likeliest(p, left):
    """Over 0.4 the shares are 0.375, 1, 0, 0.75, 0.25, 0.125."""
    found = min_p(LOGITS, p)
    assert kept(found) == left
    assert torch.equal(found[left], LOGITS[left])


def test_min_p_of_one_keeps_all_that_are_likeliest():
    assert kept(min_p(torch.tensor([2.0, 2.0, 1.9]), 1.0)) == [0, 1]


RULES = [
    partial(temperature, value=0.7),
    partial(temperature, value=0),
    partial(top_k, k=2),
    partial(nucleus, p=0.6),
    partial(min_p, p=0.4),
]


@pytest.mark.parametrize("rule", RULES, ids=["temperature", "argmax", "top_k", "nucleus", "min_p"])
def test_each_row_has_its_own_law_and_the_logits_given_stay(rule):
    logits = torch.randn(4, 3, 7, generator=generator())
    before = logits.clone()
    found = rule(logits)
    assert found.shape == (4, 3, 7) and found.dtype == torch.float32 and torch.equal(logits, before)
    for i, j in itertools.product(range(4), range(3)):
        torch.testing.assert_close(found[i, j], rule(logits[i, j]))
    assert torch.equal(found.argmax(-1), logits.argmax(-1))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=8), st.floats(0.01, 0.99), st.integers(1, 9))
def test_what_is_kept_is_likelier_than_what_is_not(levels, p, k):
    logits = torch.tensor(levels, dtype=torch.float64)
    for rule in (partial(top_k, k=k), partial(nucleus, p=p), partial(min_p, p=p)):
        found = rule(logits)
        removed = found == -math.inf
        assert not removed.all() and torch.equal(found[~removed], logits[~removed])
        if removed.any():
            assert logits[~removed].min() >= logits[removed].max()
    probabilities, stays = law(logits), nucleus(logits, p) > -math.inf
    assert probabilities[stays].sum() >= p - 1e-12
    assert probabilities[stays].sum() - probabilities[stays].min() < p + 1e-12


def test_the_order_of_rules_matters():
    hot = partial(temperature, value=5.0)
    assert len(kept(nucleus(hot(LOGITS), 0.6))) == 3 and len(kept(hot(nucleus(LOGITS, 0.6)))) == 2
    assert len(kept(min_p(hot(LOGITS), 0.5))) == 5 and len(kept(hot(min_p(LOGITS, 0.5)))) == 2
    assert kept(top_k(hot(LOGITS), 3)) == kept(hot(top_k(LOGITS, 3)))
    assert kept(nucleus(top_k(LOGITS, 2), 0.56)) == [1]  # of 4/7 and 3/7; alone it keeps two


# ---- the loop ---------------------------------------------------------------------------------------------------
class Chain:
    """A Markov chain with a memory of all that it was told."""

    def __init__(self, table=TABLE):
        self.table, self.told = table, []

    def __call__(self, tokens):
        self.told.append(tokens.clone())
        return self.table[tokens[:, -1]].log()


def test_draws_follow_the_chain():
    n, start = 30_000, torch.tensor([[2, 1]])
    drawn = generate(Chain(), start.expand(n, -1), 3, generator=generator())
    assert drawn.shape == (n, 3) and drawn.dtype == torch.int64
    due = [n * float(TABLE[1, a] * TABLE[a, b] * TABLE[b, c]) for a, b, c in itertools.product(range(3), repeat=3)]
    seen = (drawn @ torch.tensor([9, 3, 1])).bincount(minlength=27)
    assert stats.chisquare(seen.numpy(), due).pvalue > 1e-3


def test_each_prompt_is_gone_on_from():
    starts = torch.arange(3).repeat(10_000)[:, None]
    drawn = generate(Chain(), starts, 1, generator=generator(1))
    for start in range(3):
        seen = drawn[starts[:, 0] == start, 0].bincount(minlength=3)
        assert stats.chisquare(seen.numpy(), (10_000 * TABLE[start]).numpy()).pvalue > 1e-3


def test_the_step_is_told_every_token_once():
    chain, prompt = Chain(), torch.tensor([[0, 1, 2], [2, 2, 0]])
    drawn = generate(chain, prompt, 4, generator=generator())
    assert torch.equal(chain.told[0], prompt)
    assert [told.shape for told in chain.told] == [(2, 3), (2, 1), (2, 1), (2, 1)]
    assert torch.equal(torch.cat(chain.told[1:], 1), drawn[:, :-1])  # what comes last is told to nobody
    assert torch.equal(prompt, torch.tensor([[0, 1, 2], [2, 2, 0]]))


def test_rules_hold_in_their_order():
    prompt = torch.zeros(20_000, 1, dtype=torch.int64)
    order = []

    def halve(logits):
        order.append("halve")
        return temperature(logits, 0.5)

    def two(logits):
        order.append("two")
        return top_k(logits, 2)

    drawn = generate(Chain(), prompt, 1, rules=[halve, two], generator=generator())
    assert order == ["halve", "two"]
    shares = drawn[:, 0].bincount(minlength=3) / 20_000
    assert shares[2] == 0 and float(shares[0]) == pytest.approx(0.49 / 0.53, abs=0.01)
    best = generate(Chain(), torch.tensor([[0], [1]]), 5, rules=(partial(temperature, value=0),))
    assert best.tolist() == [[0, 0, 0, 0, 0], [2, 0, 0, 0, 0]]


def test_equal_generators_give_equal_text_and_it_carries_no_gradient():
    weight = torch.ones(1, requires_grad=True)

    def step(tokens):
        return weight * TABLE[tokens[:, -1]].log()

    prompt = torch.zeros(5, 1, dtype=torch.int64)
    first, again, other = (generate(step, prompt, 40, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len({tuple(row) for row in first.tolist()}) == 5  # rows are drawn apart


def test_a_prompt_may_be_empty_and_logits_may_be_of_half_precision():
    drawn = generate(lambda tokens: torch.tensor([[0.0, -math.inf]]).half().expand(3, -1),
                     torch.zeros(3, 0, dtype=torch.int64), 2)  # fmt: skip
    assert drawn.tolist() == [[0, 0]] * 3
    n, halves = 2_000_000, torch.tensor([0.0, -0.45703125], dtype=torch.bfloat16)
    drawn = generate(
        lambda tokens: halves.expand(n, -1), torch.zeros(n, 1, dtype=torch.int64), 1, generator=generator()
    )
    due = 1 / (1 + math.exp(0.45703125))  # 0.3877; drawn in the 16 bits of the logits it would be 0.3854
    assert float(drawn.double().mean()) == pytest.approx(due, abs=0.0012)  # 3.5 standard errors


# ---- bad input --------------------------------------------------------------------------------------------------
ONE = torch.zeros(1, 1, dtype=torch.int64)


def constant(*logits):
    return lambda tokens: torch.tensor([logits])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: temperature(LOGITS, -0.1), ValueError, r"value must be a finite number ≥ 0, got -0\.1"),
        (lambda: temperature(LOGITS, math.inf), ValueError, "value must be a finite number ≥ 0, got inf"),
        (lambda: top_k(LOGITS, 0), ValueError, "k must be at least 1, got 0"),
        (lambda: top_k(LOGITS, 2.0), TypeError, r"k must be a whole number, got 2\.0"),
        (lambda: nucleus(LOGITS, 0.0), ValueError, r"p must be a finite number > 0, got 0\.0"),
        (lambda: nucleus(LOGITS, 1.1), ValueError, r"p must be at most 1, got 1\.1"),
        (lambda: min_p(LOGITS, -0.1), ValueError, r"p must be a finite number ≥ 0, got -0\.1"),
        (lambda: min_p(LOGITS, 1.1), ValueError, r"p must be at most 1, got 1\.1"),
        (lambda: generate(Chain(), ONE[0], 1), ValueError, r"prompt must have shape \(n, T\), got \(1,\)"),
        (lambda: generate(Chain(), ONE.float(), 1), TypeError, "prompt must be an int64 tensor"),
        (lambda: generate(Chain(), ONE, 0), ValueError, "length must be at least 1, got 0"),
        (lambda: generate(lambda t: LOGITS, ONE, 1), ValueError, r"step must return logits \(1, V\), got \(6,\)"),
        (
            lambda: generate(lambda t: torch.zeros(2, 3), ONE, 1),
            ValueError,
            r"step must return logits \(1, V\), got \(2, 3\)",
        ),
        (lambda: generate(constant(0.0, math.nan), ONE, 1), ValueError, "the logits of token 0 are NaN"),
        (lambda: generate(constant(0.0, math.inf), ONE, 1), ValueError, "the logits of token 0 are NaN"),
        (lambda: generate(constant(-math.inf, -math.inf), ONE, 1), ValueError, "the logits of token 0 are NaN"),
        (
            lambda: generate(lambda t: torch.tensor([[-math.inf, -math.inf if int(t) else 0.0]]), ONE, 2),
            ValueError,
            "the logits of token 1 are NaN, .inf, or -inf for every token",
        ),
    ],
)
def test_bad_input_gives_one_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("rule", RULES)
def test_what_are_no_logits_is_refused(rule):
    with pytest.raises(TypeError, match=r"logits must be a floating-point tensor, got a torch\.int64 tensor"):
        rule(ONE)
    with pytest.raises(TypeError, match="logits must be a floating-point tensor, got list"):
        rule([0.0, 1.0])
    for shape in ((), (0,), (2, 0)):
        with pytest.raises(ValueError, match=r"logits must have shape \(…, V\) and not be empty, got \("):
            rule(torch.zeros(shape))
