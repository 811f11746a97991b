"""The letters: two parts of a subset of the glyphs, without repeats, and the figures of their card."""

import hashlib
import re
import unicodedata
from collections import Counter

import pytest
import torch

from genbook.data import glyphs, letters
from genbook.data._files import data_folder


@pytest.fixture(scope="module")
def parts():
    return letters.load("train"), letters.load("held_out")


@pytest.fixture(scope="module")
def source():
    return glyphs.load()


@pytest.fixture(scope="module")
def differences(parts):
    """The mean absolute difference of every two pictures, as a share of full scale; training pictures first."""
    pixels = torch.cat([part.images for part in parts]).flatten(1) / 255
    return torch.cdist(pixels, pixels, p=1).fill_diagonal_(torch.inf) / pixels.shape[1]


def test_the_parts_have_their_sizes_and_types(parts):
    assert [len(part) for part in parts] == [889, 314]
    for part in parts:
        assert part.images.shape == (len(part), 1, 32, 32) and part.images.dtype == torch.float32
        assert part.labels.shape == part.index.shape == (len(part),)
        assert part.labels.dtype == part.index.dtype == torch.int64
        assert part.images.min() == 0 and part.images.max() == 255
        assert torch.equal(part.images, part.images.round())


def test_every_letter_has_a_quarter_held_out(parts):
    train, held_out = (part.labels.bincount(minlength=52) for part in parts)
    assert len(train) == len(held_out) == len(letters.NAMES) == 52
    assert sorted(train.unique().tolist()) == [16, 17, 20]
    assert sorted(held_out.unique().tolist()) == [6, 7]
    assert torch.equal(held_out, (train + held_out + 2) // 4)


def test_the_parts_are_apart_and_each_is_in_the_order_of_the_glyphs(parts):
    train, held_out = (part.index.tolist() for part in parts)
    assert not set(train) & set(held_out)
    for index in (train, held_out):
        assert index == sorted(set(index))


def test_the_pictures_are_those_of_the_glyphs_and_none_is_held_out_there(parts, source):
    for part in parts:
        assert torch.equal(part.images[:, 0], source.images[part.index].float())
        assert not bool(source.held_out[part.index].any())


def test_the_label_is_the_letter_that_the_caption_names(parts, source):
    """Python's own table of characters says which: a mathematical bold small a is an a."""
    assert letters.NAMES == "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    for part in parts:
        for label, number in zip(part.labels.tolist(), part.index.tolist(), strict=True):
            caption = source.captions[int(source.caption_index[number])]
            assert unicodedata.normalize("NFKC", unicodedata.lookup(caption)) == letters.NAMES[label]


def test_no_letter_in_fancy_dress_is_among_them_and_every_plain_one_is(parts, source):
    numbers = torch.cat([part.index for part in parts])
    captions = [source.captions[int(i)] for i in source.caption_index[numbers]]
    for word in ("script", "fraktur", "double-struck", "fullwidth", "circled", "with"):
        assert not [c for c in captions if word in c.split()]
    expected = {f"latin {case} letter {a}" for case in ("capital", "small") for a in "abcdefghijklmnopqrstuvwxyz"}
    assert expected <= set(captions)
    styles = {c.removeprefix("mathematical ").rsplit(" ", 2)[0] for c in captions if c.startswith("mathematical")}
    assert styles == {
        "bold", "italic", "bold italic", "monospace", "sans-serif", "sans-serif bold", "sans-serif italic",
        "sans-serif bold italic",
    }  # fmt: skip


def test_no_picture_repeats_another(differences):
    assert differences.min() > 0.001


def test_pictures_were_left_out_as_repeats_only(parts, source):
    """Each plain letter of the glyph set is here, or has its twin here."""
    pixels = torch.cat([part.images for part in parts]).flatten(1)
    labels = torch.cat([part.labels for part in parts])
    known = set(torch.cat([part.index for part in parts]).tolist())
    for letter in ("A", "h", "l"):
        case = "capital" if letter.isupper() else "small"
        caption = source.captions.index(f"latin {case} letter {letter.lower()}")
        numbers = (source.caption_index == caption).nonzero()[:, 0].tolist()
        assert len(numbers) == 16
        mine = pixels[labels == letters.NAMES.index(letter)]
        for number in set(numbers) - known:
            apart = (mine - source.images[number].float().flatten()).abs().mean(1).min()
            assert apart <= 0.001 * 255


def test_the_held_out_pictures_of_a_letter_have_its_smallest_digests(parts):
    train, held_out = (
        [hashlib.sha256(image.to(torch.uint8).numpy().tobytes()).hexdigest() for image in part.images]
        for part in parts
    )
    for label in range(52):
        mine, theirs = (
            [d for d, n in zip(digests, part.labels.tolist(), strict=True) if n == label]
            for digests, part in zip((train, held_out), parts, strict=True)
        )
        assert max(theirs) < min(mine)


def test_the_cards_figures_of_near_repeats(parts, differences):
    train, held_out = parts
    across = differences[len(train) :, : len(train)]
    same = held_out.labels[:, None] == train.labels
    assert int((across <= 0.01).any(1).sum()) == 42
    assert int(((across <= 0.01) & same).any(1).sum()) == 30
    card = " ".join((data_folder() / "README.md").read_text(encoding="utf-8").split())
    assert "889 for training and 314 held out" in card
    assert "1,203 images of 32×32 pixels, 22 to 27 of each letter" in card
    assert "42 of the held-out pictures lie within 1 % of full scale of a training picture, 30 of them" in card
    counts = torch.cat([train.labels, held_out.labels]).bincount()
    assert (int(counts.sum()), int(counts.min()), int(counts.max())) == (1203, 22, 27)


def test_each_of_the_23_designs_is_on_both_sides(parts, source):
    def designs(part):
        words = [source.caption(i).split(", ") for i in part.index.tolist()]
        return Counter((re.sub(r"(capital|small) (letter )?[a-z]$", "", c), style) for c, style in words)

    train, held_out = map(designs, parts)
    whole = {design for design, count in (train + held_out).items() if count > 50}
    assert len(whole) == 23
    assert whole <= set(train) & set(held_out)
    assert sum(count for design, count in (train + held_out).items() if design not in whole) == 9


@pytest.mark.parametrize("split", ["test", "validation", "", None])
def test_an_unknown_split_gives_one_clear_error(split):
    with pytest.raises(ValueError, match=f"split must be 'train' or 'held_out', got {split!r}"):
        letters.load(split)
