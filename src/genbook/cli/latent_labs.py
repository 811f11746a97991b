"""What the labs on autoencoders and variational autoencoders carry: networks, glyphs, codes, and their figures.

`*_data` returns what is read from the book's data, `*_computed` what the trained networks make of it. The figures
of both questions are put into their answers here, so that a model trained anew cannot leave an old number behind.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from genbook.cli.train_autoencoders import LATENT, glyph_pictures, glyphs_autoencoder, squared_error
from genbook.cli.train_vaes import letters_vae
from genbook.data import checkpoints, glyphs, letters
from genbook.labs.pages import pack
from genbook.models.autoencoder import PCA, Autoencoder
from genbook.models.vae import VAE
from genbook.train import load_weights

__all__ = [
    "autoencoder",
    "autoencoders_computed",
    "autoencoders_data",
    "autoencoders_models",
    "code_law",
    "evenly",
    "in_parts",
    "letter_codes",
    "of_the_others",
    "random_codes",
    "style_names",
    "vae",
    "vaes_computed",
    "vaes_data",
    "vaes_models",
]

EXAMPLES, DRAWN = 40, 200
WORDS = {"mono": "monospace", "times": "Times"}


def four_bits(pictures: Tensor) -> str:
    """Return pictures of 0 to 255 in 16 levels, two pixels a byte, as base64; `LatentCore.pictures` reads them."""
    levels = pictures.float().div(17).round().to(torch.uint8).flatten()
    return base64.b64encode(((levels[::2] << 4) | levels[1::2]).numpy().tobytes()).decode()


def carried(pictures: Tensor) -> Tensor:
    """Return pictures of 0 to 255 as a page has them after `four_bits`: in 16 levels."""
    return pictures.float().div(17).round().mul(17)


def evenly(count: int, total: int) -> Tensor:
    """Return `count` whole numbers at even distances, from the first to the last of `total`."""
    return torch.linspace(0, total - 1, count).round().long()


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, size: int = 512) -> Tensor:
    """Return function(x), part by part and without gradients."""
    with torch.no_grad():
        return torch.cat([function(part) for part in x.split(size)])


# ---- autoencoders ---------------------------------------------------------------------------------------------
@cache
def autoencoder() -> Autoencoder:
    """Return the shipped autoencoder of glyphs."""
    return load_weights(glyphs_autoencoder(LATENT), checkpoints.path("glyphs-autoencoder")).eval()


@cache
def principal_components() -> PCA:
    """Return as many principal components of the training glyphs, in units of full ink, as codes have numbers."""
    x = glyph_pictures("train").flatten(1) / 255
    linear = PCA(LATENT)
    linear.mean = x.mean(0)
    centred = x - linear.mean
    axes = torch.linalg.eigh((centred.T @ centred).double()).eigenvectors.flip(1).T[:LATENT]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    linear.components = (axes * largest.sign()).float()
    return linear


@cache
def training_codes() -> Tensor:
    """Return the codes of all training glyphs, `(n, LATENT)`."""
    return in_parts(autoencoder().encode, glyph_pictures("train"))


def code_law() -> dict[str, Tensor]:
    """Return the box of the training codes, and their mean, scales and the factor of their covariance."""
    z = training_codes().double()
    law = {"low": z.amin(0), "high": z.amax(0), "mean": z.mean(0), "scale": z.std(0)}
    factor = torch.linalg.cholesky(z.T.cov() + 1e-9 * torch.eye(LATENT))
    return {name: tensor.float() for name, tensor in {**law, "factor": factor}.items()}


def random_codes(kind: str, n: int, seed: int = 0) -> Tensor:
    """Return `n` codes drawn from the "box" that holds the training codes, or the "gaussian" of their law."""
    law, seeded = code_law(), torch.Generator().manual_seed(seed)
    if kind == "box":
        return law["low"] + (law["high"] - law["low"]) * torch.rand(n, LATENT, generator=seeded)
    return law["mean"] + torch.randn(n, LATENT, generator=seeded) @ law["factor"].T


def from_the_nearest(pictures: Tensor) -> Tensor:
    """Return the squared distance of pictures, in ink, from the nearest training glyph each, `(n,)`."""
    known, x = glyph_pictures("train").flatten(1) / 255, pictures.flatten(1) / 255
    distance = known.square().sum(1) - 2 * x @ known.T + x.square().sum(1, keepdim=True)
    return distance.amin(1).clamp_min(0)


def autoencoders_models() -> dict[str, nn.Module]:
    """Return both halves of the autoencoder."""
    return {"encoder": autoencoder().encoder, "decoder": autoencoder().decoder}


def autoencoders_data() -> dict[str, Any]:
    """Return held-out glyphs with their captions."""
    source = glyphs.load()
    scored = source.scored.nonzero()[:, 0]
    chosen = scored[evenly(EXAMPLES, len(scored))]
    captions = [source.caption(int(i)) for i in chosen]
    return {"latent": LATENT, "captions": captions, "pictures": four_bits(source.images[chosen])}


def autoencoders_computed() -> dict[str, Any]:
    """Return principal components, the law of the training codes, held-out errors, and the question's answer."""
    linear, held_out = principal_components(), glyph_pictures("held_out")
    rebuilt = in_parts(lambda x: autoencoder().decode(autoencoder().encode(x)), held_out)
    flat = held_out.flatten(1) / 255
    errors = {
        "network": squared_error(rebuilt, held_out),
        "linear": (linear.decode(linear.encode(flat)) - flat).square().sum(1),
    }
    spans = {
        name: [round(value, 2) for value in error.quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()]
        for name, error in errors.items()
    }
    drawn = {kind: in_parts(autoencoder().decode, random_codes(kind, DRAWN)) for kind in ("box", "gaussian")}
    distance = {kind: float(from_the_nearest(pictures).mean()) for kind, pictures in drawn.items()}
    distance["rebuilt"] = float(from_the_nearest(rebuilt[evenly(DRAWN, len(rebuilt))]).mean())
    answer = (
        f"From the nearest training glyph, in squared ink, {DRAWN} pictures of codes from the box are "
        f"{distance['box']:.1f} away on average; of codes from the Gaussian, {distance['gaussian']:.1f}; and "
        f"decoded held-out glyphs {distance['rebuilt']:.1f}. The training codes fill a small, bent part of their "
        "box. The Gaussian knows where they lie and along which axes they vary together, but not that they bend, "
        "and nothing in training told the decoder what to make of the rest. That is why an autoencoder is no "
        "generator yet, and why the next chapter makes the codes follow a known law."
    )
    return {
        "pca": pack({"mean": linear.mean, "components": linear.components}, "float16"),
        "law": pack(code_law(), "float32"),
        "errors": spans,
        "answer": answer,
    }


