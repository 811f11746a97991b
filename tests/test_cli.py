"""The command line, and that what it stored can be measured again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genbook.cli import __main__ as cli
from genbook.cli import bench_gans, record, train_letters_gan
from genbook.cli.bench_density import categorical_on_digits
from genbook.cli.train_classifiers import Lesson, Shake, measure, mix
from genbook.data import checkpoints, digits, letters
from genbook.evaluate.two_sample import frechet_distance
from genbook.nn.classifier import Classifier
from genbook.nn.images import ImageGenerator, labels_of, with_labels
from genbook.train import AdversarialHistory, load_weights

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "density.json"
LOADERS = {"Classifier": Classifier, "ImageGenerator": ImageGenerator}


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
        (["bench", "nothing"], f"no benchmark is called nothing; there are: {', '.join(cli.BENCHES)}"),
        (["train", "nothing"], f"no recipe is called nothing; there are: {', '.join(cli.RECIPES)}"),
        (["train"], f"say what to make: {', '.join(cli.RECIPES)}"),
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


# ---- the letters of the GAN -------------------------------------------------------------------------------------


def one_letter():
    """All 23 pictures of the capital A."""
    return torch.cat([split.images[split.labels == 0] for split in map(letters.load, ("train", "held_out"))])


@pytest.fixture(scope="module")
def perfect():
    """The scores of the held-out letters themselves, with one letter more behind them, and those pictures."""
    images = torch.cat([letters.load("held_out").images, one_letter()])
    return train_letters_gan.scores(images), images


@pytest.fixture(scope="module")
def collapsed():
    return train_letters_gan.scores(one_letter(), seed=1)


def test_the_held_out_letters_get_the_best_scores(perfect):
    """Distances and shares look at the first 314, the counts and the confidence at all."""
    found, images = perfect
    assert found["n"] == 314
    assert found["frechet"] == pytest.approx((0, 0), abs=1e-8)
    assert found["manifold"] == {"precision": 1.0, "recall": 1.0, "density": pytest.approx(1.0), "coverage": 1.0}
    assert found["kernel"][0] < found["kernel floor"][0]  # without a bias, so below zero for a set and itself
    assert found["classes"] == 52
    train = letters.load("train").images
    distance = torch.tensor([((train - x).square().sum((1, 2, 3)).min()).sqrt() for x in images])
    limit = distance[:314].quantile(0.05)
    assert found["copies among held out"] == float((distance[:314] <= limit).double().mean()) < 0.06
    near = int((distance <= limit).sum())
    assert near >= 17 + 15, "the training As at the end are copies all"
    assert found["copies"] == (pytest.approx(near / 337), pytest.approx((near * (337 - near) / 337**3) ** 0.5))
    probability = judge("letter-classifier").probabilities(images)
    most = probability.amax(1)
    assert found["confidence"] == pytest.approx(float(most.mean()), abs=1e-6)
    assert found["confidence error"] == pytest.approx(float(most.std()) / 337**0.5, rel=1e-4)
    assert found["confidence on real"] == pytest.approx(float(most[:314].mean()), abs=1e-6)
    named, due = probability.argmax(1), letters.load("held_out").labels
    rarest = min(int((named == k).sum()) / len(named) / (int((due == k).sum()) / len(due)) for k in range(52))
    assert found["rarest"] == pytest.approx(rarest, rel=1e-5) and 0.5 < rarest < 1


def test_a_generator_of_one_letter_gets_the_worst(collapsed):
    assert collapsed["classes"] == 1 and collapsed["rarest"] == 0
    due = float((letters.load("held_out").labels == 0).double().mean())
    assert collapsed["manifold"]["recall"] == pytest.approx(due)  # it reaches the held-out As and nothing else
    assert collapsed["manifold"]["precision"] > 0.9, "each picture alone is a good one"
    assert collapsed["confidence"] > 0.9
    assert collapsed["frechet"][0] > 20 * collapsed["frechet floor"][0]
    assert collapsed["kernel"][0] > 10 * collapsed["kernel"][1] > 0


def test_a_letter_counts_from_a_quarter_of_its_due_on():
    """The classifier is replaced by one that reads the class from the first pixel."""

    class Reader(torch.nn.Module):
        def features(self, x):
            return torch.nn.functional.avg_pool2d(x, 4).flatten(1)

        def probabilities(self, x):
            return torch.eye(52)[x[:, 0, 0, 0].long().clamp_max(51)]

    x = 255 * torch.rand(3140, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, 0] = letters.NAMES.index("I")
    x[:16, 0, 0, 0] = letters.NAMES.index(
        "A"
    )  # of six As in 314 held-out letters 60 are due in 3140, a quarter is 15
    x[16:30, 0, 0, 0] = letters.NAMES.index("B")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_letters_gan, "judge", Reader)
        assert train_letters_gan.scores(x)["classes"] == 2, "I and A, and not B"


def test_scores_do_not_look_at_the_labels(perfect):
    found, images = perfect
    plane = 255 * torch.rand(images.shape, generator=torch.Generator().manual_seed(0))
    assert train_letters_gan.scores(torch.cat([images, plane], 1)) == found


def test_the_floor_is_training_letters_whatever_the_samples(perfect):
    found, _ = perfect
    train = letters.load("train").images
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:314]
    eye = judge("letter-classifier")
    with torch.no_grad():
        by_hand = frechet_distance(eye.features(train[order]), eye.features(letters.load("held_out").images))
    assert found["frechet floor"] == pytest.approx(by_hand, rel=1e-4)
    assert found["manifold floor"]["recall"] > 0.95


def remember(monkeypatch):
    """Let the training loop do nothing but note what it is called with."""
    calls = []

    def loop(model, data, **keywords):
        calls.append({"model": model, "data": data, **keywords})
        return AdversarialHistory(critic=[1.0], generator=[1.0])

    monkeypatch.setattr(train_letters_gan, "fit_adversarial", loop)
    return calls


def momentum(call):
    return call["optimizer"]([torch.nn.Parameter(torch.zeros(1))], lr=call["learning_rate"]).defaults["betas"]


def test_the_plain_game_runs_with_the_settings_of_its_paper(monkeypatch, tmp_path):
    calls = remember(monkeypatch)
    train_letters_gan.train(train_letters_gan.PLAIN, 7, 3)
    train_letters_gan.train(train_letters_gan.OURS, 7, 3, tmp_path / "run")
    plain, ours = calls
    assert (plain["learning_rate"], momentum(plain)) == (2e-4, (0.5, 0.999))
    assert {plain["schedule"](t) for t in (0.0, 0.5, 1.0)} == {1.0}
    assert ours["learning_rate"] > 2e-4 and momentum(ours)[0] == 0.0
    assert ours["schedule"](1.0) < 0.1 * ours["schedule"](0.1)
    assert not plain["model"].penalties and len(ours["model"].penalties) == 1
    assert (plain["checkpoint"], ours["checkpoint"]) == (None, tmp_path / "run")
    images = letters.load("train").images
    for call, channels in ((plain, 1), (ours, 2)):
        assert call["data"].shape == (889, channels, 32, 32)
        assert torch.equal(call["data"][:, :1], images), "it learns from the training letters and from no others"
        assert (call["steps"], call["seed"], call["batch_size"]) == (7, 3, plain["batch_size"])
        z = torch.randn(2, call["model"].latent, generator=torch.Generator().manual_seed(0))
        x = call["model"].decode(z).detach()
        assert x.shape == (2, channels, 32, 32) and 0 <= float(x.min()) <= float(x.max()) <= 255


def test_both_players_of_ours_are_told_the_letter(monkeypatch):
    calls = remember(monkeypatch)
    train_letters_gan.train(train_letters_gan.OURS, 7, 3)
    model, data, split = calls[0]["model"], calls[0]["data"], letters.load("train")
    assert torch.equal(data[:, 1], split.labels[:, None, None].expand(889, 32, 32).float())
    x = (data[:64] - model.offset) / model.scale
    assert torch.equal(labels_of(x), split.labels[:64])
    wrong = with_labels(x[:, :1], (split.labels[:64] + 1) % 52)
    assert float((model.critic(x) - model.critic(wrong)).detach().abs().min()) > 0, "the critic's word on a label"
    z = torch.randn(300, model.latent, generator=torch.Generator().manual_seed(0))
    drawn = model.decode(z).detach()[:, 1]
    chosen = z[:, :52].argmax(1)
    torch.testing.assert_close(drawn, chosen[:, None, None].expand(300, 32, 32).float(), atol=1e-4, rtol=0)
    assert len(set(chosen.tolist())) > 45


def test_letters_carry_their_labels_as_a_second_channel():
    images = torch.arange(2 * 32 * 32.0).reshape(2, 1, 32, 32)
    pair = train_letters_gan.labelled(letters.Letters(images, torch.tensor([51, 7]), torch.tensor([0, 1])))
    assert pair.shape == (2, 2, 32, 32) and pair.dtype == torch.float32
    assert torch.equal(pair[:, :1], images)
    assert torch.equal(pair[0, 1], torch.full((32, 32), 51.0))
    assert torch.equal(pair[1, 1], torch.full((32, 32), 7.0))


def test_what_training_returns_is_the_average_ready_for_single_pictures(monkeypatch):
    calls = remember(monkeypatch)
    model, history = train_letters_gan.train(train_letters_gan.PLAIN, 7, 3)
    assert model is calls[0]["ema"].model and model is not calls[0]["model"]
    assert not any(module.training for module in model.modules())
    assert history.steps == 1


def test_the_recipe_repeats_itself_and_ships_the_generator_alone(monkeypatch, tmp_path):
    torch.manual_seed(5)
    state, seen = torch.get_rng_state(), []

    def found(images):
        seen.append(images)
        pair = {"frechet": (3.0, 0.5), "frechet floor": (2.0, 0.25), "manifold": {"recall": 0.5}}
        pair["copies"] = (0.25, 0.125)
        return pair | {"n": 25, "confidence": 0.9, "confidence error": 0.01, "classes": 50}

    monkeypatch.setattr(train_letters_gan, "scores", found)
    monkeypatch.setattr(train_letters_gan, "PICTURES", 3)
    trained = train_letters_gan.letters_gan(tmp_path / "run", 3)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state was moved"
    torch.manual_seed(6)
    again, history = train_letters_gan.train(train_letters_gan.OURS, 3, 0)
    weights = trained.model.state_dict()
    for name, value in again.generator.state_dict().items():
        assert torch.equal(weights[name], value), name
    assert trained.steps == history.steps == 3 and not trained.interrupted
    fresh = eval(trained.load, LOADERS)
    fresh.load_state_dict(weights)
    z = torch.randn(3, 96, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(seen[0], 127.5 + 127.5 * fresh.eval()(z).detach())
    assert [(m.value, m.standard_error, m.n) for m in trained.metrics.values()] == [
        (3.0, 0.5, 25), (2.0, 0.25, 25), (0.5, 0.1, 25), (0.9, 0.01, 3), (0.25, 0.125, 3), (50.0, 0.0, 3)
    ]  # fmt: skip


def test_the_shipped_letters_score_what_their_card_says():
    """The bars of the letters, and the card's figures again on the pictures that gave them."""
    card = checkpoints.card("letters-gan")
    frechet, floor, recall, confidence, copies, classes = card["metrics"].values()
    model = train_letters_gan.ours()
    load_weights(model.generator, checkpoints.path("letters-gan"))
    assert card["parameters"] == sum(p.numel() for p in model.generator.parameters())
    noise = model.draw_noise(confidence["n"], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        drawn = model.eval().decode(noise[:1040])
        found = train_letters_gan.scores(drawn)
        named = judge("letter-classifier").probabilities(drawn[:, :1]).argmax(1)
    agreed = float((named == labels_of((drawn - model.offset) / model.scale)).double().mean())
    assert agreed >= 0.98, "it draws the letter that it was told"
    assert found["n"] == frechet["n"] == 314
    assert copies["value"] < found["copies among held out"] and copies["n"] == confidence["n"]
    assert found["copies"][0] == pytest.approx(copies["value"], abs=0.02)
    assert found["frechet"][0] == pytest.approx(frechet["value"], rel=0.02)
    assert found["frechet floor"][0] == pytest.approx(floor["value"], rel=0.02)
    assert found["manifold"]["recall"] == pytest.approx(recall["value"], abs=0.01)
    assert abs(found["confidence"] - confidence["value"]) < 4 * found["confidence error"]
    assert classes["value"] == 52 and found["classes"] >= 51  # twenty pictures a letter, not a hundred
    assert recall["value"] >= 0.5
    assert confidence["value"] >= 0.9 * found["confidence on real"]


# ---- the games of the chapter on GANs, over several seeds -------------------------------------------------------


def test_the_players_of_the_ring_come_from_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    players = [bench_gans.ring_players(seed, 4.0) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state was moved"
    first, second, other = ([v for p in pair for v in p.state_dict().values()] for pair in players)
    assert all(map(torch.equal, first, second))
    assert not any(map(torch.equal, first, other))
    generator, critic = players[0]
    points = generator(torch.zeros(5, bench_gans.LATENT))
    assert points.shape == (5, 2) and critic(points).shape == (5, 1)
    frequencies = [bench_gans.ring_players(3, scale)[1][0].frequencies for scale in (4.0, 2.0)]
    torch.testing.assert_close(frequencies[0], 2 * frequencies[1])


def test_a_ring_is_played_as_its_name_says(monkeypatch):
    monkeypatch.setattr(bench_gans, "STEPS", 2)
    monkeypatch.setattr(bench_gans, "SAMPLES", 400)
    short = "Wasserstein game, R1 and R2"
    found = bench_gans.ring(short, 3)
    assert (found["seed"], found["steps"]) == (3, 2)
    assert found["covered"] < 8, "nobody learns a ring in two steps"
    again = bench_gans.ring(short, 3)
    assert found | {"seconds": 0} == again | {"seconds": 0}
    json.dumps(found)
    names = {
        "no penalty": [],
        "penalties on the slope, R1 and R2": ["r1", "r2"],
        "Wasserstein game, R1 and R2": ["r1", "r2"],
        "Wasserstein game, gradient penalty": ["gradient_penalty"],
    }
    real, fake = torch.tensor([2.0]), torch.tensor([0.5])
    for name, expected in names.items():
        rules = bench_gans.RINGS[name]
        assert [penalty.__name__ for _, penalty in rules.penalties] == expected
        assert (float(rules.game.critic(real, fake)) == -1.5) == name.startswith("Wasserstein")


def test_the_benchmark_of_the_ring_plays_every_game_from_every_seed(monkeypatch):
    played = []
    monkeypatch.setattr(bench_gans, "ring", lambda name, seed: played.append((name, seed)) or {"seed": seed})
    results = cli.BENCHES["gan-ring"]()
    assert list(results["games"]) == list(bench_gans.RINGS)
    assert len(set(results["seeds"])) == 5
    assert played == [(name, seed) for name in bench_gans.RINGS for seed in results["seeds"]]
    assert results["games"]["no penalty"] == [{"seed": seed} for seed in results["seeds"]]


def test_the_letters_beside_a_dcgan_get_the_same_steps_and_as_many_pictures(monkeypatch):
    class Still:
        def sample(self, n, *, generator):
            return ("plain", n)

    calls, steps = [], bench_gans.LONGER * 17
    history = AdversarialHistory(seconds=2.04)
    monkeypatch.setattr(bench_gans.checkpoints, "card", lambda name: {"letters-gan": {"steps": 17}}[name])
    monkeypatch.setattr(train_letters_gan, "train", lambda *a: calls.append(a) or (Still(), history))
    monkeypatch.setattr(train_letters_gan, "shipped_samples", lambda: ("shipped", train_letters_gan.PICTURES))
    monkeypatch.setattr(train_letters_gan, "scores", lambda images: images)
    found = cli.BENCHES["gan-letters"]()
    assert (found["steps"], found["seconds of the DCGAN"]) == (17, 2.0)
    assert found["DCGAN"] == ("plain", train_letters_gan.PICTURES)
    assert found["shipped"] == ("shipped", train_letters_gan.PICTURES)
    assert calls == [(train_letters_gan.PLAIN, 17, train_letters_gan.SEED), (train_letters_gan.OURS, steps, 0)]
    assert found["longer"] == found["DCGAN"] and found["steps of the longer game"] == steps > 17
