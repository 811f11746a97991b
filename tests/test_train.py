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
# ---- weight decay of matrices alone -----------------------------------------------------------------------------
class Layers(nn.Module):
    """A matrix, a kernel, a vector and a number, whose loss is a constant: what moves them is decay alone."""

    def __init__(self):
        super().__init__()
        self.matrix, self.kernel = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(2, 1, 3, 3))
        self.bias, self.scale = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(()))

    def loss(self, x):
        return 0 * sum(p.sum() for p in self.parameters())


def test_adamw_decays_matrices_and_kernels_and_neither_biases_nor_scales():
    m = Layers()
    train.fit(m, data(), steps=3, learning_rate=0.1, optimizer=train.adamw(0.5), **QUIET)
    left = (1 - 0.1 * 0.5) ** 3
    for name, value in m.named_parameters():
        expected = left if name in ("matrix", "kernel") else 1.0
        assert torch.allclose(value, torch.full_like(value, expected), rtol=1e-6), name


def test_adamw_without_decay_is_torchs_and_takes_its_options():
    ends = []
    for optimizer in (train.adamw(0.0, betas=(0.5, 0.7), eps=1e-3),
                      lambda parameters, lr: torch.optim.AdamW(parameters, lr=lr, betas=(0.5, 0.7), eps=1e-3,
                                                               weight_decay=0.0)):  # fmt: skip
        m = model()
        train.fit(m, data(), steps=10, learning_rate=0.02, optimizer=optimizer, **QUIET)
        ends.append(torch.cat([p.detach().flatten() for p in m.parameters()]))
    assert torch.equal(*ends)
    built = train.adamw(0.3, betas=(0.5, 0.7))(Layers().parameters(), lr=0.1)
    assert [group["weight_decay"] for group in built.param_groups] == [0.3, 0.0]
    assert all(group["betas"] == (0.5, 0.7) and group["lr"] == 0.1 for group in built.param_groups)


def test_adamw_of_matrices_or_of_vectors_alone_has_one_group():
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    for parameters, decay in (([matrix], 0.3), (iter([vector]), 0.0)):
        (group,) = train.adamw(0.3)(parameters, lr=0.1).param_groups
        assert group["weight_decay"] == decay and len(group["params"]) == 1


@pytest.mark.parametrize("decay", [-0.1, math.inf, math.nan])
def test_a_bad_weight_decay_is_refused_by_name(decay):
    with pytest.raises(ValueError, match="weight_decay must be a finite number ≥ 0"):
        train.adamw(decay)


class TwoTables(nn.Module):
    """A matrix for Muon, a table and a bias for Adam, with a gradient that changes from batch to batch."""

    def __init__(self):
        super().__init__()
        seeded = generator(3)
        self.matrix = nn.Parameter(torch.randn(4, 6, generator=seeded))
        self.table, self.bias = nn.Parameter(torch.randn(6, 1, generator=seeded)), nn.Parameter(torch.zeros(4))

    def loss(self, x):
        return (
            self.matrix @ self.table * x.mean() + self.bias[:, None]
        ).square().mean() + x.mean() * self.matrix.sum()


