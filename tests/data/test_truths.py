"""The truths are what they say: densities integrate to 1, draws follow them, scores are their gradients."""

import math

import pytest
import torch
from scipy import stats

from genbook.data.truths import Checkerboard, Mixture1D, Moons, Pinwheel, RingOfGaussians

TRUTHS = {
    "mixture": Mixture1D(),
    "ring": RingOfGaussians(),
    "ring of three": RingOfGaussians(modes=3, radius=1.0, scale=0.4),
    "moons": Moons(),
    "noisy moons": Moons(noise=0.3),
    "pinwheel": Pinwheel(),
    "pinwheel of two": Pinwheel(arms=2, radius=1.0, radial=0.5, tangential=0.3, swirl=-2.0),
    "checkerboard": Checkerboard(),
    "odd checkerboard": Checkerboard(cells=3, half_width=1.3),
}
# the same truth with one thing changed: what the chi-square test must notice
WRONG = {
    "mixture": Mixture1D(weights=(0.30, 0.50, 0.20)),
    "ring": RingOfGaussians(scale=0.105),
    "moons": Moons(noise=0.11),
    "pinwheel": Pinwheel(swirl=1.05),
    "checkerboard": Checkerboard(half_width=2.05),
}
SMOOTH = [name for name, truth in TRUTHS.items() if hasattr(truth, "score")]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def grid(bounds, points):
    """Midpoints of a regular grid in float64, and the volume of a cell."""
    lower, upper = bounds.to(torch.float64)
    step = (upper - lower) / points
    axes = [lower[i] + step[i] * (torch.arange(points) + 0.5) for i in range(len(lower))]
    return torch.cartesian_prod(*axes).reshape(-1, len(lower)), step.prod()


def chi_square(truth, x, bounds, cells=20, fine=60):
    """p-value of the draws `x` against the mass that `truth` gives to each cell of a grid over `bounds`."""
    dim, lower, upper = truth.dim, *bounds.to(torch.float64)
    points, volume = grid(bounds, cells * fine)
    mass = truth.log_prob(points).exp() * volume
    shape = (cells, fine) * dim
    expected = mass.reshape(shape).sum(tuple(range(1, 2 * dim, 2))).flatten() * len(x)
    index = ((x.to(torch.float64) - lower) / (upper - lower) * cells).floor().long()
    inside = ((index >= 0) & (index < cells)).all(1)
    flat = (index[inside] * torch.tensor([cells**i for i in reversed(range(dim))])).sum(1)
    observed = torch.bincount(flat, minlength=cells**dim).to(torch.float64)
    large = expected >= 5
    observed = torch.cat([observed[large], (len(x) - observed[large].sum())[None]])
    expected = torch.cat([expected[large], (len(x) - expected[large].sum()).clamp_min(1.0)[None]])
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float(stats.chi2.sf(float(statistic), len(expected) - 1))


@pytest.mark.parametrize("name", TRUTHS)
def test_density_integrates_to_one(name):
    truth = TRUTHS[name]
    # a board's edges lie on the grid lines; 2,000 points an axis keep the jumps at the moons' ends below 1e-3
    points, volume = grid(truth.bounds, 1980)
    total = float(truth.log_prob(points).exp().sum() * volume)
    assert total == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", TRUTHS)
def test_draws_follow_the_density(name):
    truth = TRUTHS[name]
    x = truth.sample(20_000, generator=seeded())
    assert chi_square(truth, x, truth.bounds) > 0.001


@pytest.mark.parametrize("name", WRONG)
def test_a_density_a_little_off_is_noticed(name):
    truth = TRUTHS[name]
    x = truth.sample(20_000, generator=seeded())
    assert chi_square(WRONG[name], x, truth.bounds) < 1e-6


@pytest.mark.parametrize("name", TRUTHS)
def test_draws_have_a_density_and_lie_in_bounds(name):
    truth = TRUTHS[name]
    x = truth.sample(200_000, generator=seeded(1))
    assert x.shape == (200_000, truth.dim) and x.dtype == torch.float32
    assert bool(truth.log_prob(x).isfinite().all())
    outside = ((x < truth.bounds[0]) | (x > truth.bounds[1])).any(1)
    assert int(outside.sum()) <= 2  # 0.2 expected at one millionth


