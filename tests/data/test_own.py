"""Your own pictures and text, and the page that shows how."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genbook.data import own

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "pages" / "own_data.md"


def save(path, array, mode=None):
    Image.fromarray(np.asarray(array, dtype=np.uint8), mode=None).save(path)


def test_pictures_come_in_the_order_of_their_names(tmp_path):
    for number in (2, 0, 1):
        save(tmp_path / f"{number}.png", np.full((10, 10), 100 * number))
    (tmp_path / "notes.txt").write_text("passed over")
    x = own.images(tmp_path, size=4)
    assert x.shape == (3, 1, 4, 4) and x.dtype == torch.uint8
    assert x.flatten(1).unique(dim=1).flatten().tolist() == [0, 100, 200]


def test_the_central_square_is_kept(tmp_path):
    wide = np.zeros((4, 12))
    wide[:, 4:8] = 255
    save(tmp_path / "wide.png", wide)
    assert own.images(tmp_path, size=4).unique().tolist() == [255]


def test_pixels_are_untouched_at_their_own_size(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    save(tmp_path / "colour.png", array)
    assert np.array_equal(own.images(tmp_path, size=8, channels=3)[0].permute(1, 2, 0).numpy(), array)


def test_transparent_is_white_and_palettes_are_read(tmp_path):
    save(tmp_path / "a.png", np.zeros((4, 4, 4)))  # all channels 0: transparent black
    Image.new("P", (4, 4), 0).save(tmp_path / "b.gif")
    x = own.images(tmp_path, size=4, channels=3)
    assert x[0].unique().tolist() == [255] and x[1].unique().tolist() == [0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_is_scaled_and_not_cut(tmp_path, suffix):
    array = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(array).save(tmp_path / f"deep.{suffix}")
    assert own.images(tmp_path, size=16)[0, 0].flatten().tolist() == list(range(256))


def test_hidden_files_are_passed_over(tmp_path):
    save(tmp_path / "a.png", np.zeros((4, 4)))
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves on foreign disks")
    assert len(own.images(tmp_path, size=4)) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(ValueError, match="holds no picture"):
        own.images(tmp_path, size=4)


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    array = np.zeros((8, 8))
    array[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(array.astype(np.uint8)).save(tmp_path / "turned.png", exif=exif)
    x = own.images(tmp_path, size=8)[0, 0]
    assert x[:4].max() == 0 and x[4:].min() == 255


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda f: None, {}, FileNotFoundError, "there is no folder"),
        (lambda f: f.write_text("a file"), {}, NotADirectoryError, "must be a folder of pictures"),
        (lambda f: f.mkdir(), {}, ValueError, "holds no picture: none of its files ends in .bmp"),
        (
            lambda f: f.mkdir() or (f / "x.png").write_text("no"),
            {},
            ValueError,
            "x.png is damaged or is no picture",
        ),
        (
            lambda f: f.mkdir() or (f / "x.png").write_bytes(b""),
            {},
            ValueError,
            "x.png is damaged or is no picture",
        ),
        (lambda f: f.mkdir(), {"size": 0}, ValueError, "size must be at least 1, got 0"),
        (lambda f: f.mkdir(), {"size": 8.0}, TypeError, "size must be a whole number, got 8.0"),
        (lambda f: f.mkdir(), {"channels": 2}, ValueError, "channels must be 1 .* or 3 .*, got 2"),
    ],
)
def test_bad_folders_give_one_clear_error(tmp_path, make, options, error, message):
    make(tmp_path / "folder")
    with pytest.raises(error, match=message):
        own.images(tmp_path / "folder", **options)


def test_a_truncated_picture_is_named(tmp_path):
    save(tmp_path / "good.png", np.zeros((50, 50)))
    noise = np.random.default_rng(0).integers(0, 256, (50, 50))
    save(tmp_path / "half.png", noise)
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"half\.png is damaged or is no picture"):
        own.images(tmp_path)


def test_text_is_read_as_it_stands(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffgrüße\r\nθ = 1\n".encode())
    assert own.text(path) == "grüße\nθ = 1\n"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "there is no file"),
        (b"", ValueError, "holds no text"),
        (b" \n\n", ValueError, "holds no text"),
        ("grüße".encode("latin-1"), ValueError, r"is not UTF-8 text \(byte 2 is 0xfc\): save it as UTF-8"),
    ],
)
def test_bad_text_files_give_one_clear_error(tmp_path, content, error, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        own.text(path)


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(IsADirectoryError, match="must be a text file"):
        own.text(tmp_path)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    page = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == page.count("```") // 2 >= 4  # so no block escapes the run
    monkeypatch.chdir(tmp_path)
    names = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    from matplotlib import pyplot as plt

    figures = plt.get_fignums()
    plt.close("all")
    assert len(figures) == 1
    printed = capsys.readouterr().out
    # what the page says is printed is what is printed
    claimed = re.findall(r"^print\(.*?\)  # (.+)$", "\n".join(blocks), re.M)
    assert claimed and printed.splitlines() == claimed
