"""The gradient training loop of the book: `fit` follows the gradient of `model.loss` and survives interruption.

It imports no model: whatever is a `torch.nn.Module` and answers `loss(x)` can be trained (see
`genbook.protocols`). A checkpoint is two files, `NAME.json` (where the run stands) and the `.safetensors` that it
names (every tensor). The JSON is replaced last and in one step, so an interrupted write leaves the older
checkpoint whole.

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
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from tqdm.auto import tqdm

from genbook.checks import check_count, check_positive

__all__ = ["Ema", "History", "constant", "fit", "has_bf16", "load_weights", "save_weights", "warmup_cosine"]


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


# ---- the loop ---------------------------------------------------------------------------------------------------
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
    if not isinstance(data, Tensor) or data.ndim == 0 or len(data) == 0:
        what = tuple(data.shape) if isinstance(data, Tensor) else type(data).__name__
        raise ValueError(f"data must be a tensor with at least one example, got {what}")
    check_count(steps, name="steps", least=0)
    size = min(check_count(batch_size, name="batch_size"), len(data))
    check_positive(learning_rate, name="learning_rate")
    check_count(validate_every, name="validate_every")
    check_count(checkpoint_every, name="checkpoint_every")
    clip = math.inf if clip is None else check_positive(clip, name="clip")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(f"model has no parameter to train: {type(model).__name__}")
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
        "data": [list(data.shape), float(data.double().sum())],
        "parameters": {name: list(value.shape) for name, value in model.state_dict().items()},
    }
    store = None if checkpoint is None else _Checkpoint(Path(checkpoint), plan)
    cast = torch.autocast(device.type, torch.bfloat16) if autocast and has_bf16(device) else nullcontext()

    with torch.random.fork_rng(devices=_forked(device)), _interruptible() as asked:
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        if store is not None:
            store.load(model, optimiser, ema, generator, history)
        history.interrupted = False
        before, start = history.seconds, time.perf_counter()
        bar = tqdm(
            total=steps, initial=history.steps, disable=not progress, desc=type(model).__name__, leave=False
        )
        while history.steps < steps and not asked():
            batch = data[_batch(len(data), size, generator)].to(device)
            rate = learning_rate * schedule(history.steps / steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            with cast:
                loss = model.loss(batch)
            if not math.isfinite(loss.item()):
                bar.close()
                raise FloatingPointError(
                    f"the loss is {loss.item()} at step {history.steps}: lower learning_rate={learning_rate:g}, "
                    "pass clip=, or look at the data"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, clip)
            if not math.isfinite(float(norm)):
                bar.close()
                raise FloatingPointError(
                    f"the gradient is {float(norm)} at step {history.steps}, where the loss is {loss.item():.4g}: "
                    "look for a square root, logarithm or division at 0"
                )
            optimiser.step()
            if ema is not None:
                ema.update(model)
            history.loss.append(loss.item())
            history.learning_rate.append(rate)
            history.gradient_norm.append(float(norm))
            if validation is not None and (history.steps % validate_every == 0 or history.steps == steps):
                history.validation.append((history.steps, _validate(model, validation.to(device))))
            history.seconds = before + time.perf_counter() - start
            if store is not None and history.steps % checkpoint_every == 0:
                store.save(model, optimiser, ema, generator, history)
            bar.update()
            bar.set_postfix_str(f"loss {history.loss[-1]:.3f}", refresh=False)
        bar.close()
        history.interrupted = history.steps < steps
        if store is not None:
            store.save(model, optimiser, ema, generator, history)
    return history


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

    def save(self, model, optimiser, ema, generator, history: History) -> None:
        tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
        tensors |= {} if ema is None else {f"ema.{k}": v for k, v in ema.model.state_dict().items()}
        state = optimiser.state_dict()
        scalars: dict[str, dict[str, Any]] = {}
        for index, entries in state["state"].items():
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    tensors[f"optimiser.{index}.{key}"] = value
                else:
                    scalars.setdefault(str(index), {})[key] = value
        tensors |= {"random.batch": generator.get_state(), "random.global": torch.get_rng_state()}
        device = next(model.parameters()).device
        tensors |= {"random.cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}
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

    def load(self, model, optimiser, ema, generator, history: History) -> None:
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

        model.load_state_dict(part("model."))
        if ema is not None:
            ema.model.load_state_dict(part("ema."))
            ema.steps = ema_steps
        state: dict[int, dict[str, Any]] = {int(i): dict(e) for i, e in scalars.items()}
        for key, value in part("optimiser.").items():
            index, entry = key.split(".", 1)
            state.setdefault(int(index), {})[entry] = value
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        generator.set_state(tensors["random.batch"])
        torch.set_rng_state(tensors["random.global"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], next(model.parameters()).device)
        stored["validation"] = [tuple(pair) for pair in stored["validation"]]
        for key, value in stored.items():
            setattr(history, key, value)
