"""Sample metrics against closed forms, and against what each is known to get wrong."""

import math

import pytest
import torch

from genbook.data.truths import RingOfGaussians
from genbook.evaluate.manifold import compare_manifolds
from genbook.evaluate.memorisation import nearest_examples, share_of_copies
from genbook.evaluate.modes import mode_coverage
from genbook.evaluate.two_sample import floor, frechet_distance, jackknife, kernel_distance, mmd


def normal(n, d, seed, mean=0.0, scale=1.0):
    return mean + scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- distances --------------------------------------------------------------------------------------------------
def test_frechet_distance_of_gaussians_is_the_closed_form():
    x = normal(400, 3, 0)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T  # mean 0, covariance 1 exactly
    scales, shift = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64), torch.tensor([1.0, 0.0, -2.0])
    expected = 5 + float(((scales - 1) ** 2).sum())
    assert frechet_distance(x, x * scales + shift.double())[0] == pytest.approx(expected, abs=1e-8)
    assert frechet_distance(x, x)[0] == pytest.approx(0, abs=1e-8)


def test_frechet_distance_of_one_column():
    assert frechet_distance(normal(500, 1, 0), normal(500, 1, 1, mean=3.0))[0] == pytest.approx(9, abs=0.8)


def test_frechet_distance_is_biased_like_one_over_n():
    """Sixteen dimensions, the same law twice, truth 0: the bias falls tenfold from n = 100 to n = 1000."""
    small, large = (
        sum(frechet_distance(normal(n, 16, s), normal(n, 16, 100 + s))[0] for s in range(8)) / 8
        for n in (100, 1000)
    )
    assert small == pytest.approx(1.73, abs=0.15)
    assert small / large == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("distance", [kernel_distance, lambda x, y: mmd(x, y, bandwidth=2.0)])
def test_kernel_distances_are_unbiased_and_their_errors_honest(distance):
    results = [distance(normal(60, 4, s), normal(60, 4, 1000 + s)) for s in range(60)]
    values = torch.tensor([v for v, _ in results])
    assert float(values.min()) < 0 < float(values.max())
    assert abs(float(values.mean())) < 3 * float(values.std()) / math.sqrt(60)
    errors = torch.tensor([e for _, e in results])
    assert float(errors.mean() / values.std()) == pytest.approx(1, abs=0.5)


def test_mmd_by_hand():
    """Twenty points at 0 and twenty at 1: every pair within is alike, every pair between is 1 apart."""
    x, y = torch.zeros(20, 1), torch.ones(20, 1)
    assert mmd(x, y, bandwidth=0.5)[0] == pytest.approx(2 - 2 * math.exp(-2))
    assert mmd(x, y, bandwidth=0.5)[1] == pytest.approx(0)


def test_kernel_distance_by_hand():
    x, y = torch.zeros(20, 2), torch.full((20, 2), 2.0)
    assert kernel_distance(x, y)[0] == pytest.approx(1 + 5**3 - 2)


def test_distances_grow_with_the_difference():
    real = normal(500, 4, 0)
    for distance in (frechet_distance, kernel_distance, lambda x, y: mmd(x, y, bandwidth=2.0)):
        near, far = (distance(real, normal(500, 4, 1, mean=m)) for m in (0.2, 0.6))
        assert near[0] + 3 * near[1] < far[0]


def test_floor_is_real_against_real():
    real = normal(1000, 4, 0)
    generator = torch.Generator().manual_seed(0)
    value, error = floor(kernel_distance, real, generator=generator)
    assert abs(value) < 4 * error
    frechet, _ = floor(frechet_distance, real, generator=generator)
    assert 0 < frechet < frechet_distance(real[:500], normal(500, 4, 1, mean=0.5))[0]


def test_jackknife_of_a_mean_is_the_textbook_error():
    x = normal(2000, 1, 0)
    value, error = jackknife(lambda a, b: float(a.mean()), x, x)
    assert value == pytest.approx(float(x.mean()))
    assert error == pytest.approx(1 / math.sqrt(2000), rel=0.6)
    for groups in (40, 200):
        many = [jackknife(lambda a, b: float(a.mean()), normal(2000, 1, s), x, groups=groups)[1] for s in range(5)]
        assert sum(many) / 5 == pytest.approx(1 / math.sqrt(2000), rel=0.15)


# ---- manifolds --------------------------------------------------------------------------------------------------
def test_manifolds_by_hand():
    real = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    fake = torch.tensor([[0.5], [0.6], [30.0], [30.4]])
    result = compare_manifolds(real, fake, k=1)
    # real balls have radius 1; fake balls 0.1, 0.1, 0.4, 0.4
    assert result.precision == 0.5
    assert result.recall == 0.0
    assert result.density == 1.0  # each of the two good fakes lies in two real balls
    assert result.coverage == 0.5


