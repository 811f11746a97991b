"""Strings to copy, reverse or sort: rows by hand, a law that sums to 1, an entropy that is reached."""

import itertools
import math

import pytest
import torch

from genbook.data.string_tasks import StringTasks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rows_by_hand():
    tasks = StringTasks(4, 1, 3)
    string = torch.tensor([[2, 0, 1], [2, 0, 1], [2, 0, 1], [3, 1, 0]])
    rows = tasks.rows(torch.tensor([[4], [5], [6], [5]]), torch.tensor([[3], [3], [3], [2]]), string)
    assert rows.tolist() == [
        [4, 2, 0, 1, 7, 2, 0, 1],
        [5, 2, 0, 1, 7, 1, 0, 2],
        [6, 2, 0, 1, 7, 0, 1, 2],
        [5, 3, 1, 7, 1, 3, 8, 8],
    ]
    assert tasks.text(rows) == ["copy cab = cab", "reverse cab = bac", "sort cab = abc", "reverse db = bd"]
    assert tasks.lengths(rows).tolist() == [3, 3, 3, 2] and tasks.right(rows).all()


def test_the_law_adds_up_to_one_and_only_right_answers_have_a_share():
    tasks = StringTasks(2, 1, 2)
    everything = torch.tensor(list(itertools.product(range(7), repeat=6)))
    chances = tasks.log_prob(everything).exp()
    assert chances.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert int((chances > 0).sum()) == 3 * (2 + 4)
    drawn = tasks.sample(40_000, generator=seeded())
    assert tasks.right(drawn).all()
    seen, counts = drawn.unique(dim=0, return_counts=True)
    due = 40_000 * tasks.log_prob(seen).exp()
    assert (
        len(seen) == 18 and ((counts - due).square() / due).sum().item() < 40.8
    )  # 17 degrees of freedom, p = 0.001


def test_the_entropy_is_the_mean_of_minus_the_logarithm():
    tasks = StringTasks()
    found = -tasks.log_prob(tasks.sample(20_000, generator=seeded(1)))
    error = found.std() / math.sqrt(20_000)
    assert tasks.entropy() == pytest.approx(found.mean().item(), abs=4 * error.item())


def test_a_wrong_letter_is_seen():
    tasks = StringTasks()
    rows = tasks.sample(200, generator=seeded(2))
    last = tasks.lengths(rows) * 2 + 1
    wrong = rows.clone()
    one = torch.arange(200)
    wrong[one, last] = (wrong[one, last] + 1) % 16
    assert not tasks.right(wrong).any() and bool((tasks.log_prob(wrong) == -math.inf).all())
    cut = rows.clone()
    cut[one, last] = tasks.padding
    assert not tasks.right(cut).any()
    assert not tasks.right(rows.roll(1, 1)).any()


def test_equal_generators_give_equal_rows_within_bounds():
    tasks = StringTasks(5, 2, 7)
    rows = tasks.sample(3000, generator=seeded(3))
    assert torch.equal(rows, tasks.sample(3000, generator=seeded(3))) and rows.shape == (3000, 16)
    assert set(tasks.lengths(rows).tolist()) == set(range(2, 8)) and int(rows.max()) == tasks.padding
    assert set(rows[:, 0].tolist()) == {tasks.copy, tasks.reverse, tasks.sort}


def test_bad_input_is_refused():
    for options, message in (
        ((27,), "letters must be at most 26, got 27"),
        ((4, 5, 3), "longest must be"),
        ((1,), "letters"),
    ):
        with pytest.raises(ValueError, match=message):
            StringTasks(*options)
    with pytest.raises(ValueError, match="x must hold whole numbers from 0 to 20, got 21 to 21"):
        StringTasks().log_prob(torch.full((1, 26), 21))
