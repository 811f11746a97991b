"""Glyphs: some 54,000 captioned pictures of letters, signs and patterns, shipped with the package.

Each picture is one character of one font, 32×32 pixels, drawn by `genbook.data.glyph_renderer`: one size, one
baseline, centred advance width. Its caption is the character's Unicode name, and the style of the font follows it:
"latin small letter e with acute, serif bold italic".

Some captions are held out in every font (see `genbook.data.glyph_split`): compositions whose parts all occur in
the training captions. Some held-out pictures have a *twin* in the training set, a picture that is the same to
within 0.1 % of full scale (Latin ó and Greek omicron with tonos). A twin can be drawn from memory, so scores are
taken on `scored`, the held-out pictures without one.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbook.data._files import data_folder

__all__ = ["ARRAYS", "ARRAYS_SHA256", "FILE_SHA256", "Glyphs", "digest", "load"]

ARRAYS = ("images", "captions", "caption_index", "fonts", "styles", "font_index", "held_out", "twin_of")
# The file as shipped, and what is in it: another zlib packs the same arrays into other bytes.
FILE_SHA256 = "16e7ce933c728b7c925209e08ddce93903a717e41c1db5d68a771f47d443a237"
ARRAYS_SHA256 = "b183e102c73f58cf1f35ac8374af697a78617b14fe079170a4c9e35249e76c70"


@dataclass(frozen=True)
class Glyphs:
    """The glyph set: `N` pictures with their captions, fonts, split and twins.

    - `images`: `(N, 32, 32)` uint8, 0 for paper and 255 for ink
    - `captions`: the different captions, sorted; `caption_index`: `(N,)` int64, which of them each picture has
    - `fonts`: the fonts' names; `font_index`: `(N,)` int64, which of them each picture is drawn in
    - `styles`: for each font its words, as ("serif", "bold")
    - `held_out`: `(N,)` bool
    - `twin_of`: `(N,)` int64, the training picture that a held-out one repeats, or -1
    """

    images: Tensor
    captions: tuple[str, ...]
    caption_index: Tensor
    fonts: tuple[str, ...]
    styles: tuple[tuple[str, ...], ...]
    font_index: Tensor
    held_out: Tensor
    twin_of: Tensor

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.images)

    @property
    def twins(self) -> Tensor:
        """The held-out pictures that repeat a training picture, `(N,)` bool."""
        return self.twin_of >= 0

    @property
    def scored(self) -> Tensor:
        """The held-out pictures on which a score is fair, `(N,)` bool: those without a twin."""
        return self.held_out & ~self.twins

    def style(self, i: int) -> str:
        """Return the style words of picture `i`, as "serif bold italic"."""
        return " ".join(self.styles[int(self.font_index[i])])

    def caption(self, i: int) -> str:
        """Return the full caption of picture `i`: "latin small letter e with acute, serif bold italic"."""
        return f"{self.captions[int(self.caption_index[i])]}, {self.style(i)}"

    def split(self, name: str) -> Tensor:
        """Return which pictures are in "train" or "held_out", `(N,)` bool; ValueError for another name."""
        if name not in ("train", "held_out"):
            raise ValueError(f"name must be 'train' or 'held_out', got {name!r}")
        return self.held_out if name == "held_out" else ~self.held_out

    def of_font(self, font: str) -> Tensor:
        """Return which pictures are of the font named, `(N,)` bool; ValueError for an unknown font."""
        if font not in self.fonts:
            raise ValueError(f"font must be one of {', '.join(self.fonts)}, got {font!r}")
        return self.font_index == self.fonts.index(font)

    def find(self, caption: str, font: str) -> int:
        """Return the number of the picture with this caption (without style) in this font.

        Raises ValueError for an unknown font, KeyError where the font has no such picture.
        """
        found = self.of_font(font)
        if caption in self.captions:
            found = found & (self.caption_index == self.captions.index(caption))
            if bool(found.any()):
                return int(found.nonzero()[0])
        raise KeyError(f"font {font} has no glyph captioned {caption!r}")


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of the arrays' names, types, shapes and contents, in the order of `ARRAYS`."""
    total = hashlib.sha256()
    for name in ARRAYS:
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()


def read_arrays(path: Path | str | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of the glyph file, by default of the shipped one.

    Raises FileNotFoundError where there is no file, ValueError where it is damaged or no glyph file.
    """
    path = data_folder() / "glyphs.npz" if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no glyph file at {path}: `make glyphs` draws it")
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, OSError, TypeError) as error:
        raise ValueError(f"{path} is damaged or is no glyph file ({error}): `make glyphs` draws it") from error
    count = len(arrays["images"])
    shapes = {name: arrays[name].shape for name in ("caption_index", "font_index", "held_out", "twin_of")}
    if arrays["images"].shape != (count, 32, 32) or any(shape != (count,) for shape in shapes.values()):
        raise ValueError(f"{path} is no glyph file: images {arrays['images'].shape}, {shapes}")
    return arrays


def load(path: Path | str | None = None) -> Glyphs:
    """Return the glyph set from the shipped file, or from the file at `path`.

    Raises FileNotFoundError where there is no file, ValueError where it is damaged or no glyph file.
    """
    arrays = read_arrays(path)
    text = {name: tuple(arrays[name].tobytes().decode().split("\n")) for name in ("captions", "fonts", "styles")}
    numbers = {
        name: torch.from_numpy(arrays[name].astype(np.int64))
        for name in ("caption_index", "font_index", "twin_of")
    }
    return Glyphs(
        images=torch.from_numpy(arrays["images"]),
        captions=text["captions"],
        fonts=text["fonts"],
        styles=tuple(tuple(words.split()) for words in text["styles"]),
        held_out=torch.from_numpy(arrays["held_out"]),
        **numbers,
    )
