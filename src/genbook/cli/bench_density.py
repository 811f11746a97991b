"""The density families beside scikit-learn's: the same data, the same work, seconds and nats of each."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from sklearn import mixture, neighbors
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from genbook.data import digits
from genbook.data.truths import RingOfGaussians
from genbook.models.categorical_mixture import CategoricalMixture
from genbook.models.kernel_density import KernelDensity
from genbook.models.mixture import GaussianMixture

__all__ = ["categorical_on_digits", "measure"]

SEEDS = (0, 1, 2)
ROUNDS, POINTS, BANDWIDTH = 50, 5000, 0.05


def seeded(seed: int) -> torch.Generator:
    """Return a generator of its own with this seed."""
    return torch.Generator().manual_seed(seed)


def clock(work: Callable[[], float]) -> tuple[float, float]:
    """Return what `work` returns and the seconds that it took."""
    start = time.perf_counter()
    value = work()
    return value, time.perf_counter() - start


def categorical_on_digits(components: int, seed: int, split: str = "test") -> float:
    """Return the mean nats per image of a categorical mixture fitted to the digits' training split."""
    model = CategoricalMixture(components, 17).fit(digits.load("train").images.flatten(1), generator=seeded(seed))
    return float(model.loss(digits.load(split).images.flatten(1)))


def measure() -> dict[str, Any]:
    """Return, for three seeds each, the nats and the seconds of our families and of scikit-learn's."""
    truth = RingOfGaussians()
    rows: dict[str, list[dict[str, float]]] = {}

    def add(name: str, work: Callable[[], float]) -> None:
        nats, seconds = clock(work)
        rows.setdefault(name, []).append({"nats": round(nats, 4), "seconds": round(seconds, 4)})

    for seed in tqdm(SEEDS, desc="density"):
        x, test = truth.sample(POINTS, generator=seeded(seed)), truth.sample(POINTS, generator=seeded(100 + seed))
        add("kernel density, ours", lambda: float(KernelDensity(BANDWIDTH).fit(x).loss(test)))  # noqa: B023
        add(
            "kernel density, scikit-learn",
            lambda: -neighbors.KernelDensity(bandwidth=BANDWIDTH).fit(x.numpy()).score(test.numpy()) / POINTS,  # noqa: B023
        )
        ours = GaussianMixture(8, ridge=1e-6)
        theirs = mixture.GaussianMixture(8, max_iter=ROUNDS, tol=0.0, reg_covar=1e-6, random_state=seed)
        add(
            "mixture of 8 by EM, ours",
            lambda: float(ours.fit(x, steps=ROUNDS, tolerance=-1.0, generator=seeded(seed)).loss(test).detach()),  # noqa: B023
        )
        with warnings.catch_warnings():  # that EM has not converged is no news: the rounds are fixed on purpose
            warnings.simplefilter("ignore", ConvergenceWarning)
            add("mixture of 8 by EM, scikit-learn", lambda: -theirs.fit(x.numpy()).score(test.numpy()))  # noqa: B023
        add("digits: mixture of 10 tables, nats per image", lambda: categorical_on_digits(10, seed))  # noqa: B023
    return {
        "points": POINTS,
        "rounds": ROUNDS,
        "seeds": list(SEEDS),
        "threads": torch.get_num_threads(),
        "rows": rows,
    }
