"""Downloads: from a server on this machine, with the net refused, and from files that are wrong in every way."""

import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import struct
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from genbook.data import downloads

CONTENT = b"one small file, " * 500


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("GENBOOK_DATA", str(folder))
    return folder


@pytest.fixture
def no_net(monkeypatch):
    def refuse(*_, **__):
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves what its server holds; "/short" promises more than it sends, "/slow" sends nothing in time."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path not in self.server.pages:
            self.send_error(404)
            return
        body = self.server.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (1000 if self.path == "/short" else 0)))
        self.end_headers()
        if self.path == "/slow":
            self.server.stop.wait(10)
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.pages = {
            "/good": CONTENT,
            "/bad": b"something else",
            "/short": CONTENT[:100],
            "/slow": CONTENT,
        }
        server.asked, server.stop = [], threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stop.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def serve(server, monkeypatch):
    """Make "folder/file.txt" a known file that these pages of the server hold."""

    def known(*pages):
        addresses = tuple(f"http://127.0.0.1:{server.server_port}{page}" for page in pages)
        checksum = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
        remote = downloads.Remote(checksum, addresses, "genbook.data.prose.load()")
        monkeypatch.setitem(downloads.FILES, "folder/file.txt", remote)
        monkeypatch.setattr(downloads, "TIMEOUT", 0.5)
        return server

    return known


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


# ---- fetching -----------------------------------------------------------------------------------------------
def test_a_file_is_fetched_once(serve, cache):
    server = serve("/good")
    assert downloads.fetch("folder/file.txt").read_bytes() == CONTENT
    assert downloads.fetch("folder/file.txt") == cache / "folder" / "file.txt"
    assert server.asked == ["/good"] and files_in(cache) == ["folder/file.txt"]


@pytest.mark.parametrize("first", ["/missing", "/bad", "/short", "/slow"])
def test_the_mirror_serves_where_the_first_address_fails(serve, cache, first):
    server = serve(first, "/good")
    assert downloads.fetch("folder/file.txt").read_bytes() == CONTENT
    assert server.asked == [first, "/good"] and files_in(cache) == ["folder/file.txt"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("/missing", "the server answers 404"),
        ("/bad", "what came is not the published file"),
        ("/short", r"\w*Error|what came is not"),
        ("/slow", r"\w*Error"),
    ],
)
def test_a_failed_download_gives_one_clear_error_and_leaves_nothing(serve, cache, page, reason):
    serve(page)
    with pytest.raises(
        ConnectionError, match=f"could not download folder/file.txt .*{page}: ({reason})"
    ) as caught:
        downloads.fetch("folder/file.txt")
    assert "genbook.data.prose.load()" in str(caught.value) and "path=" in str(caught.value)
    assert files_in(cache) == []


def test_a_file_damaged_in_the_cache_is_fetched_again(serve, cache):
    serve("/good")
    path = downloads.fetch("folder/file.txt")
    path.write_bytes(CONTENT[:-1])
    assert downloads.fetch("folder/file.txt").read_bytes() == CONTENT


def test_a_damaged_cache_without_net_is_an_error(serve, cache, no_net):
    serve("/good")
    path = cache / "folder" / "file.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ConnectionError, match="could not download"):
        downloads.fetch("folder/file.txt")


def test_an_intact_cache_needs_neither_net_nor_write_access(serve, cache, no_net, monkeypatch):
    serve("/good")
    path = cache / "folder" / "file.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("the cache was written to"))
    assert downloads.fetch("folder/file.txt") == path


def test_an_interrupted_download_leaves_nothing(serve, cache, monkeypatch):
    import pooch

    def interrupted(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(CONTENT[:10])
        raise KeyboardInterrupt

    serve("/good")
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        downloads.fetch("folder/file.txt")
    assert files_in(cache) == []


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (downloads.mnist, "genbook.data.digits.load()"),
        (downloads.fashion_mnist, "genbook.data.glyphs.load()"),
        (downloads.cifar10, "genbook.data.photos.load('china')"),
        (downloads.tiny_shakespeare, "genbook.data.prose.load()"),
    ],
)
def test_without_net_the_error_names_what_the_package_has(cache, no_net, call, instead):
    with pytest.raises(ConnectionError, match="could not download") as caught:
        call()
    assert instead in str(caught.value) and str(caught.value).count("http") == 2
    assert files_in(cache) == []


def test_what_the_errors_offer_exists():
    from genbook.data import digits, glyphs, photos, prose

    offered = " ".join(remote.instead for remote in downloads.FILES.values())
    for module, call in ((digits, "digits.load()"), (glyphs, "glyphs.load()"), (prose, "prose.load()")):
        assert f"genbook.data.{call}" in offered and callable(module.load)
    assert "photos.load('china')" in offered and "china" in photos.NAMES


