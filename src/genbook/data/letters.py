"""Letters: the 52 letters of the Latin alphabet in some 23 designs each, chosen from the glyph set.

A letter is a picture of `genbook.data.glyphs` whose caption is "latin capital letter a" or one of its mathematical
cousins in a plain, bold, italic, sans-serif or monospace design. Pictures that repeat an earlier one of the same
letter (mean absolute difference at most 0.1 % of full scale) are left out. Of each letter a quarter of the rest is
held out: those whose pixels have the smallest SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase

import torch
from torch import Tensor

from genbook.data import glyphs

__all__ = ["NAMES", "Letters", "load"]

NAMES = ascii_uppercase + ascii_lowercase
PATTERN = re.compile(
    r"latin (capital|small) letter ([a-z])"
    r"|mathematical (?:(?:sans-serif )?(?:bold )?(?:italic )?|monospace )(capital|small) ([a-z])"
)
SAME = 0.001 * 255  # mean absolute difference of two pictures that count as one


@dataclass(frozen=True)
class Letters:
    """Pictures of letters.

    - `images`: `(n, 1, 32, 32)` float32, 0 for paper to 255 for ink
    - `labels`: `(n,)` int64, the place of each letter in `NAMES`: A to Z, then a to z
    - `index`: `(n,)` int64, the number of each picture in the glyph set
    """

    images: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)


def load(split: str) -> Letters:
    """Return the letters of a split, "train" or "held_out"; ValueError for another name."""
    if split not in ("train", "held_out"):
        raise ValueError(f"split must be 'train' or 'held_out', got {split!r}")
    source = glyphs.load()
    label_of = {}
    for number, caption in enumerate(source.captions):
        if match := PATTERN.fullmatch(caption):
            case, letter = (match[1], match[2]) if match[1] else (match[3], match[4])
            label_of[number] = NAMES.index(letter.upper() if case == "capital" else letter)
    table = torch.full((len(source.captions),), -1)
    table[list(label_of)] = torch.tensor(list(label_of.values()))
    labels = table[source.caption_index]
    parts = [_split(source.images, (labels == label).nonzero()[:, 0])[split] for label in range(len(NAMES))]
    index = torch.cat(parts).sort().values
    return Letters(source.images[index][:, None].float(), labels[index], index)


def _split(images: Tensor, of_letter: Tensor) -> dict[str, Tensor]:
    """Return the two parts of one letter's pictures, given and returned by number, without repeats."""
    pixels = images[of_letter].flatten(1).float()
    difference = torch.cdist(pixels, pixels, p=1) / pixels.shape[1]
    distinct = of_letter[~(difference <= SAME).tril(diagonal=-1).any(1)]
    digests = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images[distinct]]
    order = torch.tensor(sorted(range(len(distinct)), key=digests.__getitem__))
    held_out = (len(distinct) + 2) // 4
    return {"held_out": distinct[order[:held_out]], "train": distinct[order[held_out:]]}
