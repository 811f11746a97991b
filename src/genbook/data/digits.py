"""Handwritten digits: 1,797 real scans of 8×8 pixels that come with scikit-learn.

The split is by file order, 1,000 for training, 350 for validation, 447 for the test that is read once. File order
matters: the scans come in blocks by writer (the labels repeat one pattern about every 130 scans), so that a
shuffled split would put every writer on both sides. The two cuts fall inside a block: the first 29 scans of the
validation part, and the first 65 of the test part, continue the block before them.
Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning Repository (1998);
what scikit-learn ships is that archive's test file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["SPLITS", "Digits", "load"]

SPLITS = {"train": (0, 1000), "validation": (1000, 1350), "test": (1350, 1797)}


@dataclass(frozen=True)
class Digits:
    """One split: `images` `(n, 1, 8, 8)` float32, whole numbers from 0 to 16 (ink); `labels` `(n,)` int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


def load(split: str = "train") -> Digits:
    """Return one split of the digits: "train" (1,000), "validation" (350) or "test" (447), in file order.

    Raises ValueError for any other name.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(map(repr, SPLITS))}, got {split!r}")
    from sklearn.datasets import load_digits

    chosen, table = slice(*SPLITS[split]), load_digits()
    return Digits(
        images=torch.tensor(table.images[chosen], dtype=torch.float32)[:, None],
        labels=torch.tensor(table.target[chosen], dtype=torch.int64),
    )
