"""Where the shipped files are found, and that a file is written whole or not at all."""

import pytest

from genbook.data import _files


def test_an_installed_package_has_its_own_copy(tmp_path, monkeypatch):
    package = tmp_path / "src" / "genbook"
    package.mkdir(parents=True)
    monkeypatch.setattr(_files, "PACKAGE", package)
    with pytest.raises(FileNotFoundError, match=r"the shipped data is neither in .*_data nor in .*data"):
        _files.data_folder()
    (tmp_path / "data").mkdir()
    assert _files.data_folder() == tmp_path / "data"  # a checkout
    (package / "_data").mkdir()
    assert _files.data_folder() == package / "_data"  # a wheel


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with _files.atomic_write(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with pytest.raises(KeyboardInterrupt), _files.atomic_write(path) as file:
        file.write(b"sec")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_not_there_gives_one_clear_error(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"cannot write .*: there is no folder"),
        _files.atomic_write(tmp_path / "none" / "file"),
    ):
        pytest.fail("the block must not run")