def test_muon_moves_the_matrices_and_adam_the_rest_as_torchs_two_would():
    ours, theirs, x = TwoTables(), TwoTables(), data()
    one = train.muon([ours.matrix], 0.3)(ours.parameters(), lr=0.01)
    pair = (
        torch.optim.Muon([theirs.matrix], lr=0.01, weight_decay=0.3, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([theirs.table, theirs.bias], lr=0.01, weight_decay=0.0, betas=(0.9, 0.95)),
    )
    for step in range(5):
        for group in one.param_groups + [group for part in pair for group in part.param_groups]:
            group["lr"] = 0.01 / (1 + step)  # a schedule reaches both
        for m, parts in ((ours, (one,)), (theirs, pair)):
            m.zero_grad()
            m.loss(x[step : step + 9]).backward()
            for part in parts:
                part.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_run_with_muon_goes_on_from_its_checkpoint(tmp_path):
    def options(m):
        return {"optimizer": train.muon([m.matrix]), "learning_rate": 0.01, **QUIET}

    whole, first, second = TwoTables(), TwoTables(), TwoTables()
    reference = train.fit(whole, data(), steps=12, **options(whole))
    train.fit(first, data(), steps=5, checkpoint=tmp_path / "run", **options(first))
    resumed = train.fit(second, data(), steps=12, checkpoint=tmp_path / "run", **options(second))
    assert resumed.loss == reference.loss
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_muon_says_what_it_lacks(monkeypatch):
    with pytest.raises(ValueError, match="matrices are none of those that are trained"):
        train.muon([TwoTables().matrix])(TwoTables().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="weight_decay must be a finite number ≥ 0"):
        train.muon([], -1.0)
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(RuntimeError, match=r"torch\.optim\.Muon needs PyTorch 2\.9 or later, this is "):
        train.muon([])


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


# ---- two players ------------------------------------------------------------------------------------------------
class Player(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor([value], dtype=torch.float64))


class Bilinear(nn.Module):
    """The game V = θψ: the critic ψ wants it high, the generator θ low. It ignores the data."""

    def __init__(self):
        super().__init__()
        self.critic, self.generator = Player(0.6), Player(0.8)

    def critic_loss(self, x):
        return -(self.critic.value * self.generator.value).sum()

    def generator_loss(self, n):
        return (self.critic.value * self.generator.value).sum()


class Duel(nn.Module):
    """Two players who draw noise: the generator's mean chases that of the data."""

    def __init__(self):
        super().__init__()
        self.critic, self.generator = Player(0.0), Player(0.0)
        self.batches, self.sizes = [], []
        self.register_buffer("seen", torch.zeros(1))

    def fakes(self, n):
        return self.generator.value + torch.randn(n, 1, dtype=torch.float64)

    def critic_loss(self, x):
        self.seen += 1
        self.batches.append(x.clone())
        slope = self.critic.value
        return slope * (self.fakes(len(x)).mean() - x.mean()) + 0.5 * slope.square().sum()

    def generator_loss(self, n):
        self.sizes.append(n)
        return -(self.critic.value * self.fakes(n)).mean()


SGD = {"optimizer": torch.optim.SGD, "progress": False, "batch_size": 64}


def values(m):
    return m.critic.value.item(), m.generator.value.item()


def test_two_players_learn_and_every_step_is_written_down():
    m, x = Duel(), data() + 3
    history = train.fit_adversarial(m, x, steps=200, learning_rate=0.1, **SGD)
    assert values(m)[1] == pytest.approx(x.mean().item(), abs=0.3)
    lists = [history.critic, history.generator, history.critic_gradient_norm, history.generator_gradient_norm]
    assert [len(entries) for entries in lists] == [history.steps] * 4 == [200] * 4
    assert all(math.isfinite(v) for entries in lists for v in entries)
    assert history.seconds > 0 and not history.interrupted
    assert set(m.sizes) == {64} and {len(b) for b in m.batches} == {64}


def test_the_critic_moves_first_and_the_generator_answers():
    """One step by hand, then a hundred: alternating updates keep θ² + ψ² + ηθψ, simultaneous ones do not."""
    m, rate = Bilinear(), 0.1
    history = train.fit_adversarial(m, data(), steps=1, learning_rate=rate, **SGD)
    critic = 0.6 + rate * 0.8
    generator_ = 0.8 - rate * critic
    assert values(m) == pytest.approx((critic, generator_))
    assert history.critic == pytest.approx([-0.6 * 0.8])
    assert history.generator == pytest.approx([critic * 0.8])
    assert history.critic_gradient_norm == pytest.approx([0.8])
    assert history.generator_gradient_norm == pytest.approx([critic])
    m = Bilinear()
    train.fit_adversarial(m, data(), steps=100, learning_rate=rate, **SGD)
    critic, generator_ = values(m)
    start = 0.6**2 + 0.8**2 + rate * 0.6 * 0.8
    assert critic**2 + generator_**2 + rate * critic * generator_ == pytest.approx(start, rel=1e-9)
    assert (1 + rate**2) ** 100 > 2.7  # what simultaneous updates would have multiplied the square radius by


def test_the_critic_takes_its_steps_each_on_a_fresh_batch():
    m = Bilinear()
    history = train.fit_adversarial(m, data(), steps=1, learning_rate=0.1, critic_steps=3, **SGD)
    assert values(m) == pytest.approx((0.6 + 3 * 0.08, 0.8 - 0.1 * 0.84))
    assert history.steps == 1
    assert history.critic == pytest.approx([-0.76 * 0.8])  # of the last of the three
    duel = Duel()
    numbers = torch.arange(30.0, dtype=torch.float64)[:, None]
    history = train.fit_adversarial(duel, numbers, steps=4, critic_steps=3, **SGD | {"batch_size": 10})
    assert len(duel.batches) == 12 and len(duel.sizes) == 4 == history.steps
    assert all(len(b.unique()) == 10 for b in duel.batches)
    assert len({tuple(sorted(b.flatten().tolist())) for b in duel.batches}) == 12


def test_each_player_has_a_rate_of_its_own():
    m = Bilinear()
    train.fit_adversarial(m, data(), steps=1, learning_rate=0.1, critic_learning_rate=0.5, **SGD)
    assert values(m) == pytest.approx((0.6 + 0.5 * 0.8, 0.8 - 0.1 * 1.0))


def test_the_schedule_scales_both_rates():
    m = Bilinear()
    shares = []

    def schedule(share):
        shares.append(share)
        return 1 - share

    rates = {"learning_rate": 0.1, "critic_learning_rate": 0.5}
    train.fit_adversarial(m, data(), steps=2, schedule=schedule, **rates, **SGD)
    critic, generator_ = 1.0, 0.7  # after the first step, as above
    critic += 0.5 * 0.5 * generator_
    assert values(m) == pytest.approx((critic, generator_ - 0.5 * 0.1 * critic))
    assert shares == [0, 0.5]


def test_clip_bounds_the_step_of_each_player():
    m = Bilinear()
    history = train.fit_adversarial(m, data(), steps=1, learning_rate=1.0, clip=1e-3, **SGD)
    assert values(m) == pytest.approx((0.601, 0.799), abs=1e-6)
    assert history.critic_gradient_norm == pytest.approx([0.8])
    assert history.generator_gradient_norm == pytest.approx([0.601], abs=1e-6)


def test_the_average_follows_both_players_once_a_step():
    m = Bilinear()
    ema = train.Ema(m, decay=0.9)
    train.fit_adversarial(m, data(), steps=1, learning_rate=0.1, critic_steps=2, ema=ema, **SGD)
    kept = 2 / 11
    critic, generator_ = values(m)
    assert values(ema.model) == pytest.approx(
        (kept * 0.6 + (1 - kept) * critic, kept * 0.8 + (1 - kept) * generator_)
    )
    assert ema.steps == 1


def test_an_update_fills_and_moves_one_player_only():
    m = Bilinear()
    seen = []

    def watched(lose):
        def watch(x):
            seen.append((*values(m), m.critic.value.grad, m.generator.value.grad))
            return lose(x)

        return watch

    m.critic_loss, m.generator_loss = watched(m.critic_loss), watched(m.generator_loss)
    train.fit_adversarial(m, data(), steps=2, learning_rate=0.1, **SGD)
    start, after_critic, after_both, after_third = seen
    assert start == (0.6, 0.8, None, None)
    assert after_critic[0] != 0.6 and after_critic[1] == 0.8
    assert after_critic[2].item() == pytest.approx(-0.8) and after_critic[3] is None
    assert after_both[0] == after_critic[0] and after_both[1] != 0.8
    assert after_both[2] is after_critic[2] and after_both[3].item() == pytest.approx(after_critic[0])
    assert after_third[1] == after_both[1] and after_third[0] != after_both[0]
    assert m.critic.value.grad.item() == pytest.approx(-after_both[1])  # of its own loss alone


def test_each_player_has_an_optimiser_of_its_own_adam_without_momentum_unless_told():
    made = []

    def optimizer(parameters, lr):
        made.append(([id(p) for p in parameters], lr))
        return torch.optim.SGD(parameters, lr=lr)

    m = Duel()
    options = {"steps": 1, "learning_rate": 0.1, "critic_learning_rate": 0.3}
    train.fit_adversarial(m, data(), optimizer=optimizer, **options, **QUIET)
    assert made == [([id(m.critic.value)], 0.3), ([id(m.generator.value)], 0.1)]
    default = train.two_player_adam([nn.Parameter(torch.ones(1))], lr=0.1)
    assert isinstance(default, torch.optim.Adam) and default.defaults["betas"] == (0.0, 0.99)
    first, second = Duel(), Duel()
    train.fit_adversarial(first, data(), steps=3, **QUIET)
    train.fit_adversarial(second, data(), steps=3, optimizer=train.two_player_adam, **QUIET)
    assert values(first) == values(second)


def test_two_players_equal_seeds_give_equal_runs_and_the_callers_generator_is_given_back():
    torch.manual_seed(9)
    state = torch.get_rng_state()
    runs = []
    for seed in (4, 4, 5):
        m = Duel()
        history = train.fit_adversarial(m, data(), steps=20, seed=seed, **QUIET)
        runs.append((history.critic, history.generator, values(m)))
    assert runs[0] == runs[1]
    assert all(a != b for a, b in zip(runs[0], runs[2], strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_autocast_covers_both_players():
    kinds = []

    class Matrices(Bilinear):
        def product(self):
            out = self.critic.value.float()[None] @ self.generator.value.float()[:, None]
            kinds.append(out.dtype)
            return out.float().sum()

        def critic_loss(self, x):
            return -self.product()

        def generator_loss(self, n):
            return self.product()

    wanted = torch.bfloat16 if train.has_bf16("cpu") else torch.float32
    for autocast in (True, False):
        train.fit_adversarial(Matrices(), data(), steps=1, autocast=autocast, **SGD)
    assert kinds == [wanted] * 2 + [torch.float32] * 2


def broken_duel(where, at, ema):
    """Train, and press Ctrl-C in the middle of step `at`, between the two players."""
    m = Duel()
    plain = m.generator_loss

    def generator_loss(n):
        if len(m.sizes) == at - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(n)

    m.generator_loss = generator_loss
    return train.fit_adversarial(m, data(), steps=40, critic_steps=2, ema=ema(m), checkpoint=where, **QUIET)


def average(m):
    return train.Ema(m, 0.9)


def test_a_game_broken_by_ctrl_c_ends_as_if_it_had_not_been(tmp_path):
    whole = Duel()
    whole_ema = average(whole)
    reference = train.fit_adversarial(whole, data(), steps=40, critic_steps=2, ema=whole_ema, **QUIET)
    history = broken_duel(tmp_path / "run", 17, average)
    assert history.interrupted and history.steps == 17
    second = Duel()
    ema = average(second)
    options = {"steps": 40, "critic_steps": 2, "ema": ema, "checkpoint": tmp_path / "run"}
    resumed = train.fit_adversarial(second, data(), **options, **QUIET)
    assert not resumed.interrupted
    for name in ("critic", "generator", "critic_gradient_norm", "generator_gradient_norm"):
        assert getattr(resumed, name) == getattr(reference, name)
    assert values(second) == values(whole)
    assert values(ema.model) == values(whole_ema.model)
    assert second.seen.item() == whole.seen.item() == 80
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run-40.safetensors", "run.json"]


def test_the_checkpoint_of_a_game_holds_both_optimisers(tmp_path):
    train.fit_adversarial(Duel(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    tensors = load_file(tmp_path / "run-5.safetensors")
    found = [tensors[f"{name}.0.exp_avg_sq"].item() for name in ("critic", "generator")]
    assert found[0] != found[1] and all(v > 0 for v in found)
    assert [tensors[f"{name}.0.step"].item() for name in ("critic", "generator")] == [5, 5]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"critic_learning_rate": 0.5}, "learning_rate"),
        ({"learning_rate": 0.5}, "learning_rate"),
        ({"critic_steps": 2}, "critic_steps"),
        ({"seed": 3}, "seed"),
        ({"optimizer": torch.optim.SGD}, "optimizer"),
        ({"clip": 1.0}, "clip"),
        ({"batch_size": 32}, "batch_size"),
        ({"data": data() + 1}, "data"),
        ({"ema": True}, "ema"),
    ],
)
def test_a_checkpoint_of_another_game_is_refused(tmp_path, change, name):
    train.fit_adversarial(Duel(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    m = Duel()
    if "ema" in change:
        change = {"ema": average(m)}
    options = {"steps": 9, "checkpoint": tmp_path / "run"} | QUIET | change
    with pytest.raises(ValueError, match=f"belongs to another run, {name} differ"):
        train.fit_adversarial(m, options.pop("data", data()), **options)
    assert values(m) == (0, 0)


def test_a_game_does_not_go_on_from_the_checkpoint_of_a_plain_run(tmp_path):
    train.fit(Noisy(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)
    with pytest.raises(ValueError, match=r"belongs to another run, .*parameters differ"):
        train.fit_adversarial(Duel(), data(), steps=5, checkpoint=tmp_path / "run", **QUIET)


@pytest.mark.parametrize("player", ["critic", "generator"])
def test_a_loss_or_a_gradient_that_is_not_finite_names_its_player_and_moves_nothing(player):
    for spoil, message in (
        (
            lambda value: value.sum() * math.inf,
            f"^the {player}'s loss is (inf|nan) at step 0: lower learning_rate=0.2",
        ),
        (
            lambda value: (0 * value).abs().sqrt().sum(),
            f"^the {player}'s gradient is nan at step 0, where the loss is 0",
        ),
    ):
        m = Bilinear()
        value = getattr(m, player).value
        setattr(m, f"{player}_loss", lambda x, v=value, spoil=spoil: spoil(v))
        before = value.item()
        with pytest.raises(FloatingPointError, match=message):
            train.fit_adversarial(m, data(), steps=1, learning_rate=0.2, **SGD)
        assert value.item() == before


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": nn.Linear(1, 1)}, TypeError, "Module that answers critic_loss; Linear does not"),
        ({"model": Noisy()}, TypeError, "Module that answers critic_loss; Noisy does not"),
        ({"critic_steps": 0}, ValueError, "critic_steps must be at least 1"),
        ({"critic_steps": 1.5}, TypeError, "critic_steps must be a whole number"),
        ({"critic_learning_rate": 0.0}, ValueError, "^critic_learning_rate must be a finite number > 0"),
        ({"learning_rate": -1.0}, ValueError, "^learning_rate must be a finite number > 0"),
        ({"clip": 0.0}, ValueError, "clip must be a finite number > 0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1"),
        ({"data": torch.zeros(0, 1)}, ValueError, r"at least one example, got \(0, 1\)"),
        ({"steps": 2.5}, TypeError, "steps must be a whole number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_bad_arguments_of_a_game_are_refused_by_name(change, error, message):
    arguments = {"model": Duel(), "data": data(), "steps": 1, "progress": False} | change
    with pytest.raises(error, match=message):
        train.fit_adversarial(arguments.pop("model"), arguments.pop("data"), **arguments)


def test_a_model_without_its_players_is_refused_by_name():
    m = Duel()
    m.generator_loss = None
    with pytest.raises(TypeError, match="answers generator_loss; Duel does not"):
        train.fit_adversarial(m, data(), steps=1, **QUIET)
    for name in ("critic", "generator"):
        m = Duel()
        delattr(m, name)
        with pytest.raises(TypeError, match=rf"model\.{name} must be a torch\.nn\.Module, got NoneType"):
            train.fit_adversarial(m, data(), steps=1, **QUIET)
        m = Duel()
        getattr(m, name).requires_grad_(False)
        with pytest.raises(ValueError, match=rf"model\.{name} has no parameter to train: Player"):
            train.fit_adversarial(m, data(), steps=1, **QUIET)