@pytest.mark.parametrize("kind", ["a file stands there", "read-only"])
def test_an_unwritable_cache_gives_one_clear_error(tmp_path, monkeypatch, serve, kind):
    serve("/good")
    if kind == "read-only":  # by hand: the superuser may write anywhere

        def refuse(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setenv("GENBOOK_DATA", str(tmp_path / "cache"))
        monkeypatch.setattr(downloads.tempfile, "TemporaryFile", refuse)
    else:
        (tmp_path / "taken").write_text("a file")
        monkeypatch.setenv("GENBOOK_DATA", str(tmp_path / "taken"))
    with pytest.raises(
        OSError, match=r"cannot write to the cache folder .*: set the environment variable GENBOOK_DATA"
    ):
        downloads.fetch("folder/file.txt")


def test_the_cache_is_the_systems_unless_named(monkeypatch):
    monkeypatch.delenv("GENBOOK_DATA", raising=False)
    assert downloads.cache_folder().name == "genbook"
    monkeypatch.setenv("GENBOOK_DATA", "~/somewhere")
    assert downloads.cache_folder() == Path(os.path.expanduser("~/somewhere"))


def test_every_file_has_a_checksum_and_a_mirror():
    assert len(downloads.FILES) == 10
    for remote in downloads.FILES.values():
        algorithm, value = remote.checksum.split(":")
        assert len(value) == {"md5": 32, "sha256": 64}[algorithm] and int(value, 16)
        assert len({address.split("/")[2] for address in remote.addresses}) == 2
    assert len({remote.checksum for remote in downloads.FILES.values()}) == 10


def test_unknown_file_gives_one_clear_error(cache):
    with pytest.raises(ValueError, match=r"name must be one of mnist/.*, got 'imagenet'"):
        downloads.fetch("imagenet")


# ---- MNIST's format -------------------------------------------------------------------------------------------
def idx(array):
    array = np.asarray(array, dtype=np.uint8)
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, count, pack in (("train", 60, gzip.compress), ("t10k", 10, bytes)):
        suffix = ".gz" if pack is gzip.compress else ""
        images = random.integers(0, 256, (count, 28, 28))
        (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(np.arange(count) % 10)))
    return folder


@pytest.mark.parametrize("load", [downloads.mnist, downloads.fashion_mnist])
def test_own_idx_files_come_in_three_parts(idx_folder, load):
    parts = {split: load(split, path=idx_folder) for split in downloads.PARTS}
    assert {split: len(part) for split, part in parts.items()} == {"train": 50, "validation": 10, "test": 10}
    whole = downloads.read_idx(idx_folder / "train-images-idx3-ubyte.gz")
    joined = torch.cat([parts["train"].images, parts["validation"].images])
    assert joined.shape == (60, 1, 28, 28) and joined.dtype == torch.uint8
    assert np.array_equal(joined[:, 0].numpy(), whole)
    assert parts["validation"].labels.tolist() == list(range(10)) and parts["test"].labels.dtype == torch.int64


def test_idx_by_hand(tmp_path):
    path = tmp_path / "hand"
    path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255]))
    assert downloads.read_idx(path).tolist() == [[1, 2, 3], [4, 5, 255]]


GOOD = idx(np.zeros((3, 28, 28)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no idx file of bytes: it starts with nothing"),
        (b"PK\x03\x04 something", "is no idx file of bytes: it starts with 504b0304"),
        (b"\x00\x00\x0d" + GOOD[3:], "is no idx file of bytes: it starts with 00000d03"),
        (GOOD[:9], "is cut off inside its header, after 9 bytes"),
        (GOOD[:-1], r"says shape \(3, 28, 28\), 2352 bytes, but 2351 bytes follow"),
        (GOOD + b"\x00", r"says shape \(3, 28, 28\), 2352 bytes, but 2353 bytes follow"),
        (GOOD[:4] + b"\xff" * 12, "but 0 bytes follow"),
    ],
)
def test_damaged_idx_file_gives_one_clear_error(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        downloads.read_idx(tmp_path / "file")
    (tmp_path / "file.gz").write_bytes(gzip.compress(content))
    with pytest.raises(ValueError, match=message):
        downloads.read_idx(tmp_path / "file.gz")


@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-20], lambda packed: packed[:20], lambda packed: b"no gzip" + packed, None]
)
def test_damaged_gz_file_gives_one_clear_error(tmp_path, damage):
    path = tmp_path / "file.gz"
    packed = gzip.compress(np.random.default_rng(0).bytes(5000))
    if damage is None:  # a flipped byte in the middle
        flipped = bytearray(packed)
        flipped[len(packed) // 2] ^= 255
        path.write_bytes(flipped)
    else:
        path.write_bytes(damage(packed))
    with pytest.raises(ValueError, match=r"file\.gz is damaged or no gzip file"):
        downloads.read_idx(path)


def test_wrongly_shaped_idx_files_give_one_clear_error(idx_folder):
    (idx_folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((10, 32, 32))))
    with pytest.raises(ValueError, match=r"must hold images of shape \(n, 28, 28\), got \(10, 32, 32\)"):
        downloads.mnist("test", path=idx_folder)
    (idx_folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((9, 28, 28))))
    with pytest.raises(ValueError, match=r"has 9 images but labels of shape \(10,\)"):
        downloads.mnist("test", path=idx_folder)
    (idx_folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((10, 28, 28))))
    (idx_folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(10, 11)))
    with pytest.raises(ValueError, match="labels from 11 to 11, expected 0 to 9"):
        downloads.mnist("test", path=idx_folder)