# ---- variational autoencoders ---------------------------------------------------------------------------------
@cache
def vae(name: str) -> VAE:
    """Return a shipped variational autoencoder of letters: "letters" (24 numbers) or "plane" (2)."""
    latent, checkpoint = {"letters": (24, "letters-vae"), "plane": (2, "letters-vae-plane")}[name]
    return load_weights(letters_vae(latent), checkpoints.path(checkpoint)).eval()


@cache
def letters_by_style() -> Tensor:
    """Return the 52 letters in the 16 fonts of the glyph set, `(52, 16, 32, 32)`, 0 to 255."""
    source = glyphs.load()
    rows = []
    for name in letters.NAMES:
        caption = f"latin {'capital' if name.isupper() else 'small'} letter {name.lower()}"
        rows.append([source.find(caption, font) for font in source.fonts])
    return source.images[torch.tensor(rows)].float()


def style_names() -> list[str]:
    """Return the names of the 16 fonts' styles, as "serif bold italic"."""
    names = []
    for words in glyphs.load().styles:
        kept = [word for word in words if not (word == "serif" and "times" in words)]
        names.append(" ".join(WORDS.get(word, word) for word in kept))
    return names


def letters_seen() -> list[list[bool]]:
    """Return for each letter in each style whether training had this picture, or one that counts as the same."""
    known = letters.load("train")
    seen = []
    for label, pictures in enumerate(letters_by_style().flatten(2)):
        own = known.images[known.labels == label].flatten(1)
        seen.append((torch.cdist(pictures, own, p=1).amin(1) / own.shape[1] <= letters.SAME).tolist())
    return seen


