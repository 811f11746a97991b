"""The training loops of the book: `fit` follows the gradient of one loss, `fit_adversarial` plays a game of two.

Both survive interruption. They import no model: whatever is a `torch.nn.Module` and answers `loss(x)`, or
`critic_loss(x)` and `generator_loss(n)`, can be trained (see `genbook.protocols`). A checkpoint is two files,
`NAME.json` (where the run stands) and the `.safetensors` that it names (every tensor). The JSON is replaced last
and in one step, so an interrupted write leaves the older checkpoint whole.

Sources: Adam with decoupled weight decay, Loshchilov and Hutter (2017), arXiv:1711.05101; the average of the
weights, Polyak and Juditsky (1992).
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from tqdm.auto import tqdm

from genbook.checks import check_count, check_positive

__all__ = [
    "AdversarialHistory",
    "Ema",
    "History",
    "MuonAdamW",
    "adamw",
    "constant",
    "fit",
    "fit_adversarial",
    "has_bf16",
    "load_weights",
    "muon",
    "save_weights",
    "two_player_adam",
    "warmup_cosine",
]


# ---- schedules: a function of the share of the run that is done, 0 to 1, that returns a factor ------------------
def constant(share: float) -> float:
    """Return 1: the learning rate does not change."""
    return 1.0


def warmup_cosine(warmup: float = 0.05, floor: float = 0.0) -> Callable[[float], float]:
    """Return a schedule: up in a line over the first `warmup` of the run, then down as a cosine to `floor`."""

    def schedule(share: float) -> float:
        if share < warmup:
            return share / warmup
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))

    return schedule


# ---- small parts ------------------------------------------------------------------------------------------------
class Ema:
    """An exponential moving average of a model's parameters: often better than the last ones, always smoother.

    `decay` is the share of the old average that a step keeps; early steps keep less, (1 + t) / (10 + t), so that
    the start is forgotten. `model` holds the averaged copy.
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}")
        self.decay, self.steps = decay, 0
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step of the average towards the parameters of `model`; buffers are copied."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for average, value in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(value, 1 - decay)
        for average, value in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(value)


@dataclass
class History:
    """What a run did: `loss`, `learning_rate` and `gradient_norm` hold one number a step.

    `validation` holds pairs (step, loss); `seconds` is the time spent in all the sittings of the run;
    `interrupted` says that Ctrl-C ended it before its last step.
    """

    loss: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def steps(self) -> int:
        """The number of steps taken so far."""
        return len(self.loss)


@dataclass
class AdversarialHistory:
    """What a run of two players did, one number a step: the loss of each, and the norm of its gradient.

    Where the critic takes several updates a step, its last one is recorded. `seconds` and `interrupted` are as in
    `History`.
    """

    critic: list[float] = field(default_factory=list)
    generator: list[float] = field(default_factory=list)
    critic_gradient_norm: list[float] = field(default_factory=list)
    generator_gradient_norm: list[float] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def steps(self) -> int:
        """The number of steps taken so far."""
        return len(self.generator)


