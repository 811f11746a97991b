"""The glyphs: the shipped file, the renderer that made it, the held-out compositions and their twins."""

import hashlib
import re
import shutil
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch

from genbook.data import glyph_renderer, glyph_split, glyphs
from genbook.data._files import data_folder

ROOT = Path(__file__).resolve().parents[2]
LOCKED_MATPLOTLIB = re.search(
    r"^matplotlib==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M
)[1]
under_lock = pytest.mark.skipif(
    matplotlib.__version__ != LOCKED_MATPLOTLIB,
    reason=f"the pixels are those of matplotlib {LOCKED_MATPLOTLIB}; here is {matplotlib.__version__}",
)


@pytest.fixture(scope="module")
def shipped():
    return glyphs.load()


def test_the_set_is_large(shipped):
    assert len(shipped) >= 53_000
    assert len(shipped.captions) >= 7_250
    assert shipped.images.shape == (len(shipped), 32, 32) and shipped.images.dtype == torch.uint8
    assert (data_folder() / "glyphs.npz").stat().st_size < 5_000_000


def test_loads_within_a_second():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        glyphs.load()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


def test_loading_needs_no_matplotlib():
    code = "import sys; from genbook.data import glyphs; glyphs.load(); sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_file_and_arrays_are_those_of_the_data_card():
    path = data_folder() / "glyphs.npz"
    card = (data_folder() / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == glyphs.FILE_SHA256
    assert glyphs.digest(glyphs.read_arrays()) == glyphs.ARRAYS_SHA256
    assert glyphs.FILE_SHA256 in card and glyphs.ARRAYS_SHA256 in card


def test_figures_of_the_data_card(shipped):
    card = " ".join((data_folder() / "README.md").read_text(encoding="utf-8").split())
    held_out = {shipped.captions[i] for i in shipped.caption_index[shipped.held_out].tolist()}
    braille = sum(caption.startswith("braille") for caption in held_out)
    first = [caption.split()[0] for caption in shipped.captions]
    latin = sum(first[i] == "latin" for i in shipped.caption_index.tolist()) / len(shipped)
    sans = sum(shipped.styles[i][0] == "sans" for i in shipped.font_index.tolist()) / len(shipped)
    for figure in (
        f"{len(shipped):,} images of 32×32 pixels, {len(shipped.captions):,} captions",
        f"{(data_folder() / 'glyphs.npz').stat().st_size:,} bytes",
        f"{len(held_out)} captions are held out in every font, {len(held_out) - braille} letters with marks and "
        f"{braille} Braille patterns: {int(shipped.held_out.sum()):,} images",
        f"{int(shipped.twins.sum())} of the held-out images have a twin",
        f"the other {int(shipped.scored.sum()):,}",
        f"{latin:.1%}".replace("%", " % of the images are Latin"),
        f"{sans:.1%}".replace("%", " % of the images are in one of its four styles"),
    ):
        assert figure in card, figure


@under_lock
def test_renderer_reproduces_the_shipped_arrays(tmp_path):
    outcome = glyph_renderer.write(tmp_path / "again.npz")
    arrays = glyphs.read_arrays(tmp_path / "again.npz")
    assert glyphs.digest(arrays) == glyphs.ARRAYS_SHA256
    assert outcome["drawn"] == len(arrays["images"])
    card = (data_folder() / "README.md").read_text(encoding="utf-8")
    assert f"{outcome['drawn']:,} images" in card and f"{outcome['does not fit']:,} left out" in card
    assert f"{outcome['blank']:,} are" in card and f"{outcome['no picture of its own']:,} code points" in card
    assert [path.name for path in tmp_path.iterdir()] == ["again.npz"]


def test_digest_sees_one_pixel():
    arrays = glyphs.read_arrays()
    arrays["images"] = arrays["images"].copy()
    arrays["images"][-1, 5, 5] ^= 1
    assert glyphs.digest(arrays) != glyphs.ARRAYS_SHA256


def test_no_picture_is_blank_or_twice_in_one_font(shipped):
    assert bool((shipped.images.flatten(1).amax(1) > 0).all())
    pairs = torch.stack([shipped.caption_index, shipped.font_index], 1)
    assert len(pairs.unique(dim=0)) == len(shipped)


def test_captions_name_the_picture_and_the_font(shipped):
    i = shipped.find("latin small letter e with acute", "DejaVuSerif-BoldItalic")
    assert shipped.caption(i) == "latin small letter e with acute, serif bold italic"
    drawn = glyph_renderer.draw("é", "DejaVuSerif-BoldItalic")
    if matplotlib.__version__ == LOCKED_MATPLOTLIB:
        assert np.array_equal(shipped.images[i].numpy(), drawn)
    assert len(set(shipped.styles)) == len(shipped.fonts) == 16  # so a full caption names one picture
    assert all(unicodedata.lookup(caption) for caption in shipped.captions[::50])


def test_pictures_are_never_centred_by_ink():
    one, four = glyph_renderer.draw("⠁", "DejaVuSans"), glyph_renderer.draw("⠈", "DejaVuSans")
    assert not np.array_equal(one, four)
    columns = np.arange(32)
    assert (one.sum(0) @ columns) / one.sum() < 15 < 17 < (four.sum(0) @ columns) / four.sum()
    shipped = glyphs.load()
    both = [shipped.find(f"braille pattern dots-{dot}", "DejaVuSans") for dot in (1, 4)]
    assert not torch.equal(shipped.images[both[0]], shipped.images[both[1]])


@pytest.mark.parametrize("font", glyph_renderer.FONTS)
def test_every_font_stands_on_the_baseline(font):
    rows = np.flatnonzero(glyph_renderer.draw("H", font).any(1))
    assert rows[-1] == glyph_renderer.BASELINE - 1
    assert np.flatnonzero(glyph_renderer.draw("p", font).any(1))[-1] > glyph_renderer.BASELINE


@pytest.mark.parametrize("font", ["DejaVuSans", "DejaVuSansMono-Bold", "DejaVuSerif-Italic", "STIXGeneral"])
def test_double_size_is_the_same_shape(font):
    for char in "aé⊗Wjß":
        small = glyph_renderer.draw(char, font).astype(float)
        large = glyph_renderer.draw(char, font, size=40, canvas=64).astype(float)
        assert large.shape == (64, 64)
        averaged = large.reshape(32, 2, 32, 2).mean((1, 3))
        assert np.abs(averaged - small).mean() < 0.8  # outlines are rounded to 1/64 pixel at each size
        moved = np.roll(averaged, 1, axis=1)
        assert np.abs(moved - small).mean() > 5


# ---- what is held out -----------------------------------------------------------------------------------------
def test_parts_of_a_caption():
    assert glyph_split.parts("latin small letter o with tilde and macron") == (
        "latin small letter o",
        ("tilde", "macron"),
    )
    assert glyph_split.parts("braille pattern dots-14") == ("braille pattern", ("1", "4"))
    assert glyph_split.parts("latin small letter o") is None
    assert glyph_split.parts("circle with vertical fill") is None


def test_held_out_compositions_have_trained_parts(shipped):
    held_out = {shipped.captions[i] for i in shipped.caption_index[shipped.held_out].tolist()}
    training = {shipped.captions[i] for i in shipped.caption_index[shipped.split("train")].tolist()}
    assert held_out == glyph_split.held_out_captions(shipped.captions)
    assert not held_out & training  # in every font
    trained_parts = [found for caption in training if (found := glyph_split.parts(caption))]
    trained_marks = {mark for _, marks in trained_parts for mark in marks}
    letters = [caption for caption in held_out if not caption.startswith("braille")]
    braille = [caption for caption in held_out if caption.startswith("braille")]
    assert len(letters) >= 100 and len(braille) >= 40
    for caption in letters:
        base, marks = glyph_split.parts(caption)
        assert base in training and set(marks) <= trained_marks
    for caption in braille:
        dots = glyph_split.parts(caption)[1]
        assert len(dots) >= 2
        assert all(f"braille pattern dots-{dot}" in training for dot in dots)
    words = {word for caption in training for word in caption.split()}
    assert all(word in words for caption in letters for word in caption.split())


def test_the_rule_keeps_rare_marks():
    captions = [f"latin small letter {x}" for x in "abcdefghijklmnop"]
    captions += [f"{caption} with {mark}" for caption in captions for mark in ("acute", "grave")]
    rare = [f"latin small letter {x} with horn" for x in "abc"]
    held_out = glyph_split.held_out_captions(captions + rare)
    assert held_out and held_out == glyph_split.held_out_captions(reversed(captions + rare))
    assert not held_out & set(rare)
    for mark in ("acute", "grave"):
        assert sum(c.endswith(mark) and c not in held_out for c in captions) >= glyph_split.KEEP


def test_twins_are_exactly_those_that_a_full_search_finds(shipped):
    held_out = shipped.held_out.nonzero()[:, 0]
    some = torch.cat([held_out[::40], shipped.twins.nonzero()[:20, 0]])
    training = (~shipped.held_out).nonzero()[:, 0]
    flat = shipped.images.flatten(1).to(torch.float32)
    distance = torch.cdist(flat[some], flat[training], p=1).amin(1) / 1024 / 255
    assert ((distance <= 0.001) == shipped.twins[some]).all()
    for i in shipped.twins.nonzero()[:, 0].tolist():
        j = int(shipped.twin_of[i])
        assert not shipped.held_out[j] and (flat[i] - flat[j]).abs().mean() <= 0.001 * 255
    assert not (shipped.twins & ~shipped.held_out).any()
    assert shipped.scored.sum() == shipped.held_out.sum() - shipped.twins.sum()
    assert 0 < shipped.twins.sum() < 0.1 * shipped.held_out.sum()


def test_twin_search_at_its_limit():
    image = np.zeros((32, 32), dtype=np.uint8)
    near, far = image.copy(), image.copy()
    near.flat[:2] = 130  # 260 of 261.12 allowed
    far.flat[:2] = 131
    pictures = np.stack([image, near, far])
    assert glyph_split.twin_of(pictures, np.array([False, True, True])).tolist() == [-1, 0, -1]


# ---- bad input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: g.split("test"), ValueError, "name must be 'train' or 'held_out', got 'test'"),
        (lambda g: g.of_font("Arial"), ValueError, "font must be one of DejaVuSans, .*, got 'Arial'"),
        (lambda g: g.find("unicorn", "DejaVuSans"), KeyError, "DejaVuSans has no glyph captioned 'unicorn'"),
        (lambda _: glyph_renderer.draw("ab", "DejaVuSans"), ValueError, "char must be one character, got 'ab'"),
        (lambda _: glyph_renderer.draw("a", "Arial"), ValueError, "font must be one of .*, got 'Arial'"),
        (lambda _: glyph_renderer.draw("中", "DejaVuSans"), ValueError, r"no glyph for '中' \(U\+4E2D\)"),
        (lambda _: glyph_renderer.draw("W", "DejaVuSans", size=60), ValueError, "does not fit on a canvas of 32"),
        (lambda _: glyph_renderer.draw("W", "DejaVuSans", canvas=40), ValueError, "canvas must be a positive mul"),
    ],
)
def test_bad_calls_give_one_clear_error(shipped, call, error, message):
    with pytest.raises(error, match=message):
        call(shipped)


def test_missing_file_gives_one_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no glyph file at .*: `make glyphs` draws it"):
        glyphs.load(tmp_path / "none.npz")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text", "other arrays", "empty", "wrong shape"])
def test_damaged_file_gives_one_clear_error(tmp_path, damage):
    path = tmp_path / "glyphs.npz"
    shutil.copy(data_folder() / "glyphs.npz", path)
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:100_000])
    elif damage == "flipped":
        path.write_bytes(content[:100_000] + bytes(200) + content[100_200:])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "other arrays":
        np.savez(path, images=np.zeros((2, 32, 32), np.uint8))
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        arrays = glyphs.read_arrays(path)
        np.savez(path, **arrays | {"held_out": arrays["held_out"][:-1]})
    with pytest.raises(ValueError, match=r"glyphs\.npz is (damaged or is )?no glyph file"):
        glyphs.load(path)


def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "glyphs.npz"
    path.write_text("old")

    def interrupted(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(glyph_renderer, "render", lambda: ({}, {}))
    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        glyph_renderer.write(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["glyphs.npz"]


def test_renderer_wants_one_argument():
    with pytest.raises(SystemExit, match=r"usage: python -m genbook.data.glyph_renderer FILE\.npz"):
        glyph_renderer.main([])
