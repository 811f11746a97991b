"""The two frozen judges: a classifier of the letters, and one of the digit scans."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, max_pool2d, one_hot

from genbook.cli.record import Measured, Trained
from genbook.data import digits, letters
from genbook.nn.classifier import Classifier
from genbook.train import Ema, History, fit, warmup_cosine

__all__ = ["Lesson", "Shake", "digit_classifier", "letter_classifier", "measure"]

SEED, BATCH, LEARNING_RATE, DECAY = 0, 64, 2e-3, 0.995
CHECKPOINT_EVERY = 100


@dataclass(frozen=True)
class Shake:
    """How far a picture may be moved about and remain the same letter; every number is a bound, drawn uniformly.

    `shift` in pixels, `turn` in degrees, `slant` as the tangent of its angle, `stretch` as a share of each axis,
    `weight` as the share of a stroke thicker or thinner by one pixel, `fade` as a share of the ink, `noise` as a
    standard deviation, a share of full ink. A share `still` of the pictures stays as it is.
    """

    shift: float
    turn: float
    slant: float
    stretch: float
    weight: float
    fade: float
    noise: float
    still: float = 0.1

    def __call__(self, x: Tensor, scale: float) -> Tensor:
        """Return the pictures `(n, 1, size, size)` shaken, in data units from 0 to `scale`."""
        n, size = len(x), x.shape[-1]

        def within(bound: float, *shape: int) -> Tensor:
            return (2 * torch.rand(n, *shape) - 1) * bound

        angle, ones = within(math.radians(self.turn)), torch.ones(n)
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
        slant = torch.stack([ones, within(self.slant), 0 * ones, ones], 1).view(n, 2, 2)
        matrix = turn @ slant * (1 + within(self.stretch, 1, 2))
        grid = affine_grid(torch.cat([matrix, within(self.shift, 2, 1) * 2 / size], 2), [n, 1, size, size], False)
        moved = grid_sample(x, grid, align_corners=False)

        weight = within(self.weight, 1, 1, 1)
        thick, thin = max_pool2d(moved, 3, 1, 1), -max_pool2d(-moved, 3, 1, 1)
        moved = torch.where(weight > 0, moved.lerp(thick, weight.abs()), moved.lerp(thin, weight.abs()))
        moved = moved * (1 - within(self.fade, 1, 1, 1).abs())
        noise = torch.randn_like(moved) * within(self.noise, 1, 1, 1) * scale
        still = torch.rand(n, 1, 1, 1) < self.still
        return torch.where(still, x, (moved + noise).clamp(0, scale))


def mix(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return pictures made of two each, which a judge has to doubt, and the mixed targets, `(n, classes)`.

    Half are blends (mixup, Zhang et al. 2017, arXiv:1710.09412), half are cut along a line and joined (CutMix, Yun
    et al. 2019, arXiv:1905.04899), where each part counts by its ink.
    """
    n, _, _, size = x.shape
    other = torch.randperm(n)
    blend = torch.rand(n, 1, 1, 1)
    cut = (torch.arange(size) < torch.randint(size // 4, 3 * size // 4 + 1, (n, 1, 1, 1))).float()
    across = torch.rand(n, 1, 1, 1) < 0.5
    cut = torch.where(across, cut.expand(n, 1, size, size), cut.expand(n, 1, size, size).mT)
    keep = torch.where(torch.rand(n, 1, 1, 1) < 0.5, blend, cut)
    first, second = keep * x, (1 - keep) * x[other]
    ink, total = first.sum((1, 2, 3)), (first + second).sum((1, 2, 3)).clamp(min=1e-6)
    share = (ink / total)[:, None]
    return first + second, share * target + (1 - share) * target[other]


class Lesson(nn.Module):
    """A classifier with what it learns from, so that `fit` can train it: its data are the examples' numbers.

    `loss(numbers)` takes `(n,)` whole numbers and returns the cross-entropy in nats of those examples, shaken, the
    share `mixed` of them each with a part of another.
    """

    def __init__(
        self, classifier: Classifier, images: Tensor, labels: Tensor, shake: Shake, mixed: float = 0.25
    ) -> None:
        super().__init__()
        self.classifier, self.shake, self.mixed = classifier, shake, mixed
        self.images, self.labels = images, labels  # no buffers: a checkpoint need not repeat the data

    def loss(self, numbers: Tensor) -> Tensor:
        """Return the mean cross-entropy of the examples numbered, in nats."""
        x = self.shake(self.images[numbers], self.classifier.scale)
        target = one_hot(self.labels[numbers], self.classifier.classes).float()
        count = int(self.mixed * len(x))  # the batch is in random order: its first part is as good as any
        if count:
            x_mixed, target_mixed = mix(x[:count], target[:count])
            x, target = torch.cat([x_mixed, x[count:]]), torch.cat([target_mixed, target[count:]])
        return cross_entropy(self.classifier(x), target)


def measure(classifier: Classifier, images: Tensor, labels: Tensor) -> tuple[Measured, Measured]:
    """Return the accuracy on the pictures, and the mean probability of the class that is chosen."""
    confidence, chosen = classifier.eval().probabilities(images).double().max(1)
    return Measured.mean_of((chosen == labels).double()), Measured.mean_of(confidence)


def teach(
    untrained: Callable[[], Classifier],
    data: letters.Letters | digits.Digits,
    shake: Shake,
    steps: int,
    checkpoint: Path,
) -> tuple[Classifier, History]:
    """Train a classifier on the data; returns the one with the averaged weights, and the history of the run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        classifier = untrained()
    average = Ema(classifier, DECAY)  # the parameters of the lesson are those of the classifier
    history = fit(
        Lesson(classifier, data.images, data.labels, shake),
        torch.arange(len(data)),
        steps=steps,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        schedule=warmup_cosine(),
        clip=1.0,
        ema=average,
        seed=SEED,
        checkpoint=checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
    )
    return average.model, history


def letter_classifier(checkpoint: Path, steps: int = 1200) -> Trained:
    """Train the judge of letters on their training split and measure it on those held out."""
    data, held_out = letters.load("train"), letters.load("held_out")
    shake = Shake(shift=1.5, turn=5, slant=0.12, stretch=0.06, weight=0.5, fade=0.2, noise=0.08)
    classifier, history = teach(
        lambda: Classifier(len(letters.NAMES), size=32, scale=255.0), data, shake, steps, checkpoint
    )
    accuracy, confidence = measure(classifier, held_out.images, held_out.labels)
    return Trained(
        model=classifier,
        what="classifier of the 52 letters: its last hidden layer gives the features of sample metrics",
        load="Classifier(52, size=32, scale=255.0)",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={"accuracy on held-out letters": accuracy, "mean confidence on held-out letters": confidence},
        interrupted=history.interrupted,
    )


def digit_classifier(checkpoint: Path, steps: int = 1200) -> Trained:
    """Train the judge of digits on their training split and measure it on the validation split."""
    data, validation = digits.load("train"), digits.load("validation")
    shake = Shake(shift=0.75, turn=10, slant=0.2, stretch=0.12, weight=0.3, fade=0.2, noise=0.1)
    classifier, history = teach(lambda: Classifier(10, size=8, scale=16.0), data, shake, steps, checkpoint)
    accuracy, confidence = measure(classifier, validation.images, validation.labels)
    return Trained(
        model=classifier,
        what="classifier of the 8×8 scans of digits: its last hidden layer gives the features of sample metrics",
        load="Classifier(10, size=8, scale=16.0)",
        steps=history.steps,
        seed=SEED,
        seconds=history.seconds,
        metrics={
            "accuracy on the validation digits": accuracy,
            "mean confidence on the validation digits": confidence,
        },
        interrupted=history.interrupted,
    )
