"""The stored measurements of machines, and what the commands that make them promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from genbook.cli import bench_rbms, bench_vaes, train_autoencoders, train_vaes
from genbook.cli.train_rbms import binary_digits, binary_letters, train_machine
from genbook.data import checkpoints, digits, letters
from genbook.evaluate.iwae import iwae
from genbook.models.rbm import RBM
from genbook.train import load_weights

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def stored(name):
    record = json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))
    assert record["command"] == f"genbook bench {name}" and {"cpu", "cores", "torch"} <= set(record["hardware"])
    return record["results"]


# ---- restricted Boltzmann machines ------------------------------------------------------------------------------
def test_machines_were_measured_beside_scikit_learns_with_no_less_time_for_theirs():
    results = stored("rbm")
    assert len(results["rows"]) == len(results["seeds"]) == 3 and results["threads"] == 2
    for row in results["rows"]:
        assert row["theirs"]["learning_rate"] in results["rates"]
        assert row["theirs"]["seconds"] >= 0.95 * row["ours"]["seconds"]
        difference, error = row["difference"]
        assert difference > error > 0  # higher by more than its standard error, scan by scan
        assert difference == pytest.approx(row["ours"]["nats"][0] - row["theirs"]["nats"][0], abs=1e-6)
        assert max(row["ours"]["log_z_error"], row["theirs"]["log_z_error"]) < 0.1


def test_the_estimates_of_log_z_were_within_a_tenth_of_a_nat_and_three_standard_errors_every_time():
    results = stored("rbm")["ais"]
    assert len(results["rows"]) == results["runs"] * len(results["hidden"]) == 60
    for row in results["rows"]:
        assert abs(row["estimate"] - row["exact"]) <= min(0.1, 3 * row["standard_error"])
        assert abs(row["reverse"] - row["exact"]) <= 0.1


def test_scikit_learns_machine_becomes_one_of_ours():
    data = binary_digits("train")[:200]
    machine, seconds = bench_rbms.scikit_learn(data, 0.05, 3, 0)
    theirs = bench_rbms.BernoulliRBM(
        bench_rbms.HIDDEN, learning_rate=0.05, batch_size=100, n_iter=3, random_state=0
    )
    theirs.fit(data.numpy())
    expected = torch.from_numpy(theirs.transform(data.numpy()))
    assert torch.allclose(torch.sigmoid(machine.hidden_input(data)), expected, atol=1e-5)
    assert seconds > 0


def test_a_likelihood_is_minus_the_free_energy_minus_log_z():
    data = binary_digits("train")
    machine, _ = train_machine(data, 10, 30, 0)
    value, error = bench_rbms.log_likelihood(machine, data[:20], data, 0)
    exact = -machine.energy(data[:20]).detach() - machine.log_partition().detach()
    assert torch.allclose(value, exact, atol=0.05) and 0 < error < 0.05


def test_pictures_are_black_where_half_of_the_ink_or_more_is():
    scans = digits.load("validation").images
    assert torch.equal(binary_digits("validation"), (scans.flatten(1) > 7).float())
    pictures = letters.load("held_out").images
    blocks = pictures.view(-1, 16, 2, 16, 2).sum((2, 4)).flatten(1)
    assert torch.equal(binary_letters("held_out"), (blocks >= 2 * 255).float())


@pytest.mark.parametrize(("name", "sizes"), [("digits-rbm", (64, 100)), ("letters-rbm", (256, 200))])
def test_a_shipped_machine_scores_what_its_card_says(name, sizes):
    machine = load_weights(RBM(*sizes, chains=100), checkpoints.path(name))
    card = checkpoints.card(name)
    data = binary_digits if name == "digits-rbm" else binary_letters
    held_out = data("validation" if name == "digits-rbm" else "held_out")
    log_z = card["metrics"]["log Z by annealed importance sampling"]
    again, error = bench_rbms.ais(
        machine,
        chains=200,
        steps=1500,
        start_bias=machine.units.bias(data("train")),
        generator=bench_rbms.seeded(7),
    )
    assert abs(again - log_z["value"]) <= 4 * (error + log_z["standard_error"])
    likelihood = card["metrics"]["log-likelihood of held-out pictures, nats"]
    found = -machine.energy(held_out).detach().mean().item() - log_z["value"]
    assert found == pytest.approx(likelihood["value"], abs=1e-3)
    assert likelihood["n"] == len(held_out)


# ---- autoencoders ---------------------------------------------------------------------------------------------
def test_the_autoencoder_was_measured_well_below_the_components_at_every_seed():
    results = stored("autoencoder")
    assert (
        len(results["rows"]) == len(results["seeds"]) == 3 and results["steps"] == train_autoencoders.BENCH_STEPS
    )
    assert all(row["gain"] >= 0.3 for row in results["rows"])
    assert all(row["gain"] == pytest.approx(1 - row["error"] / results["pca"]) for row in results["rows"])


def test_the_shipped_autoencoder_scores_what_its_card_says():
    model = load_weights(train_autoencoders.glyphs_autoencoder(), checkpoints.path("glyphs-autoencoder")).eval()
    pictures = train_autoencoders.glyph_pictures("held_out")
    found = train_autoencoders.squared_error(train_autoencoders.rebuild(model, pictures), pictures).mean().item()
    said = checkpoints.card("glyphs-autoencoder")["metrics"]
    assert found == pytest.approx(said["squared error of held-out glyphs, ink"]["value"], rel=1e-3)
    assert found < 0.7 * said["that of as many principal components"]["value"]


def test_the_autoencoder_learns_and_is_measured_beside_as_many_components(monkeypatch, tmp_path):
    pictures = letters.load("held_out").images
    monkeypatch.setattr(train_autoencoders, "glyph_pictures", lambda split: pictures[split == "held_out" :: 2])
    monkeypatch.setattr(train_autoencoders, "BENCH_STEPS", 3)
    monkeypatch.setattr(train_autoencoders, "SEEDS", (0, 1))
    results = train_autoencoders.measure()
    assert results["steps"] == 3 and [row["seed"] for row in results["rows"]] == [0, 1]
    assert all(row["gain"] == pytest.approx(1 - row["error"] / results["pca"]) for row in results["rows"])
    assert results["rows"][0]["error"] != results["rows"][1]["error"]
    trained = train_autoencoders.recipe(tmp_path / "run", steps=2)
    assert trained.steps == 2 and trained.metrics["that of as many principal components"].value == pytest.approx(
        results["pca"]
    )


# ---- variational autoencoders -----------------------------------------------------------------------------------
def test_the_digits_were_measured_below_the_bar_and_the_letters_beside_the_gan():
    results = stored("vae")
    rows = results["digits"]["rows"]
    assert len(rows) == len(results["digits"]["seeds"]) == 3 and results["digits"]["samples"] == 500
    assert {row["steps"] for row in rows} == {bench_vaes.DIGIT_STEPS}
    assert sum(row["test iwae500"][0] for row in rows) / 3 <= 83.0
    for row in rows:  # more guesses tighten the bound
        assert row["validation iwae500"][0] < -row["validation elbo"]
    assert set(results["letters"]) == {"vae samples", "vae means", "gan"}
    for scores in results["letters"].values():
        value, error = scores["frechet"]
        assert value > 0 and error > 0 and {"precision", "recall"} <= set(scores["manifold"])
        assert scores["frechet floor"][0] < value and {"precision", "recall"} <= set(scores["manifold floor"])


@pytest.mark.parametrize("name", ["letters-vae", "letters-vae-plane"])
def test_a_shipped_vae_scores_what_its_card_says(name):
    model = load_weights(
        train_vaes.letters_vae(2 if name.endswith("plane") else 24), checkpoints.path(name)
    ).eval()
    pictures, said = letters.load("held_out").images, checkpoints.card(name)["metrics"]
    weighted, _ = iwae(model, pictures, samples=20, generator=torch.Generator().manual_seed(3))
    bound = said["evidence lower bound on held-out letters, nats"]["value"]
    tightest = said["importance-weighted bound, 100 samples, nats"]["value"]
    assert bound < weighted.mean().item() < tightest + 0.5
    with torch.no_grad():
        rebuilt = model.decode(model.encode(pictures))
    error = (rebuilt - pictures).div(255).square().flatten(1).sum(1).mean().item()
    assert error == pytest.approx(said["squared error of held-out letters, ink"]["value"], rel=1e-3)


@pytest.mark.parametrize(
    ("recipe", "latent"), [(train_vaes.recipe_of_plane, 2), (train_vaes.recipe_of_letters, 24)]
)
def test_a_recipe_of_letters_trains_and_says_what_it_made(recipe, latent, monkeypatch, tmp_path):
    every = letters.load("held_out")
    few = letters.Letters(every.images[:8], every.labels[:8], every.index[:8])
    monkeypatch.setattr(train_vaes.letters, "load", lambda split: few)
    trained = recipe(tmp_path / "run", steps=2)
    assert trained.steps == 2 and trained.load == f"letters_vae({latent})" and not trained.interrupted
    bound, weighted, error = trained.metrics.values()
    assert bound.n == weighted.n == error.n == 8 and bound.value < weighted.value and error.value > 0


def test_nats_of_digits_are_minus_the_weighted_bound():
    model, history = train_vaes.train_digits_vae(2, 0, latent=4)
    assert history.steps == 2 and not model.training
    expected, _ = iwae(
        model, digits.load("validation").images, samples=3, generator=torch.Generator().manual_seed(5)
    )
    assert torch.equal(bench_vaes.nats(model, "validation", samples=3, seed=5), -expected)


def test_the_same_seed_trains_the_same_model_of_digits():
    first, second, other = (train_vaes.train_digits_vae(2, seed, latent=4)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
