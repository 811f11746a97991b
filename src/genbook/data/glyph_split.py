"""Which glyphs are held out, and which of those have a twin among the training glyphs.

What is held out are *compositions*: a caption such as "latin small letter e with acute" names parts that a model
has seen elsewhere, and the question is whether it can put them together. A composition is

- a letter with one or more marks: "… letter X with MARK", "… letter X with MARK and MARK", where "… letter X"
  alone is a caption as well; or
- a Braille pattern of two dots or more (the patterns of one dot are its letters).

The rule is deterministic and knows nothing of the pictures. The compositions are put in the order of the SHA-256
of their captions; walking along that order, a caption is held out, in every font, when its hash falls in its
share (one in eight letters with marks, one in five Braille patterns) and when each of its marks stays in at least
`KEEP` training captions. Letters without marks are never held out.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

__all__ = ["TWIN_TOLERANCE", "held_out_captions", "parts", "twin_of"]

KEEP = 3  # training captions in which every mark of a held-out caption still occurs
LETTERS_ONE_IN = 8
BRAILLE_ONE_IN = 5
TWIN_TOLERANCE = 0.001  # mean absolute difference, as a share of full scale (255)

_LETTER = re.compile(r"(?P<base>.*\bletter\b.*?) with (?P<marks>.+)")
_BRAILLE = re.compile(r"braille pattern dots-(?P<dots>[1-8]+)")


def parts(caption: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the base and the marks that a caption names, or None where it names no composition.

    "latin small letter o with tilde and macron" gives `("latin small letter o", ("tilde", "macron"))`;
    "braille pattern dots-14" gives `("braille pattern", ("1", "4"))`.
    """
    if found := _BRAILLE.fullmatch(caption):
        return "braille pattern", tuple(found["dots"])
    if found := _LETTER.fullmatch(caption):
        return found["base"], tuple(found["marks"].split(" and "))
    return None


def held_out_captions(captions: Sequence[str]) -> frozenset[str]:
    """Return the captions that are held out, by the rule at the top of this file."""
    known = set(captions)
    compositions = {caption: found for caption in known if (found := parts(caption))}
    remaining = Counter(mark for _, marks in compositions.values() for mark in set(marks))
    chosen = set()
    digests = {caption: hashlib.sha256(caption.encode()).hexdigest() for caption in compositions}
    for caption in sorted(compositions, key=digests.__getitem__):
        base, marks = compositions[caption]
        braille = base == "braille pattern"
        if (braille and len(marks) == 1) or not (braille or base in known):
            continue
        in_share = int(digests[caption], 16) % (BRAILLE_ONE_IN if braille else LETTERS_ONE_IN) == 0
        if in_share and all(remaining[mark] > KEEP for mark in set(marks)):
            chosen.add(caption)
            remaining.subtract(set(marks))
    return frozenset(chosen)


def twin_of(images: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Return for each image the index of its training twin, or -1: shape `(N,)`, int32.

    `images` is `(N, h, w)` uint8, `held_out` `(N,)` bool. A held-out image has a twin where the nearest training
    image lies within `TWIN_TOLERANCE`; training images get -1. The search is exact: two images cannot differ by
    less than their amounts of ink do, so only training images with nearly the same ink are compared.
    """
    flat = images.reshape(len(images), -1)
    limit = TWIN_TOLERANCE * 255 * flat.shape[1]
    ink = flat.sum(1, dtype=np.int64)
    training = np.flatnonzero(~held_out)
    training = training[np.argsort(ink[training], kind="stable")]
    sorted_ink = ink[training]
    twins = np.full(len(images), -1, dtype=np.int32)
    for index in np.flatnonzero(held_out):
        first, last = np.searchsorted(sorted_ink, [ink[index] - limit, ink[index] + limit + 1])
        candidates = training[first:last]
        if len(candidates):
            difference = np.abs(flat[candidates].astype(np.int16) - flat[index]).sum(1, dtype=np.int64)
            nearest = int(difference.argmin())
            if difference[nearest] <= limit:
                twins[index] = candidates[nearest]
    return twins
