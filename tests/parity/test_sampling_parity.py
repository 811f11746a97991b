"""Our rules for the next token against those of `transformers`, alone and one after the other."""

from functools import partial

import pytest
import torch
import transformers

from genbook.samplers.tokens import generate, min_p, nucleus, temperature, top_k

if not transformers.is_torch_available():
    pytest.skip("this version of transformers needs a later version of torch", allow_module_level=True)

from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

#: Rows from nearly flat to nearly certain, and some with tokens that cannot come.
LOGITS = torch.randn(60, 97, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LOGITS *= torch.linspace(0.01, 12, 60)[:, None]
LOGITS[::4, 5:60] = -torch.inf


def same(ours, theirs, logits=LOGITS):
    """The same tokens stay, and those have the same law."""
    removed = theirs(None, logits.clone()) == -torch.inf
    assert torch.equal(ours(logits) == -torch.inf, removed)
    torch.testing.assert_close(ours(logits).softmax(-1), theirs(None, logits.clone()).softmax(-1))
    return removed


@pytest.mark.parametrize("value", [0.1, 0.7, 1.0, 2.5])
def test_temperature_is_theirs(value):
    same(partial(temperature, value=value), TemperatureLogitsWarper(value))


@pytest.mark.parametrize("k", [1, 5, 42, 96, 97, 500])
def test_top_k_is_theirs(k):
    removed = same(partial(top_k, k=k), TopKLogitsWarper(k))
    assert (removed[1::4].sum(1) == max(97 - k, 0)).all()
    rounded = LOGITS.round()  # many equal ones
    same(partial(top_k, k=k), TopKLogitsWarper(k), rounded)


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.9, 0.999])
def test_nucleus_is_theirs(p):
    removed = same(partial(nucleus, p=p), TopPLogitsWarper(p))
    assert 0 < removed[-1].sum() < 97 and removed[-1].sum() >= removed[1].sum()


def test_nucleus_of_all_is_theirs():
    """Their p = 1 removes what has no probability even in 64 bits; ours removes nothing."""
    same(partial(nucleus, p=1.0), TopPLogitsWarper(1.0), LOGITS[:20])


@pytest.mark.parametrize("p", [0.0, 0.02, 0.1, 0.5, 1.0])
def test_min_p_is_theirs(p):
    same(partial(min_p, p=p), MinPLogitsWarper(p))


def test_rules_one_after_the_other_are_theirs():
    ours = [
        partial(temperature, value=1.7),
        partial(top_k, k=40),
        partial(nucleus, p=0.8),
        partial(min_p, p=0.05),
    ]
    theirs = [TemperatureLogitsWarper(1.7), TopKLogitsWarper(40), TopPLogitsWarper(0.8), MinPLogitsWarper(0.05)]
    one, other = LOGITS, LOGITS.clone()
    for our_rule, their_rule in zip(ours, theirs, strict=True):
        one, other = our_rule(one), their_rule(None, other)
        torch.testing.assert_close(one.softmax(-1), other.softmax(-1))
    allowed = other > -torch.inf
    assert 1 < allowed.sum(1).double().mean() < 40
    prompt = torch.zeros(60, 1, dtype=torch.int64)
    for seed in range(20):
        drawn = generate(
            lambda tokens: LOGITS, prompt, 5, rules=ours, generator=torch.Generator().manual_seed(seed)
        )
        assert allowed.gather(1, drawn).all()
