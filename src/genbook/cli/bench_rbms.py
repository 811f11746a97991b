"""Restricted Boltzmann machines: log Z against its exact value, and our learning beside scikit-learn's.

Both machines have the same binarised digits, hidden units, batches, precision and persistent chains, and as
many seconds: scikit-learn's passes are counted so that it has at least the time that ours took. Its rate is
chosen on the validation split among `RATES`; ours was chosen there too. The test split is read once, at the
end.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor
from tqdm import tqdm

from genbook.cli.train_rbms import binary_digits, train_machine
from genbook.evaluate.ais import ais, reverse_ais
from genbook.evaluate.likelihood import mean_and_error, paired_difference
from genbook.models.rbm import RBM

__all__ = ["exact_log_z", "measure"]

SEEDS, THREADS = (0, 1, 2), 2
HIDDEN, BATCH, STEPS = 100, 100, 4000
RATES = (0.01, 0.02, 0.03, 0.05)
SMALL, RUNS = (12, 14, 15), 20  # hidden units whose states can be counted; runs of each


def seeded(seed: int) -> torch.Generator:
    """Return a generator of its own with this seed."""
    return torch.Generator().manual_seed(seed)


def scikit_learn(data: Tensor, rate: float, passes: int, seed: int) -> tuple[RBM, float]:
    """Return scikit-learn's machine as one of ours, and the seconds that its passes took."""
    theirs = BernoulliRBM(HIDDEN, learning_rate=rate, batch_size=BATCH, n_iter=passes, random_state=seed)
    begun = time.perf_counter()
    theirs.fit(data.numpy())
    seconds = time.perf_counter() - begun
    machine = RBM(data.shape[1], HIDDEN)
    with torch.no_grad():
        machine.weight.copy_(torch.from_numpy(theirs.components_.T.copy()))
        machine.visible_bias.copy_(torch.from_numpy(theirs.intercept_visible_))
        machine.hidden_bias.copy_(torch.from_numpy(theirs.intercept_hidden_))
    return machine, seconds


def log_likelihood(machine: RBM, x: Tensor, data: Tensor, seed: int) -> tuple[Tensor, float]:
    """Return log p of each of `x`, `(n,)`, by an estimate of log Z whose standard error comes with it."""
    start = machine.units.bias(data)
    log_z, error = ais(machine, chains=500, steps=5000, start_bias=start, generator=seeded(seed))
    return -machine.energy(x).detach() - log_z, error


def measure() -> dict[str, Any]:
    """Return, for three seeds, both machines' test log-likelihoods and seconds; and twenty estimates of log Z."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        return {
            "hidden": HIDDEN,
            "batch": BATCH,
            "threads": THREADS,
            "seeds": list(SEEDS),
            "rates": list(RATES),
            "rows": [beside_scikit_learn(seed) for seed in tqdm(SEEDS, desc="beside scikit-learn")],
            "ais": {"runs": RUNS, "hidden": list(SMALL), "rows": exact_log_z()},
        }
    finally:
        torch.set_num_threads(threads)


def beside_scikit_learn(seed: int) -> dict[str, Any]:
    """Return one seed's row: ours, theirs, and the difference image by image."""
    train, validation, test = (binary_digits(split) for split in ("train", "validation", "test"))
    machine, history = train_machine(train, HIDDEN, STEPS, seed)
    _, pilot = scikit_learn(train, RATES[0], 100, seed)
    passes = max(1, round(100 * 1.05 * history.seconds / pilot))
    tried = []
    for rate in RATES:
        theirs, seconds = scikit_learn(train, rate, passes, seed)
        tried.append((float(log_likelihood(theirs, validation, train, seed)[0].mean()), rate, seconds, theirs))
    value, rate, seconds, theirs = max(tried, key=lambda trial: trial[0])
    ours_test, ours_error = log_likelihood(machine, test, train, seed + 50)
    theirs_test, theirs_error = log_likelihood(theirs, test, train, seed + 50)
    return {
        "seed": seed,
        "ours": {
            "steps": STEPS,
            "seconds": round(history.seconds, 2),
            "validation": round(float(log_likelihood(machine, validation, train, seed)[0].mean()), 3),
            "nats": mean_and_error(ours_test),
            "log_z_error": ours_error,
        },
        "theirs": {
            "epochs": passes,
            "learning_rate": rate,
            "seconds": round(seconds, 2),
            "validation": round(value, 3),
            "nats": mean_and_error(theirs_test),
            "log_z_error": theirs_error,
        },
        "difference": paired_difference(ours_test, theirs_test),
    }


def exact_log_z() -> list[dict[str, Any]]:
    """Return, for machines small enough to count, the exact log Z beside `RUNS` estimates from both directions."""
    train, rows = binary_digits("train"), []
    for hidden in tqdm(SMALL, desc="log Z"):
        machine, _ = train_machine(train, hidden, 2000, 0)
        exact, start = float(machine.log_partition().detach()), machine.units.bias(train)
        for run in range(RUNS):
            value, error = ais(machine, chains=500, steps=1000, start_bias=start, generator=seeded(run))
            samples = machine.sample(500, steps=2000, generator=seeded(100 + run))
            back, back_error = reverse_ais(machine, samples, steps=1000, start_bias=start, generator=seeded(run))
            row = {"hidden": hidden, "seed": run, "exact": exact, "estimate": value, "standard_error": error}
            rows.append(row | {"reverse": back, "reverse_error": back_error})
    return rows
