"""The leaderboard: its rules, its bounds, its stored figures, and that they come out again."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from genbook.cli import __main__ as cli
from genbook.cli import leaderboard
from genbook.cli.leaderboard import CHECK, ENTRIES, Entry, Learnt, measure, recheck, scans
from genbook.evaluate.likelihood import dequantised
from genbook.prob.gaussian import log_normal

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "leaderboard.json"
KINDS = {"exact", "bound", "estimate"}


def stored():
    return json.loads(STORED.read_text(encoding="utf-8"))


def row(name):
    return next(row for row in stored()["results"]["rows"] if row["name"] == name)


# ---- the stored table -------------------------------------------------------------------------------------------
def test_every_entry_stands_in_the_stored_table_with_its_kind_and_hardware():
    record = stored()
    rows = record["results"]["rows"]
    assert record["command"] == "genbook leaderboard" and {"cpu", "cores", "torch"} <= set(record["hardware"])
    assert {row["name"] for row in rows} == {entry.name for entry in ENTRIES}
    kinds = {entry.name: entry.kind for entry in ENTRIES}
    assert all(row["kind"] == kinds[row["name"]] and row["kind"] in KINDS for row in rows)
    settings = {entry.name: list(entry.settings) for entry in ENTRIES}
    assert all(row["setting"] in settings[row["name"]] for row in rows)
    assert all(len(row["seeds"]) == len(record["results"]["seeds"]) == 3 for row in rows)
    assert record["results"]["split"] == {"train": 1000, "validation": 350, "test": 447}


def test_rows_stand_best_first_each_ahead_of_the_next_by_the_difference_of_their_means():
    rows = stored()["results"]["rows"]
    for better, worse in pairwise(rows):
        assert better["nats"] <= worse["nats"]
        assert better["ahead"][0] == pytest.approx(worse["nats"] - better["nats"], abs=1e-6)
        # one test set for both: surer than two independent means would be
        assert 0 < better["ahead"][1] < math.hypot(better["standard_error"], worse["standard_error"]) + 1e-9
    assert "ahead" not in rows[-1]


def test_the_floors_are_where_the_issue_put_them():
    assert row("uniform")["nats"] == pytest.approx(64 * math.log(17), abs=1e-6)
    assert row("independent pixels")["nats"] == pytest.approx(106.3, abs=0.1)
    assert row("mixture of ten tables")["nats"] == pytest.approx(99.8, abs=0.5)
    assert row("linear autoregression")["nats"] < 97.3
    assert row("variational autoencoder")["nats"] <= 83.0


def test_the_entry_that_is_checked_comes_out_again():
    assert {key: stored()["results"]["check"][key] for key in CHECK} == CHECK
    assert recheck() == pytest.approx(stored()["results"]["check"]["nats"], abs=0.02)


# ---- the rules -------------------------------------------------------------------------------------------------
def toy(name, level, asked):
    """Return an entry whose nats are all `level[setting]`, and that writes down which scans it was asked about."""

    def learn(x, seed, *, choice):
        assert len(x) == 1000

        def nats(y):
            asked.append((name, choice, seed, len(y)))
            return torch.linspace(0, 1, len(y), dtype=torch.float64) + level[choice] + 0.1 * seed

        return Learnt(nats, 7, 3)

    return Entry(name, "exact", "distributions", learn, tuple({"choice": c} for c in level))


def test_settings_are_chosen_on_validation_and_the_test_scans_are_read_once_at_the_end(monkeypatch):
    monkeypatch.setattr(leaderboard, "recheck", lambda: 0.0)
    asked = []
    first, second = toy("first", {"a": 3.0, "b": 2.0}, asked), toy("second", {"c": 1.0, "d": 9.0}, asked)
    table = measure([first, second], seeds=(0, 1))
    assert [row["name"] for row in table["rows"]] == ["second", "first"]
    assert table["rows"][1]["setting"] == {"choice": "b"} and table["rows"][0]["setting"] == {"choice": "c"}
    on_test = [who for who in asked if who[3] == 447]
    assert on_test == [
        ("first", "b", 0, 447),
        ("first", "b", 1, 447),
        ("second", "c", 0, 447),
        ("second", "c", 1, 447),
    ]
    assert asked.index(on_test[0]) == len(asked) - len(on_test)  # nothing is chosen after the test was opened
    assert table["rows"][0]["nats"] == pytest.approx(1.55) and table["rows"][1]["nats"] == pytest.approx(2.55)
    assert table["rows"][0]["spread"] == pytest.approx(0.1 / math.sqrt(2))
    assert table["rows"][0]["ahead"] == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
    assert {"parameters": 7, "steps": 3}.items() <= table["rows"][0].items()


def test_the_command_stores_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(leaderboard, "measure", lambda: {"rows": []})
    assert cli.main(["leaderboard", "--folder", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "leaderboard.json").read_text())
    assert record["command"] == "genbook leaderboard" and record["results"] == {"rows": []}
    assert "leaderboard.json" in capsys.readouterr().out


SHORT = {"variational autoencoder": {"steps": 3}}
QUICK = [entry for entry in ENTRIES if entry.name != "restricted Boltzmann machine"]  # it follows, in small


@pytest.mark.parametrize("entry", QUICK, ids=lambda entry: entry.name)
def test_what_an_entry_learns_gives_every_scan_a_probability(entry):
    setting = entry.settings[0] | SHORT.get(entry.name, {})
    nats = entry.learn(scans("train")[:200], 0, **setting).nats(scans("validation")[:5])
    assert nats.shape == (5,) and bool((nats > 0).all()) and bool(torch.isfinite(nats).all())


def test_the_machines_entry_adds_its_constant_with_the_right_sign():
    x = scans("train")[:200, 20:24]  # four pixels: every state can be listed
    learned = leaderboard.machine(x, 0, hidden=3, weight_decay=0.0, steps=50)
    states = torch.cartesian_prod(*[torch.arange(17.0)] * 4)
    assert (-learned.nats(states)).exp().sum().item() == pytest.approx(1.0, abs=0.05)


# ---- dequantisation ---------------------------------------------------------------------------------------------
def density(x):
    return log_normal(x, 3.2, 1.1).sum(1)


def test_dequantisation_finds_the_mass_of_the_unit_square_around_a_whole_number():
    x = torch.tensor([[3.0, 2.0], [5.0, 0.0]], dtype=torch.float64)
    normal = torch.distributions.Normal(3.2, 1.1)
    exact = (normal.cdf(x + 1) - normal.cdf(x)).log().sum(1)
    value, error = dequantised(density, x, draws=4000, generator=torch.Generator().manual_seed(0))
    assert bool(((value - exact).abs() <= 4 * error).all()) and bool((error < 0.02).all())


def test_dequantisation_with_few_draws_is_below_the_mass_on_average():
    x = torch.full((4000, 2), 6.0, dtype=torch.float64)
    normal = torch.distributions.Normal(3.2, 1.1)
    exact = float(2 * (normal.cdf(torch.tensor(7.0)) - normal.cdf(torch.tensor(6.0))).log())
    few, more = (
        dequantised(density, x, draws=k, generator=torch.Generator().manual_seed(k))[0].mean().item()
        for k in (1, 10)
    )
    assert few < more < exact + 0.01
    assert few < exact - 0.1


def test_one_draw_has_no_standard_error_and_bad_counts_are_refused():
    x = torch.zeros(3, 2, dtype=torch.float64)
    assert bool(dequantised(density, x, draws=1)[1].isnan().all())
    with pytest.raises(ValueError, match="draws must be at least 1"):
        dequantised(density, x, draws=0)
