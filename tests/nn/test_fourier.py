"""Fourier features against the same waves written out."""

import math

import pytest
import torch

from genbook.nn.fourier import FourierFeatures


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_features_are_the_points_their_sines_and_their_cosines():
    waves = FourierFeatures(2, 3, scale=2.0, generator=generator(5))
    b = (2.0 * torch.randn(2, 3, generator=generator(5))).tolist()
    points = [[0.5, -1.0], [0.0, 0.0], [2.0, 0.25]]
    by_hand = []
    for x, y in points:
        phases = [x * b[0][j] + y * b[1][j] for j in range(3)]
        by_hand.append([x, y, *map(math.sin, phases), *map(math.cos, phases)])
    found = waves(torch.tensor(points))
    assert found.shape == (3, 8) and waves.outputs == 8
    torch.testing.assert_close(found, torch.tensor(by_hand), atol=1e-6, rtol=0)
    assert by_hand[1] == [0, 0, 0, 0, 0, 1, 1, 1]


def test_the_spread_of_the_frequencies_is_the_scale():
    frequencies = FourierFeatures(2, 20_000, scale=3.0, generator=generator()).frequencies
    assert frequencies.shape == (2, 20_000)
    n = frequencies.numel()
    assert float(frequencies.std()) == pytest.approx(3.0, abs=4 * 3 / (2 * n) ** 0.5)
    assert abs(float(frequencies.mean())) < 4 * 3 / n**0.5
    assert float((frequencies.abs() > 6).float().mean()) == pytest.approx(0.0455, abs=0.005)  # normal tails


def test_the_frequencies_are_saved_and_not_trained():
    waves = FourierFeatures(2, 4, scale=1.0, generator=generator())
    assert not list(waves.parameters()) and list(waves.state_dict()) == ["frequencies"]
    other = FourierFeatures(2, 4, scale=1.0, generator=generator(1))
    x = torch.randn(5, 2, generator=generator())
    assert not torch.equal(other(x), waves(x))
    other.load_state_dict(waves.state_dict())
    assert torch.equal(other(x), waves(x))


def test_equal_generators_draw_equal_waves_and_leave_the_global_one_alone():
    state = torch.get_rng_state()
    first, second = (FourierFeatures(2, 4, scale=1.0, generator=generator(7)) for _ in range(2))
    assert torch.equal(first.frequencies, second.frequencies)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_slope_reaches_the_points():
    waves = FourierFeatures(1, 1, scale=1.0, generator=generator())
    x = torch.tensor([[0.3]], requires_grad=True)
    (slope,) = torch.autograd.grad(waves(x)[0, 1], x)
    b = float(waves.frequencies)
    assert float(slope) == pytest.approx(b * math.cos(0.3 * b), rel=1e-5)  # d sin(bx) / dx


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dim": 0}, ValueError, "dim must be at least 1, got 0"),
        ({"waves": 0}, ValueError, "waves must be at least 1, got 0"),
        ({"waves": 2.5}, TypeError, r"waves must be a whole number, got 2\.5"),
        ({"scale": 0.0}, ValueError, r"scale must be a finite number > 0, got 0\.0"),
        ({"scale": -1.0}, ValueError, r"scale must be a finite number > 0, got -1\.0"),
        ({"scale": math.nan}, ValueError, "scale must be a finite number > 0, got nan"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        FourierFeatures(**({"dim": 2, "waves": 3, "scale": 1.0} | arguments))
