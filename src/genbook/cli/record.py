"""What the commands write down beside a result: the machine, the date, the command, and how sure a number is."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from genbook.cli.files import write_together

__all__ = ["Measured", "Trained", "hardware", "store_benchmark", "store_checkpoint"]


@dataclass(frozen=True)
class Measured:
    """A number that was measured on `n` examples, with its standard error."""

    value: float
    standard_error: float
    n: int

    @classmethod
    def mean_of(cls, values: Tensor) -> Measured:
        """Return the mean of `(n,)` values, n ≥ 2, with its standard error."""
        return cls(float(values.mean()), float(values.std() / math.sqrt(len(values))), len(values))

    def __str__(self) -> str:
        """Return "0.981 ± 0.008 (n = 314)"."""
        return f"{self.value:.4g} ± {self.standard_error:.2g} (n = {self.n})"


@dataclass(frozen=True)
class Trained:
    """What a recipe returns: the model whose weights ship, and what its card says of it.

    `load` is the expression that a reader writes for the untrained model. `steps` counts the steps taken,
    `interrupted` says that Ctrl-C ended the run before its last.
    """

    model: nn.Module
    what: str
    load: str
    steps: int
    seed: int
    seconds: float
    metrics: dict[str, Measured] = field(default_factory=dict)
    interrupted: bool = False


def hardware() -> dict[str, Any]:
    """Return what a reader needs to judge the seconds: processor, cores, Python and the libraries' versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    versions = {package: version(package).split("+")[0] for package in ("torch", "numpy", "scikit-learn")}
    return {"cpu": name, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def as_json(record: dict[str, Any]) -> bytes:
    """Return the record as indented JSON."""
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def store_benchmark(name: str, results: dict[str, Any], folder: Path, command: str | None = None) -> Path:
    """Write `folder/NAME.json`, whole or not at all, and return its path."""
    path = folder / f"{name}.json"
    said = {"command": command or f"genbook bench {name}", "date": date.today().isoformat()}
    record = said | {"hardware": hardware(), "results": results}
    write_together({path: as_json(record)})
    return path


def store_checkpoint(name: str, command: str, trained: Trained, folder: Path) -> Path:
    """Write `folder/NAME.safetensors` and its card `folder/NAME.json`; returns the path of the weights.

    The card takes its name last: where something breaks between the two, its digest refuses the weights.
    """
    path = folder / f"{name}.safetensors"
    tensors = {key: value.detach().cpu().contiguous() for key, value in trained.model.state_dict().items()}
    weights = save(tensors)
    card = {
        "name": name,
        "what": trained.what,
        "load": trained.load,
        "command": command,
        "date": date.today().isoformat(),
        "steps": trained.steps,
        "seed": trained.seed,
        "seconds": round(trained.seconds, 1),
        "threads": torch.get_num_threads(),
        "hardware": hardware(),
        "metrics": {key: asdict(measured) for key, measured in trained.metrics.items()},
        "parameters": sum(value.numel() for value in trained.model.parameters()),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    write_together({path: weights, path.with_suffix(".json"): as_json(card)})
    return path
