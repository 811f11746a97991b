"""The noise behind draws: its law, its shape, its generator; and the check of levels that guards what it draws."""

import math

import pytest
import torch

from genbook.checks import check_levels
from genbook.prob.noise import choose, gumbel_like, uniform_like


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_noise_takes_shape_and_type_and_follows_its_generator():
    x = torch.zeros(3, 4, dtype=torch.float64)
    for noise in (uniform_like, gumbel_like):
        drawn = noise(x, generator(1))
        assert drawn.shape == x.shape and drawn.dtype == x.dtype
        assert torch.equal(drawn, noise(x, generator(1))) and not torch.equal(drawn, noise(x, generator(2)))


def test_gumbel_noise_has_its_mean_and_variance():
    drawn = gumbel_like(torch.zeros(200_000, dtype=torch.float64), generator(3))
    error = math.pi / math.sqrt(6 * len(drawn))
    assert drawn.mean().item() == pytest.approx(0.5772156649, abs=4 * error)  # Euler's constant
    assert drawn.var().item() == pytest.approx(math.pi**2 / 6, rel=0.02)


def test_gumbel_noise_stays_finite_when_the_uniform_draw_is_nought(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape))
    assert gumbel_like(torch.zeros(3)).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_draws_rare_categories_as_often_as_they_are_due(dtype):
    n = 1_000_000
    x = torch.zeros(n, 2, dtype=dtype)
    assert gumbel_like(x).dtype == torch.float32
    x[:, 1] = -9.0
    rare, due = choose(x, generator=generator(8)).sum().item(), n / (1 + math.exp(9.0))
    assert abs(rare - due) < 4 * math.sqrt(due)


def test_a_category_of_no_probability_is_never_chosen():
    logits = torch.tensor([-math.inf, 0.0, -math.inf, 1.0]).expand(10_000, -1)
    assert set(choose(logits, generator=generator(9)).tolist()) == {1, 3}


def test_the_largest_noisy_logit_is_a_draw_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, -1.0, 2.5])
    n = 40_000
    chosen = choose(logits.expand(n, -1), generator=generator(5)).bincount(minlength=4)
    assert choose(logits.expand(n, -1).T, 0, generator=generator(5)).shape == (n,)
    due = n * logits.softmax(0)
    assert ((chosen - due).square() / due).sum().item() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize("bad", [-1.0, 3.0, 0.5, math.nan, math.inf])
def test_levels_are_whole_numbers_from_nought(bad):
    x = torch.tensor([[0.0, 2.0], [1.0, 2.0]])
    assert check_levels(x, 3) is x
    x[1, 0] = bad
    with pytest.raises(ValueError, match="pixels must hold whole numbers from 0 to 2, got "):
        check_levels(x, 3, name="pixels")
