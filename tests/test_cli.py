"""The command line, and that what it stored can be measured again."""

import json
from pathlib import Path

import pytest

from genbook.cli import __main__ as cli
from genbook.cli.bench_density import categorical_on_digits

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "density.json"


def test_stored_results_name_their_command_seeds_and_hardware():
    record = json.loads(STORED.read_text())
    assert record["command"] == "genbook bench density"
    assert {"cpu", "cores", "python", "torch", "scikit-learn"} <= set(record["hardware"])
    results = record["results"]
    assert all(len(rows) == len(results["seeds"]) == 3 for rows in results["rows"].values())


def test_a_stored_number_comes_out_again():
    rows = json.loads(STORED.read_text())["results"]["rows"]
    stored = rows["digits: mixture of 10 tables, nats per image"]
    assert categorical_on_digits(10, 1) == pytest.approx(stored[1]["nats"], abs=0.05)


def test_ours_is_as_likely_as_scikit_learns():
    rows = json.loads(STORED.read_text())["results"]["rows"]
    for family in ("kernel density", "mixture of 8 by EM"):
        ours, theirs = (
            sum(r["nats"] for r in rows[f"{family}, {whose}"]) / 3 for whose in ("ours", "scikit-learn")
        )
        assert ours < theirs + 0.01, family


def test_bench_writes_whole_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(cli.BENCHES, "density", lambda: {"answer": 42})
    assert cli.main(["bench", "density", "--folder", str(tmp_path / "new")]) == 0
    assert json.loads((tmp_path / "new" / "density.json").read_text())["results"] == {"answer": 42}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["density.json"]

    monkeypatch.setitem(cli.BENCHES, "density", lambda: {"answer": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        cli.main(["bench", "--folder", str(tmp_path / "new")])
    assert json.loads((tmp_path / "new" / "density.json").read_text())["results"] == {"answer": 42}


def test_unknown_names_are_answered_with_the_known(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "nothing"])
    assert stop.value.code == 2
    assert "no benchmark is called nothing; there are: density" in capsys.readouterr().err
