"""The command `genbook`: `bench` measures what the book quotes, `train` makes the weights that ship with it.

Both write what they did beside the result: command, date, steps, seeds, seconds, machine, versions. `labs` builds
the live labs from those weights, `leaderboard` trains every family on the digits.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["main"]


def later(place: str) -> Callable[..., Any]:
    """Return a call of `module:function` that imports the module of this room only when it is called."""
    module, function = place.split(":")

    def call(*arguments: Any, **keywords: Any) -> Any:
        return getattr(importlib.import_module(f"genbook.cli.{module}"), function)(*arguments, **keywords)

    return call


# A benchmark returns its results; a recipe takes a checkpoint's path and, where asked, the steps (see `Trained`).
BENCHES: dict[str, Callable[..., Any]] = {
    "autoencoder": later("train_autoencoders:measure"),
    "density": later("bench_density:measure"),
    "gan-letters": later("bench_gans:letters_beside_dcgan"),
    "gan-ring": later("bench_gans:rings"),
    "gpt": later("bench_gpt:measure"),
    "rbm": later("bench_rbms:measure"),
    "vae": later("bench_vaes:measure"),
}
RECIPES: dict[str, Callable[..., Any]] = {
    "digit-classifier": later("train_classifiers:digit_classifier"),
    "digits-rbm": later("train_rbms:digits_rbm"),
    "glyphs-autoencoder": later("train_autoencoders:recipe"),
    "letter-classifier": later("train_classifiers:letter_classifier"),
    "letters-gan": later("train_letters_gan:letters_gan"),
    "letters-rbm": later("train_rbms:letters_rbm"),
    "letters-vae": later("train_vaes:recipe_of_letters"),
    "letters-vae-plane": later("train_vaes:recipe_of_plane"),
    "prose-gpt": later("train_gpt:recipe"),
    "string-tasks": later("train_string_tasks:recipe"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="genbook", description="Make and measure what the book quotes.")
    parser.add_argument("--version", action="version", version=f"genbook {version('genbook')}")
    commands = parser.add_subparsers(dest="command", required=True)
    bench_parser = commands.add_parser("bench", help="measure several seeds and store the result")
    bench_parser.add_argument("names", nargs="*", help=f"what to measure: {', '.join(BENCHES)} (default: all)")
    bench_parser.add_argument("--folder", type=Path, default=Path("benchmarks"), help="where the JSON goes")
    train_parser = commands.add_parser("train", help="make the weights that ship, with their card")
    train_parser.add_argument("names", nargs="*", metavar="name", help=f"what to make: {', '.join(RECIPES)}")
    train_parser.add_argument("--steps", type=int, help="steps of the optimiser (default: those of the recipe)")
    train_parser.add_argument("--folder", type=Path, default=Path("data/checkpoints"), help="where the files go")
    train_parser.add_argument("--list", action="store_true", help="list what can be made and end")
    board_parser = commands.add_parser("leaderboard", help="train every family on the digits and store the table")
    board_parser.add_argument("--folder", type=Path, default=Path("benchmarks"), help="where the JSON goes")
    labs_parser = commands.add_parser("labs", help="build the live labs from the weights that ship")
    labs_parser.add_argument("names", nargs="*", metavar="name", help="which labs (default: all)")
    labs_parser.add_argument("--folder", type=Path, help="where the HTML goes (default: into the package)")
    options = parser.parse_args(arguments)
    if options.command == "labs":
        try:
            return labs(options.names, options.folder)
        except ValueError as error:
            parser.error(str(error))
    if options.command == "leaderboard":
        return leaderboard(options.folder)
    known, kind = (BENCHES, "benchmark") if options.command == "bench" else (RECIPES, "recipe")
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no {kind} is called {', '.join(unknown)}; there are: {', '.join(known)}")
    if options.command == "bench":
        return bench(options.names or list(BENCHES), options.folder)
    if options.list:
        print("\n".join(RECIPES))
        return 0
    if not options.names:
        parser.error(f"say what to make: {', '.join(RECIPES)}")
    if options.steps is not None and options.steps < 1:
        parser.error(f"--steps must be at least 1, got {options.steps}")
    return max(train(name, options.steps, options.folder) for name in options.names)


def bench(names: list[str], folder: Path) -> int:
    """Measure and store; returns the exit status."""
    from genbook.cli.record import store_benchmark

    for name in names:
        print(f"{name}: stored in {store_benchmark(name, BENCHES[name](), folder)}")
    return 0


def leaderboard(folder: Path) -> int:
    """Train every family on the digits and store the table; returns the exit status."""
    from genbook.cli.leaderboard import measure
    from genbook.cli.record import store_benchmark

    path = store_benchmark("leaderboard", measure(), folder, "genbook leaderboard")
    print(f"leaderboard: stored in {path}")
    return 0


def labs(names: list[str], folder: Path | None) -> int:
    """Build live labs; returns the exit status."""
    from genbook.cli.labs import build_labs

    for path in build_labs(folder, names or None):
        print(f"{path.stem}: stored in {path}, {path.stat().st_size // 1000} kB")
    return 0


def train(name: str, steps: int | None, folder: Path) -> int:
    """Make one checkpoint; returns the exit status, 130 where Ctrl-C ended the run.

    Until it is finished the run is kept in `folder/.NAME.unfinished`, and the same command goes on with it.
    """
    from genbook.cli.record import store_checkpoint

    keywords = {} if steps is None else {"steps": steps}
    command = " ".join(["genbook train", name, *(f"--{key} {value}" for key, value in keywords.items())])
    unfinished = folder / f".{name}.unfinished"
    trained = RECIPES[name](unfinished / f"{steps or 'all'}-steps", **keywords)
    if trained.interrupted:
        print(f"{name}: stopped after {trained.steps} steps, kept in {unfinished}; the same command goes on")
        return 130
    print(f"{name}: stored in {store_checkpoint(name, command, trained, folder)}")
    for what, measured in trained.metrics.items():
        print(f"  {what}: {measured}")
    shutil.rmtree(unfinished, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