def test_missing_idx_files_give_one_clear_error(idx_folder):
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*t10k-labels-idx1-ubyte\.gz"):
        downloads.mnist("test", path=idx_folder)
    with pytest.raises(NotADirectoryError, match="path must be a folder that holds train-images"):
        downloads.mnist("test", path=idx_folder / "t10k-images-idx3-ubyte")


@pytest.mark.parametrize("load", [downloads.mnist, downloads.fashion_mnist, downloads.cifar10])
def test_unknown_split_gives_one_clear_error(load, no_net):
    with pytest.raises(ValueError, match="split must be one of 'train', 'validation', 'test', got 'dev'"):
        load("dev")


# ---- CIFAR-10 -------------------------------------------------------------------------------------------------
def cifar_batch(number, count=20):
    random = np.random.default_rng(number)
    images = random.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {b"data": images, b"labels": [int(label) for label in random.integers(0, 10, count)]}


def write_cifar(path, change=None):
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batches = {name: cifar_batch(number) for number, name in enumerate(names)}
    if change:
        change(batches)
    with tarfile.open(path, "w:gz") as tar:
        for name, batch in batches.items():
            packed = pickle.dumps(batch, protocol=2)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(packed)
            tar.addfile(member, io.BytesIO(packed))
    return path


def test_own_cifar_archive_comes_in_three_parts(tmp_path):
    path = write_cifar(tmp_path / "cifar.tar.gz")
    parts = [downloads.cifar10(split, path=path) for split in downloads.PARTS]
    assert [len(part) for part in parts] == [90, 10, 20]
    assert parts[0].images.shape == (90, 3, 32, 32) and parts[0].images.dtype == torch.uint8
    first = cifar_batch(0)
    # a row of the file is the red plane, then the green, then the blue
    assert parts[0].images[0, 1, 0, 5] == first[b"data"][0, 1024 + 5]
    assert parts[0].labels[:20].tolist() == first[b"labels"]
    assert [path.name for path in tmp_path.iterdir()] == ["cifar.tar.gz"]


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda batches: batches.pop("data_batch_3"), "data_batch_3"),
        (lambda batches: batches["data_batch_2"].pop(b"labels"), "is not the archive of CIFAR-10"),
        (lambda batches: batches["data_batch_2"].update({b"data": np.zeros((20, 100), np.uint8)}), "reshape"),
        (
            lambda batches: batches["data_batch_2"].update({b"labels": [3]}),
            r"20 images but labels of shape \(1,\)",
        ),
        (lambda batches: batches["data_batch_2"].update({b"labels": [10] * 20}), "labels from 10 to 10"),
        (lambda batches: batches["data_batch_1"].update({b"more": Attack()}), "mkdir is not allowed"),
    ],
)
def test_wrong_cifar_archive_gives_one_clear_error(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    path = write_cifar(tmp_path / "cifar.tar.gz", change)
    with pytest.raises(ValueError, match=f"is (damaged or is )?not the archive of CIFAR-10.*{message}|{message}"):
        downloads.cifar10(path=path)
    assert not Path("attacked").exists()


@pytest.mark.parametrize("damage", ["truncated", "text"])
def test_damaged_cifar_archive_gives_one_clear_error(tmp_path, damage):
    path = write_cifar(tmp_path / "cifar.tar.gz")
    path.write_bytes(path.read_bytes()[:100_000] if damage == "truncated" else b"not an archive")
    with pytest.raises(ValueError, match="is damaged or is not the archive of CIFAR-10"):
        downloads.cifar10(path=path)


def test_missing_local_files_give_one_clear_error(tmp_path):
    for load in (downloads.cifar10, downloads.tiny_shakespeare):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            load(path=tmp_path / "none")


def test_own_shakespeare(tmp_path):
    path = tmp_path / "play.txt"
    path.write_text("First Citizen:\nBefore we proceed any further, hear me speak.\n")
    assert downloads.tiny_shakespeare(path=path).startswith("First Citizen:\nBefore")
