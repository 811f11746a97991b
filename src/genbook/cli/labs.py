"""The live labs of the book, in one table, and the command that builds them from the shipped checkpoints.

A lab is added by an entry in `LABS` and its script in `src/genbook/labs/ui/`. The same inputs give the same file;
their digest stands in its head, so that a test can tell a file that was not built again.
"""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor, nn

from genbook.cli.latent_labs import (
    autoencoder,
    autoencoders_computed,
    autoencoders_data,
    autoencoders_models,
    evenly,
    in_parts,
    letter_codes,
    of_the_others,
    random_codes,
    style_names,
    vae,
    vaes_computed,
    vaes_data,
    vaes_models,
)
from genbook.cli.text_labs import (
    PROMPTS,
    SENTENCE,
    attention_computed,
    attention_data,
    continued,
    gpt_computed,
    gpt_data,
    looks,
    prose_gpt,
    rounded,
)
from genbook.cli.train_autoencoders import LATENT as CODE_LENGTH
from genbook.cli.train_autoencoders import glyph_pictures
from genbook.cli.train_rbms import binary_digits, binary_letters
from genbook.data import checkpoints, digits, letters
from genbook.data.truths import Mixture1D, RingOfGaussians
from genbook.labs.pages import digest, export, source, written
from genbook.models.mixture import GaussianMixture
from genbook.models.ngram import NGram
from genbook.models.rbm import RBM
from genbook.nn.images import ImageGenerator
from genbook.prob.smoothing import AddK, KneserNey, WittenBell
from genbook.train import load_weights
from genbook.viz.figures import show_images, show_points
from genbook.viz.style import colour_of, density_colours, use_style

__all__ = ["LABS", "Lab", "build_labs", "inputs_of"]

LATENT, CODES = 96, (len(letters.NAMES), 24)


def nothing() -> dict[str, Any]:
    """Return no networks, or no data."""
    return {}


@dataclass(frozen=True)
class Lab:
    """What one lab is made of.

    `scripts` name files of `labs/ui`, in their order. `picture` draws what is seen before they have, `alt` says it
    in words. `models` returns the trained networks for `Lab.network(name)`, or tensors by name for
    `Lab.weights(name)`; `data` returns what is found in `Lab.data`, and so does `computed`: numbers that trained
    networks give, whose last digits differ from one machine to the next.
    """

    title: str
    description: str
    scripts: tuple[str, ...]
    picture: Callable[[], Figure]
    alt: str
    models: Callable[[], dict[str, nn.Module | Mapping[str, Tensor]]] = nothing
    data: Callable[[], dict[str, Any]] = nothing
    computed: Callable[[], dict[str, Any]] = nothing


@cache
def generator() -> ImageGenerator:
    """Return the shipped generator of letters."""
    artist = ImageGenerator(LATENT, codes=CODES, labelled=True)
    return load_weights(artist, checkpoints.path("letters-gan")).eval()


def gans_data() -> dict[str, Any]:
    """Return what the latent numbers of the generator mean."""
    return {"latent": LATENT, "codes": list(CODES), "names": list(letters.NAMES)}


