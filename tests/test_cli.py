"""The command line, and that what it stored can be measured again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genbook.cli import __main__ as cli
from genbook.cli import record
from genbook.cli.bench_density import categorical_on_digits
from genbook.cli.train_classifiers import Lesson, Shake, measure, mix
from genbook.data import checkpoints, digits, letters
from genbook.nn.classifier import Classifier
from genbook.train import load_weights

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "density.json"
LOADERS = {"Classifier": Classifier}


# ---- benchmarks -------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(cli, "BENCHES", {"density": lambda: {"answer": 42}})
    assert cli.main(["bench", "density", "--folder", str(tmp_path / "new")]) == 0
    assert json.loads((tmp_path / "new" / "density.json").read_text())["results"] == {"answer": 42}
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["density.json"]

    monkeypatch.setitem(cli.BENCHES, "density", lambda: {"answer": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        cli.main(["bench", "--folder", str(tmp_path / "new")])
    assert json.loads((tmp_path / "new" / "density.json").read_text())["results"] == {"answer": 42}


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "nothing"], "no benchmark is called nothing; there are: density"),
        (["train", "nothing"], "no recipe is called nothing; there are: digit-classifier, letter-classifier"),
        (["train"], "say what to make: digit-classifier, letter-classifier"),
        (["train", "digit-classifier", "--steps", "0"], "--steps must be at least 1, got 0"),
        (["train", "digit-classifier", "--steps", "many"], "invalid int value: 'many'"),
    ],
)
def test_bad_arguments_are_answered_with_what_is_known(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_recipes_are_listed(capsys):
    assert cli.main(["train", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(cli.RECIPES)


def test_every_shipped_checkpoint_has_a_recipe():
    assert checkpoints.names() == sorted(cli.RECIPES)


def test_the_command_starts_without_torch():
    code = "import sys, genbook.cli.__main__; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- train ------------------------------------------------------------------------------------------------------


def train(folder, *more):
    return cli.main(["train", "digit-classifier", "--folder", str(folder), *more])


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_train_writes_weights_with_their_card(tmp_path, capsys):
    state = torch.get_rng_state()
    assert train(tmp_path, "--steps", "5") == 0
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state was moved"
    assert files(tmp_path) == ["digit-classifier.json", "digit-classifier.safetensors"]
    card = checkpoints.card("digit-classifier", tmp_path)
    assert card["command"] == "genbook train digit-classifier --steps 5" and card["steps"] == 5
    assert card["parameters"] == sum(
        v.numel() for v in load_file(checkpoints.path("digit-classifier", tmp_path)).values()
    )
    classifier = load_weights(Classifier(10, size=8, scale=16.0), checkpoints.path("digit-classifier", tmp_path))
    validation = digits.load("validation")
    accuracy, confidence = measure(classifier, validation.images, validation.labels)
    assert list(card["metrics"].values()) == [
        pytest.approx({"value": m.value, "standard_error": m.standard_error, "n": 350})
        for m in (accuracy, confidence)
    ]
    printed = capsys.readouterr().out
    assert f"stored in {tmp_path / 'digit-classifier.safetensors'}" in printed
    assert f"accuracy on the validation digits: {accuracy.value:.4g} ±" in printed and "(n = 350)" in printed


def test_an_interrupted_run_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch, capsys):
    from genbook.cli import train_classifiers

    assert train(tmp_path / "whole", "--steps", "6") == 0
    monkeypatch.setattr(train_classifiers, "CHECKPOINT_EVERY", 2)
    loss, calls = Lesson.loss, []

    def pulled_the_plug(self, numbers):
        calls.append(len(numbers))
        if len(calls) == 4:
            raise RuntimeError("no more power")
        return loss(self, numbers)

    monkeypatch.setattr(Lesson, "loss", pulled_the_plug)
    with pytest.raises(RuntimeError, match="no more power"):
        train(tmp_path / "parts", "--steps", "6")
    assert files(tmp_path / "parts") == [".digit-classifier.unfinished"], "half a checkpoint was left"
    assert train(tmp_path / "parts", "--steps", "6") == 0
    assert len(calls) == 4 + 4, "the run did not go on from its second step"
    assert files(tmp_path / "parts") == ["digit-classifier.json", "digit-classifier.safetensors"]
    whole, parts = (checkpoints.card("digit-classifier", tmp_path / f) for f in ("whole", "parts"))
    assert whole["sha256"] == parts["sha256"] and whole["metrics"] == parts["metrics"]


def trained(interrupted=False, value=1.0):
    model = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(model.weight, value)
    return record.Trained(model, "a line", "Linear(2, 1)", 3, 0, 0.1, {}, interrupted)


def test_ctrl_c_keeps_the_run_and_writes_nothing(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(cli, "RECIPES", {"line": lambda checkpoint: seen.append(checkpoint) or trained(True)})
    assert cli.main(["train", "line", "--folder", str(tmp_path)]) == 130
    assert not list(tmp_path.iterdir())
    assert seen[0].parent == tmp_path / ".line.unfinished"
    assert "line: stopped after 3 steps" in capsys.readouterr().out


def test_weights_and_card_are_written_together_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "RECIPES", {"line": lambda checkpoint: trained()})
    command = ["train", "line", "--folder", str(tmp_path / "new")]
    assert cli.main(command) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert len(before) == 2

    monkeypatch.setitem(cli.RECIPES, "line", lambda checkpoint: trained(value=2.0))
    real, count = Path.write_bytes, []

    def full(self, content):
        count.append(self)
        if len(count) == 2:
            raise OSError("No space left on device")
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        cli.main(command)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in (tmp_path / "new").iterdir()} == before


# ---- what shipped -----------------------------------------------------------------------------------------------


def judge(name):
    model = eval(checkpoints.card(name)["load"], LOADERS)
    return load_weights(model, checkpoints.path(name)).eval()


@pytest.mark.parametrize(
    ("name", "data", "least"),
    [
        ("letter-classifier", lambda: letters.load("held_out"), 0.95),
        ("digit-classifier", lambda: digits.load("validation"), 0.97),
    ],
)
def test_a_shipped_judge_measures_what_its_card_says(name, data, least):
    card, split = checkpoints.card(name), data()
    stored = list(card["metrics"].values())
    for again, before in zip(measure(judge(name), split.images, split.labels), stored, strict=True):
        assert again.value == pytest.approx(before["value"], abs=0.005)
        assert again.standard_error == pytest.approx(before["standard_error"], abs=0.002)
        assert again.n == before["n"] == len(split)
    assert stored[0]["value"] >= least


def test_the_judge_of_letters_doubts_what_is_no_letter():
    """Its confidence is a yardstick of samples only if pictures that are no letters fall short of 90 % of it."""
    split, classifier = letters.load("held_out"), judge("letter-classifier")
    x, other = split.images, split.images.roll(77, 0)
    different = split.labels != split.labels.roll(77)
    confidence = float(classifier.probabilities(x).max(1).values.mean())
    for spoiled in ((x + other) / 2, torch.maximum(x, other), torch.cat([x[..., :16], other[..., 16:]], -1)):
        doubted = float(classifier.probabilities(spoiled[different]).max(1).values.mean())
        assert doubted < 0.75 * confidence


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("letter-classifier", lambda: letters.load("held_out")),
        ("digit-classifier", lambda: digits.load("validation")),
    ],
)
def test_the_features_of_some_300_pictures_have_a_covariance_of_full_rank(name, data):
    features = judge(name).features(data().images).detach().double()
    assert features.shape[1] == 64
    spectrum = torch.linalg.eigvalsh(features.T.cov())
    assert spectrum[0] > 1e-4 * spectrum[-1]


# ---- the lesson -------------------------------------------------------------------------------------------------

STILL = Shake(shift=0, turn=0, slant=0, stretch=0, weight=0, fade=0, noise=0, still=0.0)


def test_a_shake_of_nothing_changes_nothing():
    x = 255 * torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(STILL(x, 255.0), x, atol=0.05, rtol=0)
    wild = Shake(shift=9, turn=90, slant=1, stretch=0.5, weight=1, fade=1, noise=1, still=1.0)
    assert torch.equal(wild(x, 255.0), x)


def test_a_shift_is_counted_in_pixels():
    torch.manual_seed(0)
    x = torch.zeros(200, 1, 32, 32)
    x[:, 0, 15:17, 15:17] = 255
    moved = Shake(**(vars(STILL) | {"shift": 3.0}))(x, 255.0)
    place = torch.arange(32.0) - 15.5
    down, right = ((moved.sum(axis) * place).sum(-1)[:, 0] / moved.sum((1, 2, 3)) for axis in (3, 2))
    for distance in (down, right):
        assert 2.5 < float(distance.abs().max()) <= 3.01
        assert abs(float(distance.mean())) < 0.5


def test_shaken_pictures_stay_within_the_scale():
    torch.manual_seed(0)
    shaken = Shake(1.5, 5, 0.12, 0.06, 0.5, 0.2, 0.3)(16 * torch.rand(50, 1, 8, 8), 16.0)
    assert float(shaken.min()) >= 0 and float(shaken.max()) <= 16 and float(shaken.std()) > 1


def test_a_mixture_is_of_two_pictures_and_its_target_of_two_classes():
    torch.manual_seed(0)
    x = torch.zeros(40, 1, 8, 8)
    x[:20] = 16.0  # twenty black pictures of class 0, twenty grey ones of class 1
    x[20:] = 8.0
    target = torch.eye(2).repeat_interleave(20, 0)
    mixed, doubt = mix(x, target)
    torch.testing.assert_close(doubt.sum(1), torch.ones(40))
    unsure = (doubt.max(1).values < 1).nonzero()[:, 0]
    assert len(unsure) >= 10
    black = doubt[unsure, 0] * mixed[unsure].sum((1, 2, 3)) / 16  # each part counts by its ink
    grey = doubt[unsure, 1] * mixed[unsure].sum((1, 2, 3)) / 8
    torch.testing.assert_close(black + grey, torch.full((len(unsure),), 64.0))
    flat = mixed.flatten(1).std(1) < 1e-4  # a blend of even pictures is even, a joint is not
    assert 5 < int(flat[unsure].sum()) < len(unsure)


def test_measured_numbers_come_with_their_standard_error():
    measured = record.Measured.mean_of(torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64))
    assert (measured.value, measured.n) == (0.75, 4)
    assert measured.standard_error == pytest.approx(0.25)  # std with n - 1 is 1/2, over the root of 4
    assert str(measured) == "0.75 ± 0.25 (n = 4)"