@pytest.mark.parametrize("name", TRUTHS)
def test_generator_decides_the_draws(name):
    truth = TRUTHS[name]
    first, again, other = (truth.sample(50, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", SMOOTH)
def test_score_is_the_gradient(name):
    truth = TRUTHS[name]
    x = truth.sample(500, generator=seeded()).to(torch.float64)
    x = x + 0.3 * torch.randn(x.shape, generator=seeded(1), dtype=torch.float64)  # away from the modes too
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(truth.log_prob(leaf).sum(), leaf)
    torch.testing.assert_close(truth.score(x), gradient, rtol=1e-8, atol=1e-8)
    step = 1e-6 * torch.eye(truth.dim, dtype=torch.float64)
    differences = torch.stack([(truth.log_prob(x + h) - truth.log_prob(x - h)) / 2e-6 for h in step], 1)
    torch.testing.assert_close(truth.score(x), differences, rtol=1e-5, atol=1e-5)


def test_pinwheel_score_at_the_origin_is_finite():
    assert bool(Pinwheel().score(torch.zeros(1, 2)).isfinite().all())


def test_truths_that_jump_offer_no_score():
    assert set(TRUTHS) - set(SMOOTH) == {"moons", "noisy moons", "checkerboard", "odd checkerboard"}


@pytest.mark.parametrize("name", TRUTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_answers_come_in_the_dtype_of_the_points(name, dtype):
    truth = TRUTHS[name]
    x = truth.sample(7, generator=seeded()).to(dtype)
    assert truth.log_prob(x).dtype == dtype and truth.log_prob(x).shape == (7,)
    if hasattr(truth, "score"):
        assert truth.score(x).dtype == dtype and truth.score(x).shape == x.shape


def test_float32_agrees_with_float64():
    for truth in TRUTHS.values():
        x = truth.sample(1000, generator=seeded())
        torch.testing.assert_close(truth.log_prob(x).double(), truth.log_prob(x.double()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1 - 1e-12])
def test_the_most_extreme_draws_have_a_density(monkeypatch, share):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, share, dtype=torch.float64))
    board = Checkerboard(cells=7, half_width=1.1)
    x = board.sample(500, generator=seeded())  # every draw in a corner of its square
    assert bool(board.log_prob(x).isfinite().all())
    moon = Moons(noise=0.3).sample(1)
    if share == 0:  # the smallest radius there is, at angle 0
        torch.testing.assert_close(moon, torch.tensor([[0.1, 0.0]]))
    else:
        assert bool(moon.isfinite().all())


def test_densities_worked_out_by_hand():
    x = torch.tensor([[0.5]], dtype=torch.float64)
    one = Mixture1D(weights=[2.0], means=[0.5], scales=[0.25])
    assert float(one.log_prob(x)) == pytest.approx(-math.log(0.25 * math.sqrt(2 * math.pi)))
    assert float(Checkerboard().log_prob(torch.tensor([[-1.5, -1.5]]))) == pytest.approx(-math.log(8))
    assert float(Checkerboard().log_prob(torch.tensor([[-1.5, -0.5]]))) == -math.inf
    assert float(Checkerboard().log_prob(torch.tensor([[2.0, 1.5]]))) == -math.inf
    # the crest of the upper moon, far from the lower: N(1; 1, 0.1²) / π, halved
    crest = torch.tensor([[-0.6, 0.8]], dtype=torch.float64)
    lower = 0.5 * stats.norm.pdf(math.hypot(1.6, 0.3), 1, 0.1) / math.pi / math.hypot(1.6, 0.3)
    expected = 0.5 * stats.norm.pdf(1, 1, 0.1) / math.pi + 0 * lower
    assert float(Moons().log_prob(crest).exp()) == pytest.approx(expected, rel=1e-9)
    ring = RingOfGaussians(modes=1, radius=2.0, scale=0.5)
    assert float(ring.log_prob(ring.means.double())) == pytest.approx(-math.log(2 * math.pi * 0.25))


def test_cdf_is_the_integral_of_the_density():
    truth = Mixture1D()
    points, volume = grid(truth.bounds, 20_000)
    running = (truth.log_prob(points).exp() * volume).cumsum(0)
    torch.testing.assert_close(truth.cdf(points + volume / 2), running, atol=1e-6, rtol=0)
    assert (
        stats.kstest(
            truth.sample(5000, generator=seeded())[:, 0].numpy(),
            lambda x: truth.cdf(torch.as_tensor(x)[:, None]).numpy(),
        ).pvalue
        > 0.001
    )


def test_mode_centres_keep_their_names():
    ring = RingOfGaussians(modes=4, radius=3.0, scale=0.2)
    torch.testing.assert_close(ring.means, torch.tensor([[3.0, 0], [0, 3], [-3, 0], [0, -3]]), atol=1e-6, rtol=0)
    assert ring.weights.tolist() == [0.25] * 4 and ring.scale == 0.2


@pytest.mark.parametrize("name", ["mixture", "ring", "moons", "pinwheel", "checkerboard"])
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ("flat", ValueError, r"x must have shape \(n, \d\), got \(4,\)"),
        ("wide", ValueError, r"x must have shape \(n, \d\), got \(4, 3\)"),
        ("whole", TypeError, "x must be a floating-point tensor, got a torch.int64 tensor"),
        ("list", TypeError, "x must be a floating-point tensor, got list"),
        ("nan", ValueError, r"x holds \d NaN in \d numbers"),
        ("empty", ValueError, r"x is empty: shape \(0, \d\)"),
    ],
)
def test_bad_points_give_one_clear_error(name, bad, error, message):
    truth = TRUTHS[name]
    good = torch.zeros(4, truth.dim)
    x = {
        "flat": torch.zeros(4),
        "wide": torch.zeros(4, 3),
        "whole": good.long(),
        "list": good.tolist(),
        "empty": good[:0],
        "nan": torch.cat([good[:3], torch.full((1, truth.dim), math.nan)]),
    }[bad]
    with pytest.raises(error, match=message):
        truth.log_prob(x)
    if hasattr(truth, "score"):
        with pytest.raises(error, match=message):
            truth.score(x)


