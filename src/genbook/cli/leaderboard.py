"""The leaderboard: every family with a likelihood or a bound, on the digits, by the same rules.

1,000 scans to learn from, 350 to choose settings by, 447 that a run reads once, after everything is chosen; fixed
steps, three seeds. An entry's settings are chosen at the first seed. Nats per scan: *exact*, a *bound* (what it
says is too high, the model is at least so good), or an *estimate* whose bias is said on the page.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from genbook.cli.train_vaes import train_digits_vae
from genbook.data import digits
from genbook.evaluate.ais import ais
from genbook.evaluate.iwae import iwae
from genbook.evaluate.likelihood import dequantised, paired_difference
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.kernel_density import KernelDensity
from genbook.models.linear_autoregression import LinearAutoregression
from genbook.models.mixture import GaussianMixture
from genbook.models.probabilistic_pca import ProbabilisticPCA
from genbook.models.rbm import RBM
from genbook.prob.exponential import Levels
from genbook.train import adamw, fit, warmup_cosine

__all__ = ["CHECK", "ENTRIES", "Entry", "Learnt", "measure", "recheck"]

SEEDS, LEVELS, SAMPLES = (0, 1, 2), 17, 500


@dataclass(frozen=True)
class Learnt:
    """What learning leaves: nats per scan as a function of scans `(n, 64)`, parameters, and steps."""

    nats: Callable[[Tensor], Tensor]
    parameters: int
    steps: int


@dataclass(frozen=True)
class Entry:
    """One family: how it learns from scans `(n, 64)`, and the settings among which validation chooses."""

    name: str
    kind: str  # "exact", "bound" or "estimate"
    chapter: str
    learn: Callable[..., Learnt]
    settings: Sequence[Mapping[str, Any]] = ({},)


def seeded(seed: int) -> torch.Generator:
    """Return a generator of its own with this seed."""
    return torch.Generator().manual_seed(seed)


def scans(split: str) -> Tensor:
    """Return a split of the digits, `(n, 64)` whole numbers from 0 to 16."""
    return digits.load(split).images.flatten(1)


def size(model: nn.Module) -> int:
    """Return how many numbers were learnt."""
    return sum(value.numel() for value in model.parameters())


# ---- the families -----------------------------------------------------------------------------------------------
def uniform(x: Tensor, seed: int) -> Learnt:
    """Every level of every pixel alike."""
    return Learnt(lambda y: torch.full((len(y),), y.shape[1] * math.log(LEVELS), dtype=torch.float64), 0, 0)


def tables(x: Tensor, seed: int, *, components: int) -> Learnt:
    """A mixture of independent categorical pixels; with one component, independent pixels."""
    model = CategoricalMixture(components, LEVELS).fit(x, generator=seeded(seed))
    free = components * x.shape[1] * (LEVELS - 1) + components - 1
    return Learnt(lambda y: -model.log_prob(y).double(), free, len(model.history))


def with_noise(x: Tensor, seed: int) -> Tensor:
    """Return eight copies of the scans with uniform noise added: what a density learns from."""
    copies = x.repeat(8, 1).double()
    return copies + torch.rand(copies.shape, generator=seeded(seed), dtype=torch.float64)


def density(log_prob: Callable[[Tensor], Tensor], parameters: int, steps: int, seed: int) -> Learnt:
    """Return a density as a model of whole numbers, by the bound of dequantisation."""
    return Learnt(
        lambda y: -dequantised(log_prob, y.double(), draws=SAMPLES, generator=seeded(seed + 70))[0],
        parameters,
        steps,
    )


def gaussians(x: Tensor, seed: int, *, components: int, ridge: float) -> Learnt:
    """A mixture of Gaussians with full covariances."""
    model = GaussianMixture(components, ridge=ridge).fit(with_noise(x, seed), steps=60, generator=seeded(seed))
    d = x.shape[1]
    free = components * (d + d * (d + 1) // 2) + components - 1
    return density(model.log_prob, free, len(model.history), seed)


def kernels(x: Tensor, seed: int, *, bandwidth: float) -> Learnt:
    """A kernel on every scan and its copies with noise."""
    model = KernelDensity(bandwidth).fit(with_noise(x, seed))
    return Learnt(
        lambda y: -dequantised(model.log_prob, y.double(), draws=20, generator=seeded(seed + 70))[0], x.numel(), 0
    )


def linear_codes(x: Tensor, seed: int, *, latent: int) -> Learnt:
    """Probabilistic principal components."""
    model = ProbabilisticPCA(latent).fit(with_noise(x, seed))
    return density(model.log_prob, x.shape[1] * (latent + 1) + 1, 0, seed)


def autoregression(x: Tensor, seed: int, *, weight_decay: float, steps: int = 1000) -> Learnt:
    """Each pixel by a softmax that is linear in the pixels before it."""
    model = LinearAutoregression(x.shape[1], LEVELS).initialise(x)
    fit(
        model,
        x,
        steps=steps,
        batch_size=200,
        learning_rate=3e-3,
        optimizer=adamw(weight_decay, fused=True),
        schedule=warmup_cosine(0.02),
        seed=seed,
        progress=False,
    )
    used = int(model.mask.sum()) + model.bias.numel()
    return Learnt(lambda y: -model.log_prob(y).detach().double(), used, steps)


def machine(x: Tensor, seed: int, *, hidden: int, weight_decay: float, steps: int = 6000) -> Learnt:
    """A restricted Boltzmann machine whose pixels have 17 levels, by persistent chains; log Z by annealing."""
    model = RBM(x.shape[1], hidden, units=Levels(LEVELS), chains=100, generator=seeded(seed))
    model.initialise(x, generator=seeded(seed + 1))
    fit(
        model,
        x,
        steps=steps,
        batch_size=100,
        learning_rate=0.01,
        optimizer=adamw(weight_decay, betas=(0.9, 0.99), fused=True),
        schedule=warmup_cosine(0.02),
        seed=seed,
        progress=False,
    )
    start = model.units.bias(model.units.features(x))
    log_z, _ = ais(model, chains=200, steps=3000, start_bias=start, generator=seeded(seed + 2))
    return Learnt(lambda y: model.energy(y).detach().double() + log_z, size(model), steps)


def codes(x: Tensor, seed: int, *, steps: int = 3000, **settings: Any) -> Learnt:
    """A variational autoencoder with a mixture of logistics a pixel, by the importance-weighted bound."""
    model, history = train_digits_vae(steps, seed, **settings)

    def nats(y: Tensor) -> Tensor:
        return -iwae(model, y.view(-1, 1, 8, 8), samples=SAMPLES, generator=seeded(seed + 70))[0]

    return Learnt(nats, size(model), history.steps)


ENTRIES = (
    Entry("uniform", "exact", "distributions", uniform),
    Entry("independent pixels", "exact", "distributions", tables, ({"components": 1},)),
    Entry("mixture of ten tables", "exact", "distributions", tables, ({"components": 10},)),
    Entry(
        "kernel density", "bound", "distributions", kernels, tuple({"bandwidth": b} for b in (1.3, 1.8, 2.5, 3.5))
    ),
    Entry(
        "mixture of Gaussians",
        "bound",
        "distributions",
        gaussians,
        tuple({"components": k, "ridge": r} for k in (1, 10) for r in (0.1, 0.5, 1.0)),
    ),
    Entry(
        "probabilistic principal components",
        "bound",
        "autoencoders",
        linear_codes,
        tuple({"latent": latent} for latent in (16, 32, 48, 56, 60, 62)),
    ),
    Entry(
        "linear autoregression",
        "exact",
        "vaes",
        autoregression,
        tuple({"weight_decay": w} for w in (0.1, 0.3, 1.0)),
    ),
    Entry(
        "restricted Boltzmann machine",
        "estimate",
        "rbms",
        machine,
        tuple({"hidden": h, "weight_decay": w} for h, w in ((100, 0.2), (100, 0.5), (100, 1.0), (300, 0.5))),
    ),
    Entry("variational autoencoder", "bound", "vaes", codes, ({"latent": 16}, {"latent": 32})),
)
#: One entry at few steps, stored with the table: a test runs it again.
CHECK = {"entry": "linear autoregression", "setting": {"weight_decay": 1.0, "steps": 40}, "seed": 0}


def learnt(entry: Entry, setting: Mapping[str, Any], seed: int) -> tuple[Learnt, float]:
    """Return what an entry learns from the training scans, and the seconds it took."""
    begun = time.perf_counter()
    result = entry.learn(scans("train"), seed, **setting)
    return result, time.perf_counter() - begun


def measure(entries: Sequence[Entry] = ENTRIES, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """Return the table, best first, with the difference of each row to the next, scan by scan."""
    validation, rows, nats = scans("validation"), [], {}
    finalists = []
    for entry in tqdm(entries, desc="leaderboard"):  # everything is chosen before the test split is opened
        trials = [
            (float(learnt(entry, setting, seeds[0])[0].nats(validation).mean()), setting)
            for setting in entry.settings
        ]
        value, setting = min(trials, key=lambda trial: trial[0])
        finalists.append((entry, setting, value, [learnt(entry, setting, seed) for seed in seeds]))
    test = scans("test")
    for entry, setting, value, runs in finalists:
        scores = torch.stack([result.nats(test).double() for result, _ in runs])
        nats[entry.name] = scores.mean(0)
        means = scores.mean(1)
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "chapter": entry.chapter,
                "setting": dict(setting),
                "validation": value,
                "nats": float(means.mean()),
                "spread": float(means.std()) if len(seeds) > 1 else 0.0,
                "standard_error": float(nats[entry.name].std() / len(test) ** 0.5),
                "seeds": means.tolist(),
                "seconds": sum(seconds for _, seconds in runs) / len(runs),
                "parameters": runs[0][0].parameters,
                "steps": runs[0][0].steps,
            }
        )
    rows.sort(key=lambda row: row["nats"])
    for row, following in pairwise(rows):
        row["ahead"] = paired_difference(nats[following["name"]], nats[row["name"]])
    return {
        "split": {name: len(scans(name)) for name in digits.SPLITS},
        "seeds": list(seeds),
        "threads": torch.get_num_threads(),
        "rows": rows,
        "check": CHECK | {"nats": recheck()},
    }


def recheck() -> float:
    """Return the nats on the validation scans of the entry that is checked, at its few steps."""
    entry = next(entry for entry in ENTRIES if entry.name == CHECK["entry"])
    result, _ = learnt(entry, CHECK["setting"], CHECK["seed"])
    return float(result.nats(scans("validation")).mean())
