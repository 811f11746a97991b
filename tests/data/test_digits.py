"""The digits: three parts of one file, in its order."""

import pytest
import torch
from sklearn.datasets import load_digits

from genbook.data import digits


def test_the_three_parts_make_the_file():
    parts = [digits.load(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1000, 350, 447]
    table = load_digits()
    images = torch.cat([part.images for part in parts])
    assert images.shape == (1797, 1, 8, 8) and images.dtype == torch.float32
    assert torch.equal(images[:, 0], torch.tensor(table.images, dtype=torch.float32))
    labels = torch.cat([part.labels for part in parts])
    assert labels.dtype == torch.int64 and labels.tolist() == table.target.tolist()


def test_pixels_are_whole_numbers_from_0_to_16():
    images = digits.load("train").images
    assert images.min() == 0 and images.max() == 16
    assert torch.equal(images, images.round())


def test_every_digit_is_in_every_part():
    for split in digits.SPLITS:
        assert digits.load(split).labels.unique().tolist() == list(range(10))


def test_unknown_split_gives_one_clear_error():
    with pytest.raises(ValueError, match="split must be one of 'train', 'validation', 'test', got 'held_out'"):
        digits.load("held_out")


def test_the_file_comes_in_blocks_by_writer():
    labels = load_digits().target
    repeats = {lag: float((labels[:-lag] == labels[lag:]).mean()) for lag in range(50, 250)}
    assert max(repeats, key=repeats.get) == 130 and repeats[130] > 0.5  # one in ten by chance
