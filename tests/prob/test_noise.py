"""The noise behind draws: its law, its shape, its generator; and the check of levels that guards what it draws."""

import math

import pytest
import torch

from genbook.checks import check_levels
from genbook.prob.noise import gumbel_like, uniform_like


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
    assert bool(torch.isfinite(gumbel_like(torch.zeros(100_000), generator(4))).all())


def test_the_largest_noisy_logit_is_a_draw_of_the_softmax():
    logits = torch.tensor([0.0, 1.0, -1.0, 2.5])
    n = 40_000
    chosen = (logits + gumbel_like(logits.expand(n, -1), generator(5))).argmax(1).bincount(minlength=4)
    due = n * logits.softmax(0)
    assert ((chosen - due).square() / due).sum().item() < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


@pytest.mark.parametrize("bad", [-1.0, 3.0, 0.5, math.nan, math.inf])
def test_levels_are_whole_numbers_from_nought(bad):
    x = torch.tensor([[0.0, 2.0], [1.0, 2.0]])
    assert check_levels(x, 3) is x
    x[1, 0] = bad
    with pytest.raises(ValueError, match="pixels must hold whole numbers from 0 to 2, got "):
        check_levels(x, 3, name="pixels")
