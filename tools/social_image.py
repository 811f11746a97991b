"""Draw the book's cover picture and the image that social sites show (`_static/cover.png`, `_static/social.png`).

Both show one exact computation: the differential equation that carries noise (left, t = 1) to a mixture of
three Gaussians (right, t = 0), for straight paths between the two. Its velocity has a closed form.
No network is needed.
Run `python tools/social_image.py` after a change; the files are committed.
"""

import itertools
import json
import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection

ROOT = Path(__file__).parents[1]
PALETTE = json.loads((ROOT / "src" / "genbook" / "viz" / "palette.json").read_text(encoding="utf-8"))
WEIGHTS, MEANS, SCALES = np.array([0.35, 0.25, 0.40]), np.array([-2.1, 0.15, 2.0]), np.array([0.34, 0.22, 0.42])


def velocity(x, t):
    """Return E[noise - data | x_t = x] for x_t = (1 - t) data + t noise, shape of `x`."""
    mean, variance = (1 - t) * MEANS, (1 - t) ** 2 * SCALES**2 + t**2
    log_weight = np.log(WEIGHTS) - 0.5 * np.log(variance) - 0.5 * (x[:, None] - mean) ** 2 / variance
    posterior = np.exp(log_weight - log_weight.max(1, keepdims=True))
    posterior /= posterior.sum(1, keepdims=True)
    slope = (t - (1 - t) * SCALES**2) / variance
    return (posterior * (-MEANS + slope * (x[:, None] - mean))).sum(1)


def paths(n, steps=240):
    """Return times `(steps + 1,)` from 1 to 0 and the paths of `n` evenly spread quantiles of the noise."""
    quantiles = (np.arange(n) + 0.5) / n
    grid = np.linspace(-5, 5, 20001)
    cumulative = np.cumsum(np.exp(-(grid**2) / 2))
    x = np.interp(quantiles, cumulative / cumulative[-1], grid)
    times = np.linspace(1, 0, steps + 1)
    history = [x]
    for now, later in itertools.pairwise(times):
        half = x + 0.5 * (later - now) * velocity(x, now)
        x = x + (later - now) * velocity(half, 0.5 * (now + later))
        history.append(x)
    return times, np.stack(history)


def draw(axes, ink):
    """Draw noise, paths and the density that they reach on `axes`; `ink` is "light" or "dark"."""
    noise, model, data, truth = (
        np.array(matplotlib.colors.to_rgb(PALETTE[k][ink])) for k in ("noise", "model", "data", "truth")
    )
    times, history = paths(72)
    along = 1 - times
    fade = (along[:-1] ** 1.3)[:, None]
    colours = noise * (1 - fade) + model * fade
    for line in history.T:
        points = np.stack([along, line], 1)
        axes.add_collection(
            LineCollection(np.stack([points[:-1], points[1:]], 1), colors=colours, lw=1.2, alpha=0.6, snap=False)
        )
    grid = np.linspace(-3.6, 3.6, 600)
    start = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    end = (WEIGHTS * np.exp(-((grid[:, None] - MEANS) ** 2) / 2 / SCALES**2) / SCALES / np.sqrt(2 * np.pi)).sum(1)
    axes.fill_betweenx(grid, -0.015, -0.015 - 0.34 * start, color=noise, alpha=0.35, lw=0)
    axes.fill_betweenx(grid, 1.015, 1.015 + 0.34 * end, color=model, alpha=0.25, lw=0)
    axes.plot(1.015 + 0.34 * end, grid, color=truth, lw=2)
    generator = np.random.default_rng(0)
    component = generator.choice(3, 90, p=WEIGHTS)
    samples = generator.normal(MEANS[component], SCALES[component])
    axes.scatter(1.015 + 0.02 + 0.04 * generator.random(90), samples, s=9, color=data, lw=0, zorder=3)
    axes.set(xlim=(-0.17, 1.24), ylim=(-3.5, 3.5))
    axes.axis("off")


def save(figure, name, **options):
    """Save `figure` as `_static/name`, whole or not at all."""
    target = ROOT / "_static" / name
    figure.savefig(target.with_suffix(".new"), format="png", metadata={"Software": None}, **options)
    plt.close(figure)
    os.replace(target.with_suffix(".new"), target)


def main():
    """Draw both pictures."""
    figure = plt.figure(figsize=(14, 4.6), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0.12, 1, 0.88))
    draw(axes, "light")
    for place, text in (
        (-0.015, "noise"),
        (0.5, "the paths that carry one to the other"),
        (1.06, "data"),
    ):
        figure.text(
            (place + 0.17) / 1.41,
            0.03,
            text,
            ha={0.5: "center", 1.06: "left"}.get(place, "right"),
            color="#444444",
            size=21,
        )
    save(figure, "cover.png")

    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="#14171c")
    draw(figure.add_axes((0, 0.02, 1, 0.58)), "dark")
    figure.text(0.06, 0.80, "How Generative AI Works", color="white", size=44, weight="bold")
    figure.text(0.06, 0.695, "Build every model from scratch.", color="#c9cdd2", size=24)
    save(figure, "social.png", facecolor=figure.get_facecolor())


if __name__ == "__main__":
    main()