def test_manifolds_tell_the_villains_apart():
    truth = RingOfGaussians()
    draw = lambda seed: truth.sample(1000, generator=torch.Generator().manual_seed(seed)).double()  # noqa: E731
    real, fair = draw(0), draw(1)
    one_mode = fair[fair[:, 0] > 1.7]
    noisy = torch.cat([fair[:500], normal(500, 2, 2, scale=4.0)])
    good, dropped, loud = (compare_manifolds(real, f) for f in (fair, one_mode, noisy))
    assert good.precision > 0.9 and good.recall > 0.9 and good.coverage > 0.9
    assert dropped.precision > 0.85 and dropped.recall < 0.3 and dropped.coverage < 0.3
    assert loud.precision < 0.7 and loud.recall > 0.8
    assert good.density == pytest.approx(1, abs=0.15)


# ---- memorisation -----------------------------------------------------------------------------------------------
def test_nearest_examples_by_hand():
    index, distance = nearest_examples(
        torch.tensor([[0.9, 0.0], [5.0, 5.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    )
    assert index.tolist() == [1, 1]
    assert distance.tolist() == pytest.approx([0.1, math.sqrt(41)])


def test_nearest_examples_in_blocks():
    x, training = normal(50, 3, 0), normal(70, 3, 1)
    for block in (7, 1000):
        index, distance = nearest_examples(x, training, block=block)
        full = torch.cdist(x, training)
        assert torch.equal(index, full.argmin(1))
        assert torch.allclose(distance, full.amin(1))


def test_a_copier_is_found_and_a_fair_model_is_not():
    training, fresh, fair = normal(500, 8, 0), normal(500, 8, 1), normal(500, 8, 2)
    honest = share_of_copies(fair, training, fresh)
    assert honest.share < honest.expected + 4 * max(honest.standard_error, 0.005)
    copier = share_of_copies(training[:200] + normal(200, 8, 3, scale=0.05), training, fresh)
    assert copier.share > 0.99
    half = share_of_copies(torch.cat([training[:100], fair[:100]]), training, fresh)
    assert half.share == pytest.approx(0.5, abs=0.05)
    assert half.standard_error == pytest.approx(math.sqrt(half.share * (1 - half.share) / 200))


def test_a_copier_is_found_where_fresh_data_repeat_training_rows():
    training, fresh = normal(500, 5, 0), normal(500, 5, 1)
    fresh[:25] = training[:25]
    result = share_of_copies(training, training, fresh)
    assert result.limit == 0
    assert result.share == 1
    assert result.expected == pytest.approx(0.05)


# ---- modes ------------------------------------------------------------------------------------------------------
def test_mode_coverage_of_the_truth():
    truth = RingOfGaussians()
    x = truth.sample(8000, generator=torch.Generator().manual_seed(0))
    result = mode_coverage(x, truth.means, truth.scale)
    assert result.covered == 8
    assert result.near == pytest.approx(1 - math.exp(-4.5), abs=0.005)  # Rayleigh's law
    assert float(result.weights.sum()) == pytest.approx(1)
    assert float((result.weights * 8 - 1).abs().max()) < 0.15
    assert float((result.widths / truth.scale - 1).abs().max()) < 0.06


def test_mode_coverage_far_from_the_origin():
    truth = RingOfGaussians()
    x = truth.sample(4000, generator=torch.Generator().manual_seed(0))
    assert mode_coverage(x + 1000, truth.means + 1000, truth.scale).near > 0.98


def test_mode_coverage_of_a_collapsed_model():
    truth = RingOfGaussians()
    x = truth.means[:3].repeat(100, 1) + 0.15  # beside the centres: a width is not an offset
    x = torch.cat([x, truth.means[5:6], torch.full((100, 2), 9.0)])
    result = mode_coverage(x, truth.means, truth.scale)
    assert result.covered == 3  # the single stray in mode 5 is not coverage
    assert result.near == pytest.approx(301 / 401)
    assert result.weights.tolist() == pytest.approx([100 / 301] * 3 + [0, 0, 1 / 301, 0, 0])
    assert float(result.widths[:3].max()) < 1e-3
    assert bool(result.widths[[3, 5]].isnan().all())


# ---- refusals ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet_distance(x, x[:, :2]), r"y must have shape \(n, 3\)"),
        (lambda x: frechet_distance(x[:10], x), "at least 20 rows for 10 groups, got 10 and 40"),
        (lambda x: kernel_distance(x * math.nan, x), "x holds 120 values that are NaN"),
        (lambda x: mmd(x, x, bandwidth=0.0), "bandwidth must be a finite number > 0"),
        (lambda x: jackknife(lambda a, b: 0.0, x, x, groups=1), "groups must be at least 2"),
        (lambda x: compare_manifolds(x[:4], x, k=5), "need more than k=5 rows, got 4 and 40"),
        (lambda x: compare_manifolds(x * 0, x), "repeats more than k=5 times"),
        (lambda x: compare_manifolds(x, x[:, :1]), r"fake must have shape \(n, 3\)"),
        (lambda x: share_of_copies(x, x, x, expected=1.0), "expected must lie strictly between 0 and 1"),
        (lambda x: nearest_examples(x, x[:, :1]), r"training must have shape \(n, 3\)"),
        (lambda x: mode_coverage(x, x[:, :2], 0.1), r"means must have shape \(n, 3\)"),
        (lambda x: mode_coverage(x, x, -1.0), "scale must be a finite number > 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(40, 3, 0))