def has_bf16(device: torch.device | str = "cpu") -> bool:
    """Return whether arithmetic in bfloat16 is native to the device, so that autocast can be faster there."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported()
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return kind == "cpu" and bool(supported())


def _write(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the parameters and buffers of `model` to a `.safetensors` file, whole or not at all."""
    tensors = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    _write(Path(path), lambda temporary: save_file(tensors, temporary))


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Read weights that `save_weights` wrote into `model`, which must have the same shapes; returns the model."""
    model.load_state_dict(_read_tensors(Path(path)))
    return model


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"no weights at {path}") from None
    except Exception as error:  # safetensors raises its own type for a damaged header
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error


def adamw(weight_decay: float, **options: Any) -> Callable[..., torch.optim.Optimizer]:
    """Return AdamW that decays matrices and kernels only: a bias or a scale is no sign of over-fitting.

    The result is called with the parameters and `lr=`, as `fit` does; `options` go to `torch.optim.AdamW`.
    """
    check_positive(weight_decay, name="weight_decay", zero=True)

    def build(parameters: Iterable[Tensor], lr: float) -> torch.optim.Optimizer:
        known = list(parameters)
        groups = [
            {"params": [value for value in known if value.ndim > 1], "weight_decay": weight_decay},
            {"params": [value for value in known if value.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, **options)

    return build


class MuonAdamW(torch.optim.Optimizer):
    r"""Two optimisers as one: Muon for the given matrices, Adam with decoupled decay for everything else.

    Muon replaces the averaged gradient of a matrix by the nearest matrix whose singular values are all about 1,
    so that a step moves every direction alike. Its rate is scaled by $0.2 \sqrt{\max(\mathrm{rows},
    \mathrm{columns})}$, which gives its steps the size of Adam's (Liu et al. 2025, arXiv:2502.16982, section
    2.2): one learning rate serves both.

    Sources: Jordan et al. (2024), *Muon: An optimizer for hidden layers in neural networks*; `torch.optim.Muon`.
    """

    def __init__(self, matrices: list[Tensor], others: list[Tensor], lr: float, weight_decay: float) -> None:
        options: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay}
        groups = [{"params": matrices, "kind": "muon"}, {"params": others, "kind": "adamw", "weight_decay": 0.0}]
        super().__init__([group for group in groups if group["params"]], options)
        self.parts: dict[str, torch.optim.Optimizer] = {}
        for group in self.param_groups:
            if group["kind"] == "muon":
                part = torch.optim.Muon(group["params"], **options, adjust_lr_fn="match_rms_adamw")
            else:
                part = torch.optim.AdamW(group["params"], lr=lr, weight_decay=0.0, betas=(0.9, 0.95), fused=True)
            group.update({key: value for key, value in part.param_groups[0].items() if key not in group})
            self.parts[group["kind"]] = part

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Take one step of each."""
        for group in self.param_groups:
            part = self.parts[group["kind"]]
            part.state, part.param_groups = self.state, [group]
            part.step()


def muon(matrices: Iterable[Tensor], weight_decay: float = 0.0) -> Callable[..., torch.optim.Optimizer]:
    """Return an optimiser for `fit`: Muon for those of `matrices` that have two dimensions, AdamW for the rest.

    The first and the last table of a network are better left to AdamW: give the matrices between them. Raises
    RuntimeError where this PyTorch has no Muon (it came with 2.9), ValueError where none of them is trained.
    """
    check_positive(weight_decay, name="weight_decay", zero=True)
    if not hasattr(torch.optim, "Muon"):
        raise RuntimeError(f"torch.optim.Muon needs PyTorch 2.9 or later, this is {torch.__version__}")
    chosen = [value for value in matrices if value.ndim == 2]

    def build(parameters: Iterable[Tensor], lr: float) -> torch.optim.Optimizer:
        known = list(parameters)
        inside = [value for value in known if any(value is one for one in chosen)]
        others = [value for value in known if all(value is not one for one in inside)]
        if not inside:
            raise ValueError(
                "matrices are none of those that are trained: give muon the parameters of the same model"
            )
        return MuonAdamW(inside, others, lr=lr, weight_decay=weight_decay)

    return build


two_player_adam = partial(torch.optim.Adam, betas=(0.0, 0.99))  # momentum makes two players circle each other


