"""Averages with their errors, against numbers worked out by hand."""

import math

import pytest
import torch

from genbook.evaluate.likelihood import mean_and_error, paired_difference


def test_mean_and_error_by_hand():
    mean, error = mean_and_error(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert mean == 3
    assert error == pytest.approx(math.sqrt(14 / 3) / 2)


def test_pairs_are_compared_one_by_one():
    hard = torch.linspace(-100, 0, 50)
    first, second = hard + torch.tensor([0.1, -0.1] * 25) + 1, hard
    mean, error = paired_difference(first, second)
    assert mean == pytest.approx(1, abs=1e-5)
    assert error < 0.02 < mean_and_error(first)[1]


def test_refusals():
    with pytest.raises(ValueError, match=r"values must have shape \(n,\) with n ≥ 2"):
        mean_and_error(torch.tensor([1.0]))
    with pytest.raises(ValueError, match="must have one shape"):
        paired_difference(torch.zeros(3), torch.zeros(4))
