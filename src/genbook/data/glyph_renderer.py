"""Draws the glyphs of matplotlib's fonts; `python -m genbook.data.glyph_renderer FILE` writes the whole set.

Every glyph is drawn at one font size on one baseline, with its advance width (the room that it takes in a line of
text) centred; it is never centred by its ink, which would make the Braille patterns dots-1 and dots-4 the same
picture. Glyphs that reach over the edge of the canvas are left out and counted. There is no hinting, so a glyph
drawn at twice the size is the same shape with four times the pixels.

matplotlib is imported inside the functions, and only for its fonts and `FT2Font`: reading the shipped file
(`genbook.data.glyphs`) does not need it. Versions of FreeType differ in the pixels, which is why the file ships.
"""

from __future__ import annotations

import sys
import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from genbook.data._files import atomic_write
from genbook.data.glyph_split import held_out_captions, twin_of

__all__ = ["BASELINE", "CANVAS", "FONTS", "SIZE", "draw", "render", "write"]

SIZE = 20  # pixels per em on the canvas of 32
CANVAS = 32
BASELINE = 23  # the row under which descenders hang

# Font file and the words that tell its glyphs from those of the other fonts.
FONTS: dict[str, tuple[str, ...]] = {
    "DejaVuSans": ("sans",),
    "DejaVuSans-Bold": ("sans", "bold"),
    "DejaVuSans-Oblique": ("sans", "italic"),
    "DejaVuSans-BoldOblique": ("sans", "bold", "italic"),
    "DejaVuSansMono": ("mono",),
    "DejaVuSansMono-Bold": ("mono", "bold"),
    "DejaVuSansMono-Oblique": ("mono", "italic"),
    "DejaVuSansMono-BoldOblique": ("mono", "bold", "italic"),
    "DejaVuSerif": ("serif",),
    "DejaVuSerif-Bold": ("serif", "bold"),
    "DejaVuSerif-Italic": ("serif", "italic"),
    "DejaVuSerif-BoldItalic": ("serif", "bold", "italic"),
    "STIXGeneral": ("serif", "times"),
    "STIXGeneralBol": ("serif", "times", "bold"),
    "STIXGeneralItalic": ("serif", "times", "italic"),
    "STIXGeneralBolIta": ("serif", "times", "bold", "italic"),
}
# Unicode categories without a picture: control, format, private, surrogate, unassigned, separators.
_NO_PICTURE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zs", "Zl", "Zp"}