@pytest.mark.parametrize("name", TRUTHS)
def test_infinite_points_have_no_density_and_no_nan(name):
    truth = TRUTHS[name]
    assert truth.log_prob(torch.full((2, truth.dim), math.inf)).tolist() == [-math.inf] * 2
    assert truth.log_prob(torch.full((2, truth.dim), -math.inf)).tolist() == [-math.inf] * 2


@pytest.mark.parametrize("name", ["mixture", "ring", "moons", "pinwheel", "checkerboard"])
@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError)])
def test_bad_counts_give_one_clear_error(name, n, error):
    with pytest.raises(error, match=r"n must be (at least 1|a whole number), got"):
        TRUTHS[name].sample(n)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture1D(weights=[1, 1]), "must have one length, got 2, 3 and 3"),
        (lambda: Mixture1D(scales=[1, 0, 1]), "scales must all be above 0"),
        (lambda: Mixture1D(weights=[0.5, -0.1, 0.6]), "weights must all be above 0"),
        (lambda: Mixture1D(means=[0, math.nan, 1]), "means must be finite"),
        (lambda: Mixture1D(means=[]), "means must be a vector with at least one entry"),
        (lambda: RingOfGaussians(scale=0), "scale must be a finite number > 0, got 0"),
        (lambda: RingOfGaussians(modes=0), "modes must be at least 1, got 0"),
        (lambda: Moons(noise=0.5), "noise must be at most 0.3, .* got 0.5"),
        (lambda: Pinwheel(swirl=math.inf), "swirl must be finite, got inf"),
        (lambda: Checkerboard(half_width=-1), "half_width must be a finite number > 0, got -1"),
    ],
)
def test_bad_settings_give_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