def gans_picture() -> Figure:
    """Draw the ring with a generator's first points, and letters of the shipped generator."""
    seeded = torch.Generator().manual_seed(1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.7), width_ratios=(1, 1.25))
    show_points(RingOfGaussians().sample(400, generator=seeded), ax=left, s=5)
    show_points(0.35 * torch.randn(200, 2, generator=seeded), meaning="model", ax=left, s=5)
    left.set(title="Before the first step", xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    left.annotate("data", (1.55, 1.75), color=colour_of("data"))
    left.annotate("generator", (0.1, -1.15), color=colour_of("model"), ha="center")
    with torch.no_grad():
        drawn = generator()(torch.randn(48, LATENT, generator=seeded))[:, :1]
    show_images(drawn, columns=8, low=-1, high=1, ax=right, title="Letters drawn by the shipped generator")
    return figure


@cache
def machine(name: str) -> RBM:
    """Return a shipped restricted Boltzmann machine: "letters" or "digits"."""
    visible, hidden = {"letters": (256, 200), "digits": (64, 100)}[name]
    return load_weights(RBM(visible, hidden, chains=100), checkpoints.path(f"{name}-rbm"))


def machine_tensors(name: str) -> dict[str, Tensor]:
    """Return the weights and biases of a machine, without the particles that it was trained with."""
    return {key: tensor.detach() for key, tensor in machine(name).named_parameters()}


def rbm_examples(name: str) -> tuple[list[str], Tensor, Tensor]:
    """Return the names of a machine's classes, its held-out pictures `(n, visible)` and their labels."""
    if name == "letters":
        return list(letters.NAMES), binary_letters("held_out"), letters.load("held_out").labels
    return [str(k) for k in range(10)], binary_digits("validation"), digits.load("validation").labels


def boldest(name: str) -> dict[str, Tensor]:
    """Return the held-out picture of each letter, or digit, that has the most ink: the easiest to read."""
    names, pictures, labels = rbm_examples(name)
    found = {}
    for k, text in enumerate(names):
        own = pictures[labels == k]
        found[text] = own[own.sum(1).argmax()]
    return found


def rbms_data() -> dict[str, Any]:
    """Return, for each machine, held-out pictures as 0 and 1, and where 9 in 10 of their free energies lie."""
    data = {}
    for name, noun in (("letters", "letter"), ("digits", "digit")):
        energies = machine(name).energy(rbm_examples(name)[1]).detach()
        span = energies.quantile(torch.tensor([0.05, 0.95])).tolist()
        examples = {text: "".join(str(int(bit)) for bit in x) for text, x in boldest(name).items()}
        data[name] = {"noun": noun, "range": [round(edge, 1) for edge in span], "examples": examples}
    return {"machines": data}


def rbms_picture() -> Figure:
    """Draw held-out letters whose left half is given, and right halves that the machine dreams for each."""
    given = torch.arange(256) % 16 < 8
    rows = [boldest("letters")[name] for name in "BdS"]
    figure, axes = plt.subplots(3, 9, figsize=(8.4, 3.1))
    paper, data, model = (torch.tensor(to_rgb(c)) for c in ("white", colour_of("data"), colour_of("model")))
    shade = torch.lerp(paper, data, 0.15)
    for k, (x, line) in enumerate(zip(rows, axes, strict=True)):
        seeded = torch.Generator().manual_seed(k)
        start = torch.where(given, x, torch.bernoulli(machine("letters").visible_bias.sigmoid(), generator=seeded))
        dreams = machine("letters").complete(start.detach().expand(8, -1), given, steps=300, generator=seeded)
        for v, ax in zip([x * given, *dreams], line, strict=True):
            ink = torch.where(given[:, None], data, model)
            blank = torch.where(given[:, None], shade, paper)
            ax.imshow(torch.where(v[:, None] > 0, ink, blank).view(16, 16, 3).numpy(), interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="0.75")
    for column, text, meaning in ((0, "given", "data"), (1, "eight dreams of the other half", "model")):
        title = axes[0, column].set_title(text, color=colour_of(meaning), fontsize=10, loc="left")
        title.set_in_layout(False)  # it may run over its neighbours
    figure.suptitle("Half of a letter is clamped; the machine dreams the rest")
    return figure


def distributions_picture() -> Figure:
    """Draw a density of three bumps, a sample of it, and the mixture that expectation-maximisation fits."""
    seeded = torch.Generator().manual_seed(3)
    truth = Mixture1D([0.5, 0.3, 0.2], [-2.0, 0.5, 2.6], [0.6, 0.45, 0.35])
    x = truth.sample(300, generator=seeded)
    model = GaussianMixture(3).fit(x, starts=8, generator=seeded)
    grid = torch.linspace(-4.5, 4.5, 400)
    with torch.no_grad():
        fitted = model.log_prob(grid[:, None]).exp()
    figure, axes = plt.subplots(figsize=(8.4, 3.7))
    axes.hist(x[:, 0].numpy(), bins=45, range=(-4.5, 4.5), density=True, color=colour_of("data"), alpha=0.45)
    axes.plot(grid, truth.log_prob(grid[:, None]).exp(), color=colour_of("truth"))
    axes.plot(grid, fitted, color=colour_of("model"))
    for row, (text, meaning) in enumerate([("drawn", "truth"), ("its samples", "data"), ("fitted", "model")]):
        axes.annotate(text, (-4.3, 0.34 - 0.035 * row), color=colour_of(meaning))
    axes.set(title="A mixture finds the bumps again", xlabel="$x$", ylabel="density", xlim=(-4.5, 4.5))
    return figure


def markov_text() -> tuple[list[str], Tensor, Tensor]:
    """Return the characters of the book's sentences, and these as numbers: nine tenths known, one fresh."""
    text = source("ui/markov_models.txt")
    alphabet = sorted(set(text))
    tokens = torch.tensor([[alphabet.index(character) for character in text]])
    cut = int(0.9 * len(text))
    return alphabet, tokens[:, :cut], tokens[:, cut:]


def markov_models_picture() -> Figure:
    """Draw the odds of the next character for four lengths of context, and the loss against the length."""
    alphabet, known, fresh = markov_text()
    before = "the machine "
    tokens = torch.tensor([[alphabet.index(character) for character in before]])
    figure, axes = plt.subplots(1, 4, figsize=(8.4, 3.1), width_ratios=(1, 1, 1, 1.7))
    for context, ax in zip((1, 3, 6), axes[:3], strict=True):
        model = NGram(len(alphabet), context, KneserNey()).fit(known)
        chances, places = model.next_probabilities(tokens)[0].topk(6)
        ax.bar(range(6), chances.tolist(), color=colour_of("model"))
        ax.set(xticks=range(6), xticklabels=[alphabet[i] for i in places], ylim=(0, 0.6))
        ax.set_title("after “" + before[-context:].replace(" ", "␣") + "”", fontsize=9)
    axes[0].set_ylabel("probability")
    rules = (
        (AddK(0.1), "Add 0.1", "noise"),
        (WittenBell(), "Witten–Bell", "attention"),
        (KneserNey(), "Kneser–Ney", "model"),
    )
    for rule, name, meaning in rules:
        models = (NGram(len(alphabet), context, rule).fit(known) for context in range(9))
        losses = [-model.token_log_prob(fresh).mean().item() for model in models]
        axes[3].plot(losses, color=colour_of(meaning))
        axes[3].annotate(name, (8.2, losses[8]), color=colour_of(meaning), va="center")
    axes[3].set(xlabel="context, characters", ylabel="nats a character", xlim=(0, 13), xticks=range(0, 9, 2))
    axes[3].set_title("on fresh text", fontsize=9)
    figure.suptitle("What comes next, by the length of the memory and by the way of smoothing")
    return figure


def tinted(ax: Axes, picture: Tensor, meaning: str) -> None:
    """Draw one picture, ink 0 to 1, in the colour of its meaning."""
    paper, ink = torch.ones(3), torch.tensor(to_rgb(colour_of(meaning)))
    shares = picture.clamp(0, 1)[..., None]
    ax.imshow((paper + shares * (ink - paper)).numpy(), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color="0.75")


def rows_of_pictures(rows: list[tuple[str, Tensor, str]], title: str) -> Figure:
    """Draw rows of pictures, each with a name and the colour of a meaning."""
    columns = max(len(pictures) for _, pictures, _ in rows)
    figure, axes = plt.subplots(len(rows), columns, figsize=(8.4, 0.85 * len(rows) + 0.5))
    for (name, pictures, meaning), line in zip(rows, axes, strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            tinted(ax, picture, meaning)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", color=colour_of(meaning))
    figure.suptitle(title)
    return figure


def autoencoders_picture() -> Figure:
    """Draw held-out glyphs, what the autoencoder makes of their codes, and what it makes of random codes."""
    x = glyph_pictures("held_out")
    x = x[evenly(10, len(x))]
    model = autoencoder()

    def decoded(z: Tensor) -> Tensor:
        return in_parts(model.decode, z)[:, 0] / 255

    rows = [
        ("held out", x[:, 0] / 255, "data"),
        ("decoded", decoded(in_parts(model.encode, x)), "model"),
        ("codes from\na Gaussian", decoded(random_codes("gaussian", 10)), "model"),
        ("codes from\na box", decoded(random_codes("box", 10)), "model"),
    ]
    return rows_of_pictures(rows, f"A code of {CODE_LENGTH} numbers holds a glyph; most codes hold none")


def vaes_picture() -> Figure:
    """Draw the plane of codes as decoded pictures, and a walk from one style to another for four letters."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4.2), width_ratios=(1, 1.15))
    steps = torch.linspace(-3, 3, 13)
    z = torch.stack(torch.meshgrid(steps, steps.flip(0), indexing="xy"), -1).flatten(0, 1)
    grid = in_parts(vae("plane").decode, z)[:, 0].unflatten(0, (13, 13)) / 255
    tinted(left, grid.permute(0, 2, 1, 3).reshape(13 * 32, 13 * 32), "model")
    left.set(title="What each point of the plane decodes to", xlabel="$z_1$", ylabel="$z_2$")
    source, target = (style_names().index(style) for style in ("sans", "sans bold"))
    codes = letter_codes("letters")
    difference = of_the_others(codes[:, target] - codes[:, source])
    rows = []
    for name in "Bagk":
        k = letters.NAMES.index(name)
        amounts = torch.linspace(0, 1.5, 7)[:, None]
        walk = in_parts(vae("letters").decode, codes[k, source] + amounts * difference[k])[:, 0] / 255
        rows.append(torch.cat(list(walk), 1))
    tinted(right, torch.cat(rows), "model")
    right.set(title="Bolder, by the other letters' difference", xlabel="amount, 0 to 1.5")
    return figure


def visible(piece: str) -> str:
    """Return the text of a token in which spaces and line ends can be seen."""
    return piece.replace(" ", "␣").replace("\n", "↵").replace("\ufffd", "?")


def gpt_picture() -> Figure:
    """Draw a prompt and what the model writes after it, tinted by probability, and what it expects next."""
    coder = prose_gpt()[1]
    names = [visible(piece) for piece in coder.pieces(range(len(coder)))] + ["start"]
    given = [rounded().start, *coder.encode(PROMPTS[0])]
    ids = given + continued(PROMPTS[0], 60, 1.0, seed=3)[0]
    with torch.no_grad():
        law = rounded()(torch.tensor([ids]))[0].softmax(-1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.9), width_ratios=(1.7, 1))
    wide, column, row = 46, 0, 0
    for place, id in enumerate(ids[1:]):
        for character in names[id]:
            if column == wide:
                column, row = 0, row + 1
            meaning = "data" if place + 1 < len(given) else "model"
            share = 0.04 + 0.5 * float(law[place, id])
            ground = plt.Rectangle((column, row - 0.5), 1, 0.9, color=colour_of(meaning), alpha=share, lw=0)
            left.add_patch(ground)
            left.text(column + 0.5, row, character, ha="center", va="center", family="monospace", fontsize=8.5)
            column += 1
    left.set(xlim=(0, wide), ylim=(max(row, 5) + 0.6, -0.8), xticks=[], yticks=[])
    left.set_title("Given, and written: strong is expected")
    left.spines[:].set_visible(False)
    chances, places = law[-1].topk(10)
    right.barh(range(10), chances.tolist(), color=colour_of("model"))
    right.set(yticks=range(10), yticklabels=[names[i] for i in places], xlabel="probability")
    right.set(title="What comes next")
    right.invert_yaxis()
    return figure


def attention_picture() -> Figure:
    """Draw where every head of the model looks in one sentence."""
    model, coder = rounded(), prose_gpt()[1]
    tokens = torch.tensor([coder.encode(SENTENCE)])
    maps = looks(model, tokens)[:, 0]
    layers, heads = maps.shape[:2]
    figure, axes = plt.subplots(layers, heads, figsize=(8.4, (8.4 / heads + 0.25) * layers), squeeze=False)
    purple = density_colours("attention")
    for layer in range(layers):
        for head in range(heads):
            ax = axes[layer, head]
            ax.imshow(maps[layer, head].sqrt(), cmap=purple, vmin=0, vmax=1, interpolation="nearest")
            previous = maps[layer, head].diagonal(-1).mean()
            ax.set_title(f"{layer + 1}.{head + 1}: {100 * previous:.0f} %", fontsize=9)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(visible=True, color="0.75")
    axes[-1, 0].set_xlabel("where it looks", fontsize=9)
    axes[-1, 0].set_ylabel("from which token", fontsize=9)
    figure.suptitle("Where each head looks, and how much of it, in %, at the token before")
    return figure


LABS: dict[str, Lab] = {
    "attention": Lab(
        title="See where every head looks, and switch heads off",
        description="Edit a sentence and point at a token: you see where each attention head of the book’s "
        "language model looks from there. Switch heads off, and see what the model then expects next.",
        scripts=("gpt_core.js", "text_page.js", "attention.js"),
        picture=attention_picture,
        alt="A map of attention for each head of the model, on one sentence. Some heads look at the token before, "
        "some at the first token, some at many tokens a little.",
        data=attention_data,
        computed=attention_computed,
    ),
    "distributions": Lab(
        title="Draw a density, fit it, sample from it",
        description="Draw a density with the mouse, a finger or the keys. Then watch a mixture or a kernel "
        "density learn it from samples step by step, and draw new samples by rejection or by a Markov chain.",
        scripts=("distributions.js",),
        picture=distributions_picture,
        alt="A density with three bumps, a histogram of 300 samples, and a fitted mixture close to the density.",
    ),
    "gans": Lab(
        title="Train a GAN, then explore one",
        description="Train a small generator and its critic in this page, one step at a time or at full speed; "
        "cause mode collapse and cure it. Below, walk through the noise of the book’s generator of letters.",
        scripts=("gans_core.js", "gans.js"),
        picture=gans_picture,
        alt="Left: eight clusters of data on a circle, and a generator's points still in a heap at the centre. "
        "Right: 48 letters in many styles, drawn by the trained generator.",
        models=lambda: {"generator": generator()},
        data=gans_data,
    ),
    "markov_models": Lab(
        title="Type, and see what usually comes next",
        description="Type a beginning: the page counts a text, and shows the odds of the next character and where "
        "they come from. Change the length of the memory and the way of smoothing, let it write, or count a text "
        "of your own.",
        scripts=("markov_core.js", "markov_models.js"),
        picture=markov_models_picture,
        alt="Three bar charts of the likeliest next characters with contexts of 1, 3 and 6 characters: the longer "
        "the context, the fewer and taller the bars. Right: loss on fresh text against the length of the context; "
        "add 0.1 soon rises, Witten–Bell later, Kneser–Ney stays lowest.",
        data=lambda: {"text": source("ui/markov_models.txt")},
    ),
    "gpt": Lab(
        title="A language model goes on with your text",
        description="Type a beginning: the book’s GPT goes on token by token, and shows what else it weighed. "
        "Change the rules by which it draws, choose another token, or go back to an earlier one.",
        scripts=("gpt_core.js", "text_page.js", "gpt.js"),
        picture=gpt_picture,
        alt="Left: a beginning in blue and the model's continuation in orange, each token on a ground that is the "
        "stronger the likelier it was. Right: bars of the ten likeliest next tokens.",
        data=gpt_data,
        computed=gpt_computed,
    ),
    "rbms": Lab(
        title="Clamp pixels, and watch a machine dream the rest",
        description="Hold some pixels at ink or paper, by mouse, finger or keys, and let a restricted Boltzmann "
        "machine dream the others: round after round of Gibbs sampling, hot or cold.",
        scripts=("rbms_core.js", "rbms.js"),
        picture=rbms_picture,
        alt="The left halves of a bold B, d and S in blue, from held-out letters; beside each, eight right halves "
        "in orange that the machine dreams: many for the B, n, a and g for the d, nearly always an S for the S.",
        models=lambda: {name: machine_tensors(name) for name in ("letters", "digits")},
        data=rbms_data,
    ),
    "autoencoders": Lab(
        title="Encode your own drawing, and walk among the codes",
        description="Draw by mouse, finger or keys: a trained network squeezes the drawing into 32 numbers and "
        "draws it again from them. Then change the numbers, draw them at random, or walk to another glyph.",
        scripts=("latent_core.js", "latent_page.js", "autoencoders.js"),
        picture=autoencoders_picture,
        alt="Ten held-out glyphs in blue; below in orange what the autoencoder decodes from their codes, much the "
        "same, and what it decodes from random codes, of a Gaussian and of a box: less and less like glyphs.",
        models=autoencoders_models,
        data=autoencoders_data,
        computed=autoencoders_computed,
    ),
    "vaes": Lab(
        title="Drag through a plane of letters, and add styles",
        description="Drag a point through the plane of codes and see what a variational autoencoder decodes "
        "there. Below, add the difference between two styles to the code of a letter, or turn one letter into "
        "another.",
        scripts=("latent_core.js", "latent_page.js", "vaes.js"),
        picture=vaes_picture,
        alt="Left: a grid of letters decoded from a plane of codes, each like its neighbours. Right: B, a, g and "
        "k that grow from regular to bold in seven steps.",
        models=vaes_models,
        data=vaes_data,
        computed=vaes_computed,
    ),
}


def build_labs(
    folder: Path | str | None = None, names: list[str] | None = None, *, labs: dict[str, Lab] = LABS
) -> list[Path]:
    """Build the labs `names` (default: all) into `folder` (default: the package's own) and return their paths.

    Raises ValueError for a name that is not in the table.
    """
    if unknown := sorted(set(names or []) - set(labs)):
        raise ValueError(f"no lab is called {', '.join(unknown)}; there are: {', '.join(labs)}")
    return [
        export(
            lab.models(),
            name,
            title=lab.title,
            description=lab.description,
            ui=scripts_of(lab),
            picture=draw(lab.picture),
            alt=lab.alt,
            data=lab.data() | lab.computed(),
            inputs=inputs_of(lab),
            folder=folder,
        )
        for name, lab in labs.items()
        if names is None or name in names
    ]


def scripts_of(lab: Lab) -> dict[str, str]:
    """Return the lab's own scripts by name, in their order."""
    return {script.removesuffix(".js"): source(f"ui/{script}") for script in lab.scripts}


def inputs_of(lab: Lab) -> str:
    """Return the digest of everything that a lab's file is made from.

    Of the picture that is the program that draws it, not its pixels, and of what is computed the program too:
    fonts draw and sums round a little differently from one machine to the next.
    """
    texts = [lab.title, lab.description, lab.alt, *scripts_of(lab).values(), inspect.getsource(lab.picture)]
    texts += [inspect.getsource(lab.computed)]
    return digest(*texts, json.dumps([written(lab.models()), lab.data()], sort_keys=True))


def draw(picture: Callable[[], Figure]) -> bytes:
    """Return a picture in the book's style as a PNG, for a white ground, with the same bytes each time."""
    with mpl.rc_context():
        use_style()
        figure = picture()
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
        plt.close(figure)
    return file.getvalue()
