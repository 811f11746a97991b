"""Your own data: a folder of pictures or a text file, brought into the shapes that the book's models take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbook.checks import check_count

__all__ = ["SUFFIXES", "images", "text"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def images(folder: Path | str, *, size: int = 32, channels: int = 1) -> Tensor:
    """Return the pictures of a folder as `(n, channels, size, size)` uint8, 0 to 255, in the order of file names.

    Each picture is turned as its camera says, laid on white where it is transparent, cut to its central square,
    resized (antialiased), and turned to grey for `channels=1`. Grey of 16 bits is scaled to 8.
    Hidden files and files whose suffix is not in `SUFFIXES` are passed over; folders inside are not entered.
    Divide by 255 for numbers from 0 to 1.

    Raises FileNotFoundError or NotADirectoryError where there is no such folder, ValueError where it holds no
    picture, where one cannot be read (the message names it), where `size` is not positive or `channels` is neither
    1 nor 3.
    """
    from PIL import Image, ImageOps

    check_count(size, name="size")
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels!r}")
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not folder.is_dir():
        raise NotADirectoryError(f"folder must be a folder of pictures, {folder} is a file")
    files = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    paths = sorted(
        path for path in files if not path.name.startswith(".")
    )  # hidden: macOS's "._x.png" is no picture
    if not paths:
        raise ValueError(f"{folder} holds no picture: none of its files ends in {', '.join(SUFFIXES)}")
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as opened:
                turned = ImageOps.exif_transpose(opened)
                if turned.mode.startswith("I;16"):  # Pillow would cut at 255 what goes to 65535
                    turned = Image.fromarray((np.asarray(turned) / 257).round().astype(np.uint8))
                colour = turned.convert("RGBA")
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path} is damaged or is no picture ({error})") from error
        paper = Image.new("RGBA", colour.size, "white")
        flat = Image.alpha_composite(paper, colour).convert("L" if channels == 1 else "RGB")
        square = ImageOps.fit(flat, (size, size), method=Image.Resampling.LANCZOS)
        pictures.append(np.asarray(square).reshape(size, size, channels))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def text(path: Path | str) -> str:
    r"""Return a text file's content as one string; its line ends become "\n".

    Raises FileNotFoundError where there is no such file, IsADirectoryError for a folder, ValueError where the file
    is empty or not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"path must be a text file, {path} is a folder")
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = path.read_text(encoding="utf-8-sig")  # a byte-order mark is no text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte {error.start} is 0x{error.object[error.start]:02x}): save it as UTF-8"
        ) from error
    if not content.strip():
        raise ValueError(f"{path} holds no text")
    return content