@lru_cache(maxsize=64)
def _open(font: str, size: int) -> Any:
    """Return the opened font at `size` pixels per em."""
    if font not in FONTS:
        raise ValueError(f"font must be one of {', '.join(FONTS)}, got {font!r}")
    import matplotlib
    from matplotlib.ft2font import FT2Font

    face = FT2Font(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"))
    face.set_size(size, 72)  # at 72 dots per inch a point is a pixel
    return face


def _place(face: Any, code: int, canvas: int) -> np.ndarray | None:
    """Return the picture of one code point, `(canvas, canvas)` uint8, or None where the ink does not fit."""
    import matplotlib
    from matplotlib import ft2font

    flags = ft2font.LoadFlags.NO_HINTING if hasattr(ft2font, "LoadFlags") else ft2font.LOAD_NO_HINTING
    glyph = face.load_char(code, flags=flags)
    image = np.zeros((canvas, canvas), dtype=np.uint8)
    left, bottom, right, top = (edge / 64 for edge in glyph.bbox)
    if right <= left or top <= bottom:
        return image
    unit = canvas // CANVAS
    advance = glyph.linearHoriAdvance / 65536 / unit  # in pixels of the small canvas, so that sizes line up
    origin = unit * round((CANVAS - advance) / 2)
    baseline = unit * BASELINE
    if origin + left < 0 or origin + right > canvas or baseline - top < 0 or baseline - bottom > canvas:
        return None
    # before 3.11 matplotlib drew on an image class of its own
    paper = image if matplotlib.__version_info__ >= (3, 11) else ft2font.FT2Image(canvas, canvas)
    face.draw_glyph_to_bitmap(paper, origin, baseline - int(np.ceil(top)), glyph)
    return np.asarray(paper).copy()


def draw(char: str, font: str, *, size: int = SIZE, canvas: int = CANVAS) -> np.ndarray:
    """Return one character as `(canvas, canvas)` uint8, 0 for paper and 255 for ink.

    `font` is a key of `FONTS`, `size` is in pixels per em, `canvas` a multiple of 32: `draw(char, font, size=40,
    canvas=64)` doubles every measure of the default. Raises ValueError for an unknown font, a character that the
    font does not have, a canvas that is no multiple of 32, or ink that would not fit on the canvas.
    """
    if not isinstance(char, str) or len(char) != 1:
        raise ValueError(f"char must be one character, got {char!r}")
    for name, value, step in (("size", size, 1), ("canvas", canvas, CANVAS)):
        if not isinstance(value, int) or value < 1 or value % step:
            raise ValueError(f"{name} must be a positive multiple of {step}, got {value!r}")
    face = _open(font, size)
    if not face.get_char_index(ord(char)):
        raise ValueError(f"font {font} has no glyph for {char!r} (U+{ord(char):04X})")
    image = _place(face, ord(char), canvas)
    if image is None:
        raise ValueError(f"{char!r} in {font} at size {size} does not fit on a canvas of {canvas} pixels")
    return image


def render() -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Draw every glyph of every font; return the arrays of the shipped file and a count of what became of each.

    The arrays are named as in `genbook.data.glyphs.ARRAYS`; the counter has the keys "drawn", "does not fit",
    "blank" and "no picture of its own" (control, private, unnamed and separator code points).
    """
    images, names, font_index = [], [], []
    outcome: Counter[str] = Counter()
    for number, font in enumerate(FONTS):
        face = _open(font, SIZE)
        for code, glyph_index in sorted(face.get_charmap().items()):
            name = unicodedata.name(chr(code), "")
            if not name or not glyph_index or unicodedata.category(chr(code)) in _NO_PICTURE:
                outcome["no picture of its own"] += 1
                continue
            image = _place(face, code, CANVAS)
            result = "does not fit" if image is None else "drawn" if image.any() else "blank"
            outcome[result] += 1
            if result == "drawn":
                images.append(image)
                names.append(name.lower())
                font_index.append(number)
    captions = sorted(set(names))
    place = {caption: index for index, caption in enumerate(captions)}
    caption_index = np.array([place[name] for name in names], dtype=np.int32)
    chosen = held_out_captions(captions)
    held_out = np.array([caption in chosen for caption in captions])[caption_index]
    pictures = np.stack(images)
    arrays = {
        "images": pictures,
        "captions": _text(captions),
        "caption_index": caption_index,
        "fonts": _text(FONTS),
        "styles": _text(" ".join(style) for style in FONTS.values()),
        "font_index": np.array(font_index, dtype=np.uint8),
        "held_out": held_out,
        "twin_of": twin_of(pictures, held_out),
    }
    return arrays, outcome


def _text(lines: Any) -> np.ndarray:
    """Return lines of text as one array of bytes, so that the file holds no Python objects."""
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)


def write(path: Path | str) -> Counter[str]:
    """Draw everything and write it to `path`, which is whole or absent; return the count of `render`."""
    arrays, outcome = render()
    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)
    return outcome


def main(arguments: list[str]) -> None:
    """Write the glyph file named by the one argument and say what was left out."""
    if len(arguments) != 1:
        raise SystemExit("usage: python -m genbook.data.glyph_renderer FILE.npz")
    counts = write(arguments[0])
    sys.stdout.write("".join(f"{count:>7,} {result}\n" for result, count in counts.most_common()))


if __name__ == "__main__":
    main(sys.argv[1:])
