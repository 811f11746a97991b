"""Stored measurements: read whole, or refused with the command that makes them."""

import json

import pytest

from genbook.data import _files, benchmarks


def test_a_record_is_what_the_command_wrote():
    record = benchmarks.load("density")
    assert record["command"] == "genbook bench density"
    assert record["results"]["seeds"] == [0, 1, 2]
    assert {"cpu", "cores", "torch"} <= set(record["hardware"])


def test_an_installed_package_reads_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "PACKAGE", tmp_path)
    folder = tmp_path / "_data" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "mine.json").write_text(json.dumps({"results": 3}))
    assert benchmarks.load("mine") == {"results": 3}


def test_an_unknown_name_and_a_damaged_record_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"no measurement is called 'nothing'; there are: .*density"):
        benchmarks.load("nothing")
    monkeypatch.setattr(_files, "PACKAGE", tmp_path)
    folder = tmp_path / "_data" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "torn.json").write_text('{"results": ')
    with pytest.raises(ValueError, match=r"torn\.json is no JSON .*`genbook bench torn` makes it"):
        benchmarks.load("torn")
