"""The stored measurements of the GPT, the network that ships, and what the commands that make them promise."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from genbook.cli import bench_gpt, text_table, train_gpt
from genbook.data import checkpoints, prose
from genbook.data.byte_pairs import BytePairs
from genbook.train import load_weights

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "gpt.json"
#: The Python whose prose the shipped tokenizer and network have learnt.
SAME_PROSE = len(prose.load()) == 465_048


@pytest.fixture(scope="module")
def results():
    record = json.loads(STORED.read_text(encoding="utf-8"))
    assert record["command"] == "genbook bench gpt" and {"cpu", "cores", "torch"} <= set(record["hardware"])
    return record["results"]


# ---- what was measured ------------------------------------------------------------------------------------------
def test_every_seed_was_below_the_bar_within_two_minutes(results):
    assert [row["seed"] for row in results["prose"]] == [0, 1, 2]
    assert {row["steps"] for row in results["prose"]} == {bench_gpt.STEPS}
    assert max(row["nats"] for row in results["prose"]) <= 1.20
    assert max(row["seconds"] for row in results["prose"]) <= 120


def test_larger_networks_were_better_and_three_seeds_measured_each(results):
    rows = results["scaling"]
    by_size = {}
    for row in rows:
        by_size.setdefault(row["without tables"], []).append(row["nats"])
    assert len(by_size) >= 5 and {len(values) for values in by_size.values()} == {3}
    means = [sum(values) / 3 for _, values in sorted(by_size.items())]
    assert means == sorted(means, reverse=True)
    assert {row["steps"] for row in rows} == {bench_gpt.LAW_STEPS}


def test_decay_helped_up_to_a_point(results):
    costs = {row["weight decay"]: row["nats"] for row in results["decay"]}
    assert list(costs) == list(bench_gpt.DECAYS)
    best = min(costs, key=costs.__getitem__)
    assert 0 < best < max(costs) and costs[best] < costs[0] - 0.03


def test_the_cache_changed_no_token_and_was_four_times_as_fast(results):
    cache = results["cache"]
    assert cache["same"] and cache["tokens"] == 256 and cache["without"] >= 4 * cache["with"]


def test_training_was_a_tenth_faster_than_that_of_transformers(results):
    rates = results["speed"]["tokens a second"]
    assert rates["ours"] >= 1.1 * rates["transformers"]
    assert min(results["speed"]["growth in megabytes"].values()) > 0


# ---- how it is measured -----------------------------------------------------------------------------------------
def test_nats_a_character_are_the_cost_of_the_text_by_its_characters():
    model = bench_gpt.seeded_gpt(0, width=16, layers=1, heads=1).eval()
    text = "The for statement is used to iterate over the elements of a sequence."
    tokens = torch.tensor(prose.tokenizer().encode(text))
    with torch.no_grad():
        cost = -model.log_prob(tokens[None]).item()
    assert train_gpt.nats_a_character(model, tokens, len(text)) == pytest.approx(cost / len(text), rel=1e-5)


def test_an_equal_seed_trains_an_equal_network_and_another_seed_another():
    train, validation = (tokens[:700] for tokens in train_gpt.prose_tokens())
    rows = [
        bench_gpt.trained(seed, 2, (train, validation, 2000), width=16, layers=1, heads=1) for seed in (0, 0, 1)
    ]
    assert rows[0]["nats"] == rows[1]["nats"] != rows[2]["nats"]
    assert rows[0]["steps"] == 2 and rows[0]["parameters"] == rows[0]["without tables"] + 512 * 16 + 2 * 16
    assert 1.5 < rows[0]["nats"] < 2 * 6.24  # some tokens a character, each about ln 512


def test_tokens_grow_alike_with_and_without_the_cache():
    model = bench_gpt.seeded_gpt(0, width=16, layers=2, heads=2).eval()
    first = torch.tensor([[5, 9]])
    grown = [bench_gpt.grown(model, first, 20, cached=cached) for cached in (False, True)]
    assert torch.equal(*grown) and grown[0].shape == (1, 22) and torch.equal(grown[0][:, :2], first)


def test_both_kinds_of_step_train_the_same_shape():
    pytest.importorskip("transformers", reason="pip install transformers")
    sizes = {kind: bench_gpt.a_network(kind)[0] for kind in ("ours", "transformers")}
    numbers = {kind: sum(value.numel() for value in model.parameters()) for kind, model in sizes.items()}
    assert numbers["ours"] == numbers["transformers"]
    losses = [bench_gpt.a_network(kind)[1]().item() for kind in ("ours", "transformers")]
    assert losses == pytest.approx([6.24, 6.24], abs=0.1)


# ---- the table of language models -------------------------------------------------------------------------------
def test_the_table_stands_best_first_and_holds_every_model_beside_the_n_grams(results):
    rows = results["table"]
    names = [row["name"] for row in rows]
    assert {"Kneser–Ney n-gram", "Witten–Bell n-gram", "GPT", "GPT, the one that ships"} <= set(names)
    assert [row["nats"] for row in rows] == sorted(row["nats"] for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["Kneser–Ney n-gram"]["nats"] == pytest.approx(1.156, abs=0.002)
    assert by_name["Witten–Bell n-gram"]["setting"] == {"context": 4}
    assert by_name["GPT"]["seeds"] == pytest.approx([row["nats"] for row in results["prose"]], abs=1e-6)
    for row, following in pairwise(rows[:-1]):
        difference, error = row["ahead"]
        assert difference == pytest.approx(following["nats"] - row["nats"]) and error > 0


def test_a_token_ends_in_the_character_of_its_last_byte():
    coder = prose.tokenizer()
    tokens = torch.tensor(coder.encode("a Größe 数"))
    ends = text_table.ends_of_tokens(tokens)
    assert ends[-1] == len("a Größe 数") - 1 and ends.tolist() == sorted(ends.tolist())
    assert len(ends) == len(tokens) > ends.unique().numel()  # some are parts of one character


def test_costs_of_blocks_add_up_to_the_whole_and_what_is_left_over_joins_the_last():
    costs, ends = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([0, 1, 3, 4, 6])
    blocks = text_table.block_costs(costs, ends, 7, size=3)
    assert blocks.tolist() == pytest.approx([3 / 3, 12 / 4])
    assert float(blocks @ text_table.shares(7, size=3)) == pytest.approx(15 / 7)


# ---- what ships -------------------------------------------------------------------------------------------------
def test_the_shipped_tokenizer_is_the_one_that_the_text_gives():
    shipped = prose.tokenizer()
    assert len(shipped) == train_gpt.TOKENS
    if SAME_PROSE:
        learnt = BytePairs.train(prose.split()[0], train_gpt.TOKENS)
        assert learnt.merges == shipped.merges
    for text in prose.split():
        assert shipped.decode(shipped.encode(text)) == text


def test_the_shipped_network_scores_what_its_card_says():
    card = checkpoints.card("prose-gpt")
    model = load_weights(train_gpt.prose_gpt(), checkpoints.path("prose-gpt")).eval()
    assert checkpoints.path("prose-gpt").stat().st_size <= 5_000_000
    found, said = train_gpt.by_pieces(model), card["metrics"]["nats a character, validation text"]
    assert found.value == pytest.approx(said["value"], abs=0.002 if SAME_PROSE else 0.1)
    assert said["value"] < 1.156  # Kneser–Ney with contexts of up to eight characters


def test_the_recipe_trains_and_keeps_half_precision(tmp_path, monkeypatch):
    short = tuple(tokens[:600] for tokens in train_gpt.prose_tokens())
    monkeypatch.setattr(train_gpt, "prose_tokens", lambda: short)
    trained = train_gpt.recipe(tmp_path / "run", steps=2)
    assert trained.steps == 2 and {value.dtype for value in trained.model.parameters()} == {torch.float16}
    assert trained.metrics["nats a character, validation text"].n == train_gpt.PIECES
