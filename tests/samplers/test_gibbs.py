"""Block Gibbs sampling on a table of four visible and three hidden states, where every law is known."""

import pytest
import torch
from scipy import stats

from genbook.samplers.gibbs import block_gibbs

STATES = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
#: A hidden variable of three values, and the chance that it gives each of two visible bits of being 1.
HIDDEN = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
CHANCES = torch.tensor([[0.9, 0.8], [0.1, 0.6], [0.0, 0.3]], dtype=torch.float64)
#: The joint law p(v, h); rows are the visible states.
TABLE = HIDDEN * torch.where(STATES[:, None] == 1, CHANCES, 1 - CHANCES).prod(2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def cells(v):
    return (2 * v[:, 0] + v[:, 1]).long()


def draw_hidden(v, *, generator=None):
    return torch.multinomial(TABLE[cells(v)], 1, generator=generator)


def draw_visible(h, *, generator=None):
    return STATES[torch.multinomial(TABLE.T[h[:, 0]], 1, generator=generator)[:, 0]]


def run(start, steps, **options):
    return block_gibbs(draw_hidden, draw_visible, start, steps, **({"generator": generator(1)} | options))


def agree(v, law, n):
    counts = torch.bincount(cells(v), minlength=4).double()
    possible = law > 0
    assert counts[~possible].sum() == 0
    if possible.sum() == 1:
        return True
    return stats.chisquare(counts[possible].numpy(), (n * law[possible]).numpy()).pvalue > 1e-3


#: From visible state to visible state in one round: p(h | v), then p(v' | h).
ROUND = (TABLE / TABLE.sum(1, keepdim=True)) @ (TABLE / TABLE.sum(0)).T


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_exact_law_stays_as_it_is(steps):
    n, law = 40_000, TABLE.sum(1)
    start = STATES[torch.multinomial(law, n, replacement=True, generator=generator())]
    end = run(start, steps)
    assert agree(end, law, n)
    assert not torch.equal(end, start)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_chains_from_one_state_follow_the_powers_of_the_round(steps):
    n = 40_000
    for first in range(4):
        end = run(STATES[first].expand(n, -1), steps, generator=generator(first))
        assert agree(end, torch.matrix_power(ROUND, steps)[first], n)


def test_hidden_is_drawn_first_and_each_layer_once_a_round():
    calls = []

    def hidden(v, *, generator):
        calls.append(("hidden", v.tolist(), generator))
        return v + 10

    def visible(h, *, generator):
        calls.append(("visible", h.tolist(), generator))
        return h * 2

    source = generator()
    end = block_gibbs(hidden, visible, torch.tensor([[1.0]]), 2, generator=source)
    assert [call[:2] for call in calls] == [
        ("hidden", [[1]]),
        ("visible", [[11]]),
        ("hidden", [[22]]),
        ("visible", [[32]]),
    ]
    assert all(call[2] is source for call in calls)
    assert end.tolist() == [[64]]


def test_the_start_is_left_alone_and_no_rounds_return_a_copy():
    start = STATES.clone()
    end = run(start, 0)
    assert torch.equal(end, start) and end.data_ptr() != start.data_ptr()
    run(start, 3)
    run(start, 3, clamped=torch.tensor([True, False]))
    assert torch.equal(start, STATES)


@pytest.mark.parametrize("column", [0, 1])
def test_what_is_clamped_stays_and_the_rest_follows_its_conditional_law(column):
    n = 10_000
    clamped = torch.zeros(2, dtype=torch.bool)
    clamped[column] = True
    for value in (0.0, 1.0):
        law = TABLE.sum(1) * (STATES[:, column] == value)
        start = STATES[int(law.argmax())].expand(n, -1)
        end = run(start, 15, clamped=clamped)
        assert bool((end[:, column] == value).all())
        assert agree(end, law / law.sum(), n)


def test_each_chain_may_have_clamps_of_its_own():
    start = STATES.repeat(500, 1)
    clamped = torch.rand(start.shape, generator=generator(2)) < 0.5
    end = run(start, 20, clamped=clamped)
    assert torch.equal(end[clamped], start[clamped])
    assert not torch.equal(end[~clamped], start[~clamped])
    assert torch.equal(run(start, 20, clamped=torch.ones_like(clamped)), start)
    one = torch.tensor([True, False])
    assert torch.equal(run(start, 20, clamped=one), run(start, 20, clamped=one[None]))


def test_equal_generators_give_equal_chains_and_none_carries_a_gradient():
    start = STATES.repeat(50, 1).requires_grad_()
    first, again, other = (run(start, 5, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    weight = torch.ones(1, requires_grad=True)
    assert not block_gibbs(lambda v, generator: v * weight, lambda h, generator: h, start, 2).requires_grad


@pytest.mark.parametrize(
    "clamped",
    [
        torch.ones(2),
        torch.ones(3, dtype=torch.bool),
        torch.ones(3, 2, dtype=torch.bool),
        torch.ones(1, 4, 2, dtype=torch.bool),
        torch.ones(2, 2, dtype=torch.bool),
        torch.tensor(True),
    ],
    ids=lambda clamped: f"{clamped.dtype} {tuple(clamped.shape)}",
)
def test_bad_clamps_are_refused_by_name(clamped):
    with pytest.raises(ValueError, match=r"clamped must be bool of shape \(4, 2\) or \(2,\), got torch\.\w+ \("):
        run(STATES, 1, clamped=clamped)


def test_bad_steps_are_refused_by_name():
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        run(STATES, -1)
    with pytest.raises(TypeError, match=r"steps must be a whole number, got 1\.5"):
        run(STATES, 1.5)
