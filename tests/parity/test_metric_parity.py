"""Our sample metrics against the field's own: torchmetrics and the reference code of density and coverage."""

import contextlib
import io

import pytest
import torch
from prdc import compute_prdc
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from genbook.data import digits
from genbook.evaluate.manifold import compare_manifolds
from genbook.evaluate.two_sample import frechet_distance, kernel_distance


def features(seed, n=300, d=12, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing + shift


PAIRS = [
    (features(0), features(1)),
    (features(0), features(1, shift=0.7)),
    (digits.load("train").images.flatten(1)[:350].double(), digits.load("validation").images.flatten(1).double()),
]


@pytest.mark.parametrize("pair", PAIRS, ids=["equal", "shifted", "digits"])
def test_frechet_distance_equals_torchmetrics(pair):
    x, y = pair
    theirs = _compute_fid(x.mean(0), torch.cov(x.T), y.mean(0), torch.cov(y.T))
    assert frechet_distance(x, y)[0] == pytest.approx(float(theirs), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("pair", PAIRS, ids=["equal", "shifted", "digits"])
def test_kernel_distance_equals_torchmetrics(pair):
    x, y = pair
    assert kernel_distance(x, y)[0] == pytest.approx(float(poly_mmd(x, y)), rel=1e-6)


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("pair", PAIRS, ids=["equal", "shifted", "digits"])
def test_manifolds_equal_the_reference_code(pair, k):
    x, y = pair
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(x.numpy(), y.numpy(), nearest_k=k)
    ours = compare_manifolds(x, y, k=k)
    assert {name: getattr(ours, name) for name in theirs} == pytest.approx(theirs, abs=1e-4)
