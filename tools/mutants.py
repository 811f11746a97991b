"""Break the library in the ways that tests/mutants.toml lists, one at a time: a break that no test sees is shown.

Each mutant is applied to a copy of src/ in a temporary folder; the layer it names must then fail. The command ends
with 1 if a mutant survives that is not listed as a survivor, or a listed one is killed after all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNIT = {
    "models": ["tests/models", "tests/parity"],
    "nn": ["tests/nn"],
    "prob": ["tests/prob"],
    "samplers": ["tests/samplers"],
    "evaluate": ["tests/evaluate", "tests/parity/test_metric_parity.py"],
    "data": ["tests/data"],
    "data/byte_pairs.py": ["tests/data/test_byte_pairs.py"],
    "viz": ["tests/viz"],
    "labs": ["tests/labs/test_lab_pages.py", "tests/labs/test_frames.py"],
    "labs/runtime.js": ["tests/labs/test_runtime.py"],
    "labs/ui/gans_core.js": [
        "tests/labs/test_gans_lab.py",
        "-k",
        "critic or slope or steps or adam or ring or coverage",
    ],
    "labs/ui/distributions.js": ["tests/labs/test_distributions_lab.py"],
    "labs/ui/rbms_core.js": [
        "tests/labs/test_rbms_lab.py",
        "-k",
        "equal or learnt or logistic or never or exact or weighs",
    ],
    "labs/ui/markov_core.js": [
        "tests/labs/test_markov_models_lab.py",
        "-k",
        "librarys or relative or shares or draws",
    ],
    "labs/ui/latent_core.js": [
        "tests/labs/test_autoencoders_lab.py",
        "tests/labs/test_vaes_lab.py",
        "-k",
        "sixteen or blends or shift_moves or dot_is or books or codes_have or likelihoods or derivatives or "
        "inverse or one_letter_out",
    ],
    "labs/ui/gpt_core.js": [
        "tests/labs/test_gpt_lab.py",
        "-k",
        "tokens_equal or are_no or several or label or next_token or heads_look or adds_nothing or what_differs "
        "or window_moves or beyond or unpacked or rule_equals or in_their_order or draw_is or greatest_come",
    ],
    "models/rbm.py": ["tests/models/test_rbm.py"],
    "models/autoencoder.py": ["tests/models/test_autoencoder.py"],
    "models/ngram.py": ["tests/models/test_ngram.py"],
    "models/hmm.py": ["tests/models/test_hmm.py"],
    "models/gpt.py": ["tests/models/test_gpt.py", "tests/parity/test_gpt2_parity.py"],
    "nn/attention.py": ["tests/nn/test_attention.py"],
    "evaluate/sequences.py": ["tests/evaluate/test_sequences.py"],
    "data/string_tasks.py": ["tests/data/test_string_tasks.py"],
    "prob/smoothing.py": ["tests/models/test_ngram.py"],
    "models/probabilistic_pca.py": ["tests/models/test_probabilistic_pca.py"],
    "models/vae.py": ["tests/models/test_vae.py"],
    "evaluate/ais.py": ["tests/evaluate/test_ais.py", "-k", "not twenty"],
    "evaluate/iwae.py": ["tests/evaluate/test_iwae.py"],
    "nn/coders.py": ["tests/nn/test_coders.py"],
    "prob/exponential.py": ["tests/prob/test_exponential.py"],
    "prob/likelihoods.py": ["tests/prob/test_likelihoods.py"],
    "samplers/gibbs.py": ["tests/samplers/test_gibbs.py"],
    "samplers/tokens.py": ["tests/samplers/test_tokens.py"],
    "cli": ["tests/test_cli.py"],
    "checks.py": ["tests/test_zoo.py", "-k", "bad or refused"],
    "train.py": ["tests/test_train.py"],
}


def load() -> list[dict]:
    """Return the mutants, each with its layer; raises ValueError where one does not apply to today's source."""
    mutants = tomllib.loads((ROOT / "tests" / "mutants.toml").read_text(encoding="utf-8"))["mutant"]
    for m in mutants:
        count = (ROOT / "src" / "genbook" / m["file"]).read_text(encoding="utf-8").count(m["find"])
        if count != 1 or m["find"] == m["replace"]:
            raise ValueError(f"{m['file']}, {m['why']!r}: find occurs {count} times, it must occur once")
        m.setdefault("layer", "unit")
    return mutants


def command(mutant: dict) -> list[str]:
    """Return the test command of the mutant's layer."""
    python = [sys.executable, "-m", "pytest", "-x", "-q"]
    if mutant["layer"] == "notebook":
        flags = ["-o", "addopts=", "-o", "filterwarnings=", "-p", "no:cacheprovider", "--nbval-lax"]
        return [*python, *flags, "--nbval-current-env", mutant.get("chapter", "chapters/distributions.ipynb")]
    if mutant["layer"] == "zoo":
        family = Path(mutant["file"]).stem.title().replace("_", "")
        family = {"Mixture": "GaussianMixture", "Autoencoder": "Autoencoder or PCA"}.get(family, family)
        return [*python, "tests/test_zoo.py", "-k", family]
    return [*python, *UNIT.get(mutant["file"], UNIT[mutant["file"].split("/")[0]])]


def killed(mutant: dict | None, layer_command: list[str]) -> bool:
    """Apply the mutant (or none) to a copy of the library and return whether the tests fail."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src" / "genbook"
        shutil.copytree(ROOT / "src" / "genbook", source, ignore=shutil.ignore_patterns("__pycache__"))
        for beside in ("data", "benchmarks"):
            (Path(folder) / beside).symlink_to(ROOT / beside)
        if mutant:
            path = source / mutant["file"]
            path.write_text(path.read_text(encoding="utf-8").replace(mutant["find"], mutant["replace"]))
        environment = os.environ | {"PYTHONPATH": str(source.parent), "OMP_NUM_THREADS": "1", "CI": ""}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        result = subprocess.run(layer_command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if result.returncode not in (0, 1):
            raise RuntimeError(f"the tests did not run: {result.stdout[-2000:]}{result.stderr[-2000:]}")
        return result.returncode == 1


def main() -> int:
    """Run all mutants, or those whose file or reason holds the word given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of a file name or of a reason")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    chosen = [m for m in load() if arguments.only in m["file"] + m["why"]]
    start, wrong, layers = time.perf_counter(), [], {}
    for m in chosen:  # first: every layer passes without a mutant, else a kill would mean nothing
        layers.setdefault(tuple(command(m)), m["layer"])
    with ThreadPoolExecutor(arguments.workers) as pool:
        for layer_command, fails in zip(layers, pool.map(lambda c: killed(None, list(c)), layers), strict=True):
            if fails:
                raise SystemExit(f"these tests fail without any mutant: {' '.join(layer_command)}")
        for m, dead in zip(chosen, pool.map(lambda m: killed(m, command(m)), chosen), strict=True):
            expected = "survives" not in m
            verdict = f"killed by {m['layer']}" if dead else "SURVIVES"
            print(
                f"{m['file']:32s} {verdict:20s} {m['why']}" + ("" if expected else f" ({m['survives']})"),
                flush=True,
            )
            wrong += [m] if dead != expected else []
    count = sum("survives" not in m for m in chosen) - sum("survives" not in m for m in wrong)
    print(f"mutants killed: {count} of {len(chosen)}, in {time.perf_counter() - start:.0f} s")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