@cache
def letter_codes(name: str) -> Tensor:
    """Return the codes of the letters in every style by a model, `(52, 16, latent)`."""
    pictures = letters_by_style()
    return in_parts(vae(name).encode, pictures.flatten(0, 1)[:, None]).unflatten(0, pictures.shape[:2])


def of_the_others(values: Tensor) -> Tensor:
    """Return, for each row, the mean of the other rows."""
    return (values.sum(0) - values) / (len(values) - 1)


def style_errors(source: str, target: str) -> dict[str, Tensor]:
    """Return squared errors in ink, `(52,)`, against each letter in the target style.

    "nothing" is the letter in the source style as it is; "codes" its code plus the mean difference of the other
    letters' codes, decoded; "pixels" the same arithmetic on the pictures themselves, as the page carries them.
    """
    s, t = (style_names().index(style) for style in (source, target))
    pictures, z = carried(letters_by_style()), letter_codes("letters")
    true = pictures[:, t]
    found = {
        "nothing": pictures[:, s],
        "codes": in_parts(vae("letters").decode, z[:, s] + of_the_others(z[:, t] - z[:, s]))[:, 0],
        "pixels": (pictures[:, s] + of_the_others(true - pictures[:, s])).clamp(0, 255),
    }
    return {name: (x - true).div(255).square().sum((1, 2)) for name, x in found.items()}


def vaes_models() -> dict[str, nn.Module]:
    """Return the decoders of both models."""
    return {name: vae(name).decoder for name in ("letters", "plane")}


def vaes_data() -> dict[str, Any]:
    """Return the letters in every style."""
    seen = ["".join(str(int(one)) for one in row) for row in letters_seen()]
    return {
        "names": list(letters.NAMES),
        "styles": style_names(),
        "seen": seen,
        "pictures": four_bits(letters_by_style()),
    }


def vaes_computed() -> dict[str, Any]:
    """Return the letters' codes, and the question's answer."""
    told, unseen = [], []
    held_out = ~torch.tensor(letters_seen())
    for source, target in (("sans", "sans bold"), ("sans", "sans italic"), ("sans", "monospace")):
        errors = style_errors(source, target)
        mean = {name: float(error.mean()) for name, error in errors.items()}
        closer, new = errors["codes"] < errors["pixels"], held_out[:, style_names().index(target)]
        unseen.append(f"{int(closer[new].sum())} of {int(new.sum())}")
        told.append(
            f"to {target.removeprefix('sans ')}, from {mean['nothing']:.1f} to {mean['codes']:.1f} (on pixels "
            f"{mean['pixels']:.1f}; codes win for {int(closer.sum())} of 52 letters)"
        )
    answer = (
        f"Yes, on average. For the 52 sans letters the mean squared error against the true glyph goes, "
        f"{'; '.join(told)}. Of the letters whose true glyph training never had, codes win for {unseen[0]}, "
        f"{unseen[1]} and {unseen[2]}. Boldness "
        "is nearly one direction for all letters, so the codes carry it over. Where each letter changes in its "
        "own way, one mean difference cannot say how. Try several letters, and an amount beyond 1."
    )
    codes = {name: letter_codes(name) for name in ("letters", "plane")}
    return {"codes": pack(codes, "float16"), "answer": answer}
