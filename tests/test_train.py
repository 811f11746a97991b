"""The training loop: what it learns, what it remembers, and what an interruption leaves behind."""

import json
import math
import os
import signal
import threading

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from genbook import train
from genbook.data.truths import Mixture1D
from genbook.models.histogram import Histogram
from genbook.models.mixture import GaussianMixture


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data(n=512):
    return Mixture1D().sample(n, generator=generator())


def model():
    return GaussianMixture(3).initialise(data(), generator=generator(1))


class Noisy(nn.Module):
    """A model whose loss draws its own noise, as most deep ones do."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))

    def loss(self, x):
        self.seen += 1
        return ((self.weight * torch.randn_like(x) - x) ** 2).mean()


QUIET = {"progress": False, "batch_size": 64}


def test_it_learns_and_writes_down_every_step():
    m = model()
    before = float(m.loss(data()).detach())
    history = train.fit(m, data(), steps=150, learning_rate=0.03, **QUIET)
    assert history.steps == len(history.loss) == len(history.gradient_norm) == len(history.learning_rate) == 150
    assert float(m.loss(data()).detach()) < before - 0.05
    assert history.seconds > 0
    assert not history.interrupted


def test_equal_seeds_give_equal_runs_and_the_callers_generator_is_given_back():
    torch.manual_seed(9)
    state = torch.get_rng_state()
    runs = []
    for seed in (4, 4, 5):
        m = Noisy()
        runs.append((train.fit(m, data(), steps=20, seed=seed, **QUIET).loss, m.weight.item()))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_as_large_as_the_data_is_the_data():
    seen = []

    class Watcher(Noisy):
        def loss(self, x):
            seen.append(x.clone())
            return super().loss(x)

    x = data(30)
    train.fit(Watcher(), x, steps=2, batch_size=100, progress=False)
    assert all(torch.equal(batch, x) for batch in seen)
    seen.clear()
    train.fit(Watcher(), torch.arange(30.0)[:, None], steps=3, batch_size=10, progress=False)
    assert all(len(batch.unique()) == 10 for batch in seen)
    assert not torch.equal(seen[0], seen[1])


def test_schedules():
    schedule = train.warmup_cosine(warmup=0.1, floor=0.2)
    assert schedule(0.0) == 0
    assert schedule(0.05) == pytest.approx(0.5)
    assert schedule(0.1) == pytest.approx(1)
    assert schedule(0.55) == pytest.approx(0.6)
    assert schedule(1.0) == pytest.approx(0.2)
    history = train.fit(model(), data(), steps=10, learning_rate=0.5, schedule=lambda s: 1 - s, **QUIET)
    assert history.learning_rate == pytest.approx([0.5 * (1 - i / 10) for i in range(10)])
    assert train.constant(0.7) == 1


def test_clip_bounds_the_step():
    m = Noisy()
    sgd = {"optimizer": torch.optim.SGD, "learning_rate": 1.0, **QUIET}
    history = train.fit(m, data() * 100, steps=1, clip=1e-3, **sgd)
    assert history.gradient_norm[0] > 0.1  # as it was before clipping
    assert abs(m.weight.item() - 1) == pytest.approx(1e-3, rel=1e-3)


def test_ema_follows_slowly_and_keeps_buffers():
    m = Noisy()
    ema = train.Ema(m, decay=0.9)
    with torch.no_grad():
        m.weight.fill_(3.0)
    m.seen.fill_(7)
    ema.update(m)
    kept = min(0.9, 2 / 11)
    assert ema.model.weight.item() == pytest.approx(kept * 1 + (1 - kept) * 3)
    assert ema.model.seen.item() == 7
    for _ in range(300):
        ema.update(m)
    assert ema.model.weight.item() == pytest.approx(3, abs=1e-4)
    assert not ema.model.weight.requires_grad
    with pytest.raises(ValueError, match="decay must lie in"):
        train.Ema(m, decay=1.0)


def test_validation_is_measured_and_does_not_change_the_run():
    with_it, without = Noisy(), Noisy()
    history = train.fit(with_it, data(), steps=20, validation=data(32), validate_every=8, **QUIET)
    train.fit(without, data(), steps=20, **QUIET)
    assert [step for step, _ in history.validation] == [8, 16, 20]
    assert with_it.weight.item() == without.weight.item()


def test_autocast_is_asked_of_the_processor():
    assert train.has_bf16("cpu") in (True, False)
    assert train.has_bf16("meta") is False
    kinds = []

    class Matrix(Noisy):
        def loss(self, x):
            product = x @ self.weight[None]
            kinds.append(product.dtype)
            return product.float().mean()

    train.fit(Matrix(), data(), steps=1, autocast=True, **QUIET)
    train.fit(Matrix(), data(), steps=1, **QUIET)
    assert kinds == [torch.bfloat16 if train.has_bf16("cpu") else torch.float32, torch.float32]


# ---- interruption -----------------------------------------------------------------------------------------------
def interrupted_run(m, ema, where, at, **options):
    """Train, and press Ctrl-C during step `at`."""
    plain, steps = m.loss, []

    def loss(x):
        steps.append(1)
        if len(steps) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(x)

    m.loss = loss
    try:
        return train.fit(m, data(), steps=40, ema=ema, checkpoint=where, **options, **QUIET)
    finally:
        del m.loss


def test_a_run_broken_by_ctrl_c_ends_as_if_it_had_not_been(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    whole = Noisy()
    whole_ema = train.Ema(whole, 0.9)
    reference = train.fit(whole, data(), steps=40, ema=whole_ema, **QUIET)

    first = Noisy()
    history = interrupted_run(first, train.Ema(first, 0.9), tmp_path / "run", at=17)
    assert history.interrupted
    assert history.steps == 17
    second = Noisy()
    ema = train.Ema(second, 0.9)
    resumed = train.fit(second, data(), steps=40, ema=ema, checkpoint=tmp_path / "run", **QUIET)
    assert not resumed.interrupted
    assert resumed.loss == reference.loss
    assert second.weight.item() == whole.weight.item()
    assert second.seen.item() == whole.seen.item() == 40
    assert ema.model.weight.item() == whole_ema.model.weight.item()
    assert ema.steps == whole_ema.steps
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_not_run_again(tmp_path):
    m = Noisy()
    train.fit(m, data(), steps=10, checkpoint=tmp_path / "run", **QUIET)
    again = Noisy()
    history = train.fit(again, data(), steps=10, checkpoint=tmp_path / "run", **QUIET)
    assert history.steps == 10
    assert again.seen.item() == 10
    longer = train.fit(Noisy(), data(), steps=15, checkpoint=tmp_path / "run", **QUIET)
    assert longer.steps == 15


def test_the_checkpoint_is_two_plain_files_and_old_ones_go(tmp_path):
    train.fit(Noisy(), data(), steps=10, checkpoint=tmp_path / "run", checkpoint_every=3, **QUIET)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run-10.safetensors", "run.json"]
    status = json.loads((tmp_path / "run.json").read_text())
    assert status["tensors"] == "run-10.safetensors"
    assert "model.weight" in load_file(tmp_path / "run-10.safetensors")


def test_an_interrupted_write_leaves_the_older_checkpoint_whole(tmp_path, monkeypatch):
    train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def torn(tensors, path):
        path.write_bytes(b"half a fi")
        raise OSError("no space left on device")

    monkeypatch.setattr(train, "save_file", torn)
    with pytest.raises(OSError, match="no space left"):
        train.fit(Noisy(), data(), steps=9, checkpoint=tmp_path / "run", **QUIET)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    monkeypatch.undo()
    assert train.fit(Noisy(), data(), steps=9, checkpoint=tmp_path / "run", **QUIET).steps == 9


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    with pytest.raises(ValueError, match="belongs to another run, seed differ"):
        train.fit(Noisy(), data(), steps=5, seed=3, checkpoint=tmp_path / "run", **QUIET)


def test_damaged_checkpoints_are_named(tmp_path):
    train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    (tmp_path / "run-5.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match=r"run-5\.safetensors is not a whole \.safetensors file"):
        train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    (tmp_path / "run.json").write_text('{"plan": ')
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    with pytest.raises(FileNotFoundError, match="no weights at"):
        train.load_weights(Noisy(), tmp_path / "none.safetensors")


def test_it_runs_outside_the_main_thread_too():
    lengths = []
    thread = threading.Thread(target=lambda: lengths.append(train.fit(Noisy(), data(), steps=3, **QUIET).steps))
    thread.start()
    thread.join()
    assert lengths == [3]


def test_files_of_others_beside_the_checkpoint_are_left_alone(tmp_path):
    train.save_weights(Noisy(), tmp_path / "run-2024.safetensors")
    train.fit(Noisy(), data(), steps=4, checkpoint=tmp_path / "run", checkpoint_every=2, **QUIET)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run-2024.safetensors", "run-4.safetensors", "run.json"]
    train.fit(Noisy(), data(), steps=6, checkpoint=tmp_path / "odd[1]", checkpoint_every=2, **QUIET)
    train.fit(Noisy(), data(), steps=8, checkpoint=tmp_path / "odd[1]", checkpoint_every=2, **QUIET)
    assert [p.name for p in tmp_path.glob("odd*.safetensors")] == ["odd[1]-8.safetensors"]


@pytest.mark.parametrize(
    "change",
    [{"optimizer": torch.optim.SGD}, {"clip": 1.0}, {"data": data() + 1}, {"ema": 0.5}, {"learning_rate": 0.5}],
    ids=lambda c: next(iter(c)),
)
def test_a_checkpoint_is_of_one_plan(tmp_path, change):
    train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    m = Noisy()
    if "ema" in change:
        change = {"ema": train.Ema(m, change["ema"])}
    options = {"steps": 9, "checkpoint": tmp_path / "run"} | QUIET | change
    with pytest.raises(ValueError, match=f"another run, {next(iter(change))} differ"):
        train.fit(m, options.pop("data", data()), **options)
    assert m.weight.item() == 1  # nothing was half-loaded


def test_tied_weights_can_be_saved(tmp_path):
    m = nn.Linear(3, 3)
    m.twin = m.weight
    train.save_weights(m, tmp_path / "w.safetensors")
    assert set(load_file(tmp_path / "w.safetensors")) == {"weight", "bias", "twin"}


def test_validation_leaves_frozen_parts_frozen():
    m = Noisy()
    m.norm = nn.BatchNorm1d(1)
    m.norm.eval()
    train.fit(m, data(), steps=4, validation=data(32), validate_every=2, **QUIET)
    assert m.training and not m.norm.training


def test_a_gradient_that_is_not_finite_stops_before_the_step():
    class Root(Noisy):
        def loss(self, x):
            return (self.weight - 1).abs().sqrt().sum()

    m = Root()
    with pytest.raises(FloatingPointError, match="the gradient is nan at step 0"):
        train.fit(m, data(), steps=1, **QUIET)
    assert m.weight.item() == 1


# ---- refusals ---------------------------------------------------------------------------------------------------
def test_a_loss_that_is_not_finite_stops_the_run_with_advice():
    class Bad(Noisy):
        def loss(self, x):
            return self.weight.sum() * math.inf

    with pytest.raises(FloatingPointError, match=r"loss is inf at step 0: lower learning_rate"):
        train.fit(Bad(), data(), steps=5, **QUIET)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": nn.Linear(1, 1)}, TypeError, r"Module that answers loss\(x\); Linear is not"),
        ({"model": Histogram(3)}, TypeError, r"Module that answers loss\(x\); Histogram is not"),
        ({"clip": -1.0}, ValueError, "clip must be a finite number > 0"),
        ({"validate_every": 0}, ValueError, "validate_every must be at least 1"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1"),
        ({"data": torch.zeros(0, 1)}, ValueError, r"at least one example, got \(0, 1\)"),
        ({"data": [1.0]}, ValueError, "at least one example, got list"),
        ({"steps": 2.5}, TypeError, "steps must be a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be a finite number > 0"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate must be a finite number > 0"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, error, message):
    arguments = {"model": Noisy(), "data": data(), "steps": 1, "progress": False} | change
    with pytest.raises(error, match=message):
        train.fit(arguments.pop("model"), arguments.pop("data"), **arguments)