# ---- the loops --------------------------------------------------------------------------------------------------
def fit(
    model: nn.Module,
    data: Tensor,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
    schedule: Callable[[float], float] = constant,
    clip: float | None = None,
    ema: Ema | None = None,
    autocast: bool = False,
    seed: int = 0,
    validation: Tensor | None = None,
    validate_every: int = 100,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> History:
    """Minimise `model.loss` on random batches of `data` for a stated number of `steps`; returns the history.

    `data` and `validation` are `(n, …)` tensors. Each batch is a fresh draw of different examples by a generator
    seeded with `seed`; what the loss itself draws comes from torch's global generator, seeded likewise and given
    back as it was. Equal seeds, equal runs.

    `optimizer` is called with the parameters and `lr=learning_rate`; `schedule` scales that rate; `clip` bounds
    the norm of the gradient; `ema` is updated after each step; `autocast=True` computes the loss in bfloat16
    where the processor has it and changes nothing elsewhere. With `checkpoint` (a path without ending) the run is
    saved every `checkpoint_every` steps, at the end, and on Ctrl-C; called again with the same arguments it goes
    on where it stood, and ends with the same numbers as a run that was never interrupted.

    Raises TypeError for a model without `loss`, ValueError for empty data or a checkpoint of another run, and
    FloatingPointError as soon as the loss is not finite.
    """
    if not isinstance(model, nn.Module) or not callable(getattr(model, "loss", None)):
        raise TypeError(f"model must be a torch.nn.Module that answers loss(x); {type(model).__name__} is not")
    size = _check_run(data, steps, batch_size, checkpoint_every)
    check_positive(learning_rate, name="learning_rate")
    check_count(validate_every, name="validate_every")
    clip = math.inf if clip is None else check_positive(clip, name="clip")
    parameters = _trainable(model, "model")
    device = parameters[0].device
    optimiser = optimizer(parameters, lr=learning_rate)
    history = History()
    plan = {
        "batch_size": size,
        "learning_rate": learning_rate,
        "seed": seed,
        "optimizer": type(optimiser).__name__,
        "clip": None if clip == math.inf else clip,
        "ema": None if ema is None else ema.decay,
        "data": [list(data.shape), float(data.sum(dtype=torch.float64))],
        "parameters": {name: list(value.shape) for name, value in model.state_dict().items()},
    }
    run = _Run(model, {"optimiser": optimiser}, ema, history, seed, device)

    def step(generator: Generator) -> str:
        batch = data[_batch(len(data), size, generator)].to(device)
        rate = _set_rate(optimiser, learning_rate * schedule(history.steps / steps))
        with _cast(device, autocast):
            loss = model.loss(batch)
        value, norm = _descend(loss, parameters, optimiser, clip, "the", history.steps, learning_rate)
        if ema is not None:
            ema.update(model)
        history.loss.append(value)
        history.learning_rate.append(rate)
        history.gradient_norm.append(norm)
        if validation is not None and (history.steps % validate_every == 0 or history.steps == steps):
            history.validation.append((history.steps, _validate(model, validation.to(device))))
        return f"loss {value:.3f}"

    run.go(step, steps, plan, checkpoint, checkpoint_every, progress)
    return history


def fit_adversarial(
    model: nn.Module,
    data: Tensor,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    critic_learning_rate: float | None = None,
    critic_steps: int = 1,
    optimizer: Callable[..., torch.optim.Optimizer] = two_player_adam,
    schedule: Callable[[float], float] = constant,
    clip: float | None = None,
    ema: Ema | None = None,
    autocast: bool = False,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    progress: bool = True,
) -> AdversarialHistory:
    """Let two players learn against each other for a stated number of `steps`; returns the history of both.

    `model` answers `critic_loss(x)` and `generator_loss(n)` (see `genbook.protocols`) and has the two players as
    the modules `model.critic` and `model.generator`. One step is `critic_steps` updates of the critic, each on a
    fresh batch of `data`, and one of the generator. Each player has its own optimiser, and each backward pass
    fills the gradients of one player only.

    The other arguments are those of `fit`; `critic_learning_rate` defaults to `learning_rate`, and `clip` bounds
    each player's gradient. Batches, seeds, checkpoints and Ctrl-C behave as there.

    Raises TypeError for a model without the calls or the players, ValueError for empty data or a checkpoint of
    another run, and FloatingPointError as soon as a loss or a gradient is not finite.
    """
    for call in ("critic_loss", "generator_loss"):
        if not isinstance(model, nn.Module) or not callable(getattr(model, call, None)):
            raise TypeError(
                f"model must be a torch.nn.Module that answers {call}; {type(model).__name__} does not"
            )
    players = {name: getattr(model, name, None) for name in ("critic", "generator")}
    for name, player in players.items():
        if not isinstance(player, nn.Module):
            raise TypeError(f"model.{name} must be a torch.nn.Module, got {type(player).__name__}")
    size = _check_run(data, steps, batch_size, checkpoint_every)
    check_count(critic_steps, name="critic_steps")
    rates = {"critic": learning_rate if critic_learning_rate is None else critic_learning_rate}
    rates["generator"] = check_positive(learning_rate, name="learning_rate")
    check_positive(rates["critic"], name="critic_learning_rate")
    clip = math.inf if clip is None else check_positive(clip, name="clip")
    parameters = {name: _trainable(player, f"model.{name}") for name, player in players.items()}
    device = parameters["generator"][0].device
    optimisers = {name: optimizer(parameters[name], lr=rates[name]) for name in players}
    history = AdversarialHistory()
    plan = {
        "batch_size": size,
        "learning_rate": rates,
        "critic_steps": critic_steps,
        "seed": seed,
        "optimizer": type(optimisers["critic"]).__name__,
        "clip": None if clip == math.inf else clip,
        "ema": None if ema is None else ema.decay,
        "data": [list(data.shape), float(data.sum(dtype=torch.float64))],
        "parameters": {name: list(value.shape) for name, value in model.state_dict().items()},
    }
    run = _Run(model, optimisers, ema, history, seed, device)

    def update(name: str, lose: Callable[[], Tensor]) -> tuple[float, float]:
        with _cast(device, autocast):
            loss = lose()
        return _descend(
            loss, parameters[name], optimisers[name], clip, f"the {name}'s", history.steps, rates[name]
        )

    def step(generator: Generator) -> str:
        factor = schedule(history.steps / steps)
        for name in players:
            _set_rate(optimisers[name], rates[name] * factor)
        for _ in range(critic_steps):
            batch = data[_batch(len(data), size, generator)].to(device)
            critic = update("critic", lambda: model.critic_loss(batch))  # noqa: B023 - called at once
        fake = update("generator", lambda: model.generator_loss(size))
        if ema is not None:
            ema.update(model)
        history.critic.append(critic[0])
        history.critic_gradient_norm.append(critic[1])
        history.generator.append(fake[0])
        history.generator_gradient_norm.append(fake[1])
        return f"critic {critic[0]:.3f} generator {fake[0]:.3f}"

    run.go(step, steps, plan, checkpoint, checkpoint_every, progress)
    return history


def _check_run(data: Tensor, steps: int, batch_size: int, checkpoint_every: int) -> int:
    """Check what every run has in common; returns the size of a batch."""
    if not isinstance(data, Tensor) or data.ndim == 0 or len(data) == 0:
        what = tuple(data.shape) if isinstance(data, Tensor) else type(data).__name__
        raise ValueError(f"data must be a tensor with at least one example, got {what}")
    check_count(steps, name="steps", least=0)
    check_count(checkpoint_every, name="checkpoint_every")
    return min(check_count(batch_size, name="batch_size"), len(data))


def _trainable(module: nn.Module, name: str) -> list[nn.Parameter]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(f"{name} has no parameter to train: {type(module).__name__}")
    return parameters


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate
    return rate


def _cast(device: torch.device, wanted: bool) -> Any:
    """Return the context in which a loss is computed: bfloat16 where it is wanted and native, else unchanged."""
    return torch.autocast(device.type, torch.bfloat16) if wanted and has_bf16(device) else nullcontext()


def _descend(
    loss: Tensor,
    parameters: list[nn.Parameter],
    optimiser: torch.optim.Optimizer,
    clip: float,
    whose: str,
    step: int,
    rate: float,
) -> tuple[float, float]:
    """Take one step of the optimiser down the gradient of `loss`; returns the loss and the gradient's norm.

    Only the gradients of `parameters` are computed and filled. Raises FloatingPointError where the loss or the
    norm is not finite, before anything moves.
    """
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(
            f"{whose} loss is {value} at step {step}: "
            f"lower learning_rate={rate:g}, pass clip=, or look at the data"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    norm = float(nn.utils.clip_grad_norm_(parameters, clip))
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"{whose} gradient is {norm} at step {step}, where the loss is {value:.4g}: "
            "look for a square root, logarithm or division at 0"
        )
    optimiser.step()
    return value, norm


@dataclass
class _Run:
    """A run in one or more sittings: what it trains, where its randomness stands, where it is kept."""

    model: nn.Module
    optimisers: dict[str, torch.optim.Optimizer]
    ema: Ema | None
    history: History | AdversarialHistory
    seed: int
    device: torch.device
    generator: Generator = field(default_factory=torch.Generator)

    def go(
        self,
        step: Callable[[Generator], str],
        steps: int,
        plan: dict[str, Any],
        checkpoint: str | Path | None,
        every: int,
        progress: bool,
    ) -> None:
        """Call `step` until the history holds `steps` of them or Ctrl-C asks for an end; keeps the checkpoint."""
        history, title = self.history, type(self.model).__name__
        store = None if checkpoint is None else _Checkpoint(Path(checkpoint), plan)
        with torch.random.fork_rng(devices=_forked(self.device)), _interruptible() as asked:
            torch.manual_seed(self.seed)
            self.generator.manual_seed(self.seed)
            if store is not None:
                store.load(self)
            history.interrupted = False
            before, start = history.seconds, time.perf_counter()
            with tqdm(total=steps, initial=history.steps, disable=not progress, desc=title, leave=False) as bar:
                while history.steps < steps and not asked():
                    news = step(self.generator)
                    history.seconds = before + time.perf_counter() - start
                    if store is not None and history.steps % every == 0:
                        store.save(self)
                    bar.update()
                    bar.set_postfix_str(news, refresh=False)
            history.interrupted = history.steps < steps
            if store is not None:
                store.save(self)


def _batch(n: int, size: int, generator: Generator) -> Tensor:
    """Return the indices of one batch: all of them in file order when the batch is the whole set."""
    return torch.arange(n) if size == n else torch.randperm(n, generator=generator)[:size]


@torch.no_grad()
def _validate(model: nn.Module, x: Tensor) -> float:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    with torch.random.fork_rng(devices=_forked(x.device)):  # looking must not change the run
        value = float(model.loss(x))
    for module, training in modes:  # one by one: some may be frozen on purpose
        module.training = training
    return value


def _forked(device: torch.device) -> list[torch.device]:
    """Return the devices whose random state must be given back beside the processor's."""
    return [device] if device.type == "cuda" else []


@contextmanager
def _interruptible() -> Iterable[Callable[[], bool]]:
    """Let Ctrl-C ask for an end between two steps instead of breaking into one; a second Ctrl-C breaks in."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return

    def handle(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


class _Checkpoint:
    """The two files of a run: tensors in safetensors, everything else in JSON, replaced together."""

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        self.path, self.plan = path, plan
        self.tensors: Path | None = None  # the file that the JSON names now
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def json(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def save(self, run: _Run) -> None:
        model, ema, history = run.model, run.ema, run.history
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
        tensors |= {} if ema is None else {f"ema.{k}": v for k, v in ema.model.state_dict().items()}
        scalars: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in run.optimisers}
        for name, optimiser in run.optimisers.items():
            for index, entries in optimiser.state_dict()["state"].items():
                for key, value in entries.items():
                    if isinstance(value, Tensor):
                        tensors[f"{name}.{index}.{key}"] = value
                    else:
                        scalars[name].setdefault(str(index), {})[key] = value
        tensors |= {"random.batch": run.generator.get_state(), "random.global": torch.get_rng_state()}
        if run.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(run.device)
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        file = self.path.with_name(f"{self.path.name}-{history.steps}.safetensors")
        _write(file, lambda temporary: save_file(tensors, temporary))
        status = {
            "plan": self.plan,
            "tensors": file.name,
            "scalars": scalars,
            "ema_steps": 0 if ema is None else ema.steps,
            "history": asdict(history),
        }
        _write(self.json, lambda temporary: temporary.write_text(json.dumps(status)))
        if self.tensors not in (None, file):  # only what this run's own JSON named before
            self.tensors.unlink(missing_ok=True)
        self.tensors = file

    def load(self, run: _Run) -> None:
        if not self.json.exists():
            return
        try:
            status = json.loads(self.json.read_text())
            plan, name, stored = status["plan"], status["tensors"], status["history"]
            scalars, ema_steps = status["scalars"], status["ema_steps"]
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.json} is damaged ({error}): remove it to start afresh") from error
        if plan != self.plan:
            different = sorted(k for k in self.plan if plan.get(k) != self.plan[k])
            raise ValueError(
                f"checkpoint {self.path} belongs to another run, {', '.join(different)} differ: it has "
                f"{ {k: plan.get(k) for k in different} }, this run has { {k: self.plan[k] for k in different} }"
            )
        self.tensors = self.path.with_name(name)
        tensors = _read_tensors(self.tensors)

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        run.model.load_state_dict(part("model."))
        if run.ema is not None:
            run.ema.model.load_state_dict(part("ema."))
            run.ema.steps = ema_steps
        for name, optimiser in run.optimisers.items():
            state: dict[int, dict[str, Any]] = {int(i): dict(e) for i, e in scalars[name].items()}
            for key, value in part(f"{name}.").items():
                index, entry = key.split(".", 1)
                state.setdefault(int(index), {})[entry] = value
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        run.generator.set_state(tensors["random.batch"])
        torch.set_rng_state(tensors["random.global"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], run.device)
        if "validation" in stored:
            stored["validation"] = [tuple(pair) for pair in stored["validation"]]
        for key, value in stored.items():
            setattr(run.history, key, value)
