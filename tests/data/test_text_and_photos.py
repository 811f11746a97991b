"""Prose, code and photos: read from what every machine with the package has."""

import ast
import sysconfig

import matplotlib
import numpy as np
import pytest

from genbook.data import code, photos, prose


def test_prose_is_the_language_reference():
    text = prose.load()
    assert 440_000 < len(text) < 600_000  # tolerance: it differs between versions of Python
    assert text.startswith('The "assert" statement') and text.count("namespace") > 50
    from pydoc_data.topics import topics

    names = sorted(topics)
    assert text.startswith(topics[names[0]]) and text.endswith("\n" + topics[names[-1]])


def test_prose_is_split_in_order():
    first, last = prose.split()
    assert first + last == prose.load()
    assert len(first) == int(0.9 * len(prose.load()))
    assert prose.split("0123456789") == ("012345678", "9")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("short", ValueError, "at least 10 characters .* got 5"),
        (b"bytes of text", TypeError, "must be a str, got bytes"),
    ],
)
def test_bad_text_gives_one_clear_error(text, error, message):
    with pytest.raises(error, match=message):
        prose.split(text)


def test_code_is_source_that_parses():
    sources = code.load()
    assert tuple(sources) == code.MODULES == tuple(sorted(code.MODULES))
    assert len(sources) == 125 and 3_000_000 < sum(map(len, sources.values())) < 6_000_000
    for name in code.MODULES[::20]:
        assert ast.parse(sources[name])
    assert "def heappush" in sources["heapq"]


def test_python_without_sources_gives_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="this Python has no source for the module 'abc'"):
        code.load()


@pytest.mark.parametrize(
    ("name", "shape"), [("china", (427, 640, 3)), ("flower", (427, 640, 3)), ("grace_hopper", (600, 512, 3))]
)
def test_photos(name, shape):
    photo = photos.load(name)
    assert photo.shape == shape and photo.dtype == np.uint8
    assert photo.std() > 30  # a picture, not a flat field
    photo[:] = 0
    assert photos.load(name).any()  # each call gives its own copy


def test_unknown_photo_gives_one_clear_error():
    with pytest.raises(ValueError, match="name must be one of 'china', 'flower', 'grace_hopper', got 'lena'"):
        photos.load("lena")


def test_matplotlib_without_samples_gives_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="use the photo 'china' or 'flower'"):
        photos.load("grace_hopper")
