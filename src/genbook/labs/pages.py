"""One self-contained HTML file a lab: micro-runtime, the page's furniture, weights, and the lab's own scripts.

`layers` writes a PyTorch network down as a list that `GB.sequential` of `runtime.js` runs, `pack` its weights as
JSON, `page` puts everything into `page.html`, and `export` writes the file. Nothing in it asks the network: a
content security policy in its head forbids that to the browser.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from genbook.nn.coders import PictureDecoder, PictureEncoder, ResidualPair
from genbook.nn.images import CODE_LENGTH, DCGANCritic, ImageGenerator, Residual

__all__ = ["Layer", "Packed", "export", "layers", "pack", "page"]

HERE = Path(__file__).parent
BUILT = HERE / "built"
PALETTE = HERE.parent / "viz" / "palette.json"
PRECISIONS = ("float32", "float16", "int8")

#: One layer as `GB.sequential` reads it: its `kind`, its settings, and the names of its weights.
Layer = dict[str, Any]
#: Weights as `GB.load` reads them, by name.
Packed = dict[str, dict[str, Any]]
#: What a lab carries: a trained network, or several by name, where plain tensors may stand in a network's place.
Models = nn.Module | Mapping[str, nn.Module | Mapping[str, Tensor]] | None


def export(
    models: Models,
    name: str,
    *,
    precision: str = "float16",
    data: Mapping[str, Any] | None = None,
    folder: Path | str | None = None,
    **parts: Any,
) -> Path:
    """Write the lab `name` as `folder/NAME.html` (default: with the package's built labs), whole or not at all.

    `models` is a trained network in `eval()`, several by name, or None; a single one is called "model". The lab's
    scripts run each by `Lab.network(name)`. In a network's place may stand tensors by name, for a lab that does
    the arithmetic itself: `Lab.weights(name)` gives them. `precision` is that of `pack`; the others are those of
    `page`.
    Returns the path. Raises ValueError for a name that is none, and what `layers`, `pack` and `page` raise.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"name must be lower-case letters, digits and _, a letter first, got {name!r}")
    networks, weights = written(models, precision)
    content = page(weights=weights, data={**(data or {}), "networks": networks}, **parts)
    path = (BUILT if folder is None else Path(folder)) / f"{name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(content, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def written(models: Models, precision: str = "float16") -> tuple[dict[str, list[Layer]], dict[str, Packed]]:
    """Return the layers of trained networks and the packed weights of all `models`, each by its name."""
    named = {"model": models} if isinstance(models, nn.Module) else dict(models or {})
    described = {key: layers(module) for key, module in named.items() if isinstance(module, nn.Module)}
    states = {key: described[key][1] if key in described else named[key] for key in named}
    weights = {key: pack(state, precision) for key, state in states.items()}
    return {key: spec for key, (spec, _) in described.items()}, weights


def page(
    *,
    title: str,
    description: str,
    ui: str | Mapping[str, str],
    picture: str | bytes,
    alt: str,
    weights: Mapping[str, Packed] | None = None,
    data: Mapping[str, Any] | None = None,
    inputs: str = "",
) -> str:
    """Return the HTML of one lab.

    `title` and `description` (what to do here) are plain text. `ui` is the lab's script, or several by name in
    their order: script NAME stands in an element with the identifier script-NAME. `picture` is what is seen before
    they have drawn, in print and without JavaScript: an SVG as text or a PNG as bytes; `alt` says it in words.
    `weights` maps the names that `Lab.weights` takes to what `pack` returned, `data` becomes `Lab.data`; `export`
    makes both of trained networks. `inputs`
    is a digest that is kept in the head, to tell whether the file is up to date.

    Raises ValueError for a missing text, a picture that is neither, and a script that would end its own element.
    """
    own = {"ui": ui} if isinstance(ui, str) else dict(ui)
    texts = {"title": title, "description": description, "alt": alt, "ui": "".join(own.values())}
    for what, text in texts.items():
        if not text.strip():
            raise ValueError(f"{what} must not be empty")
    scripts = {"runtime": source("runtime.js"), "kit": source("kit.js"), **own}
    for what, script in scripts.items():
        if re.search(r"</script|<!--", script, re.IGNORECASE):
            raise ValueError(f"{what} must not contain </script or <!--: it would end its element in the page")
    entries = [
        f'<script id="weights-{html.escape(key)}" type="application/json">{as_json(value)}</script>'
        for key, value in (weights or {}).items()
    ]
    fields = {
        "title": html.escape(title),
        "summary": html.escape(f"{title}: a live lab of How Generative AI Works"),
        "heading": html.escape(title),
        "description": html.escape(description),
        "inputs": html.escape(inputs),
        "picture": first_picture(picture, alt),
        "light": colours("light"),
        "dark": colours("dark"),
        "data": as_json(data or {}),
        "weights": "\n".join(entries),
        "scripts": "\n".join(
            f'<script id="script-{html.escape(what)}">\n{script.strip()}\n</script>'
            for what, script in scripts.items()
        ),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fields[match[1]], source("page.html"))


def digest(*parts: str) -> str:
    """Return the SHA-256 of the page's template, the runtime, the furniture, the palette and the texts `parts`."""
    shared = [source(name) for name in ("page.html", "runtime.js", "kit.js")]
    return hashlib.sha256(json.dumps([*shared, colours("light"), colours("dark"), *parts]).encode()).hexdigest()


def source(name: str) -> str:
    """Return the text of a file of this room: `runtime.js`, `kit.js`, `page.html` or `ui/NAME.js`."""
    return (HERE / name).read_text(encoding="utf-8")


def colours(ground: str) -> str:
    """Return the palette for a "light" or "dark" ground as CSS variables."""
    palette = json.loads(PALETTE.read_text(encoding="utf-8"))
    return "  " + " ".join(f"--{meaning}: {entry[ground]};" for meaning, entry in palette.items())


def first_picture(picture: str | bytes, alt: str) -> str:
    """Return a picture as an element: SVG text inline, PNG bytes as a data address."""
    label = html.escape(alt)
    if isinstance(picture, bytes) and picture.startswith(b"\x89PNG\r\n\x1a\n"):
        return f'<img src="data:image/png;base64,{base64.b64encode(picture).decode()}" alt="{label}">'
    if isinstance(picture, str) and (found := re.search(r"<svg\b.*</svg>", picture, re.DOTALL)):
        return found[0].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    raise ValueError("picture must be an SVG as text or a PNG as bytes")


def as_json(value: Any) -> str:
    """Return compact JSON that may stand inside a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def pack(state: Mapping[str, Tensor], precision: str = "float16") -> Packed:
    """Return weights as `GB.load` reads them: `{name: {"type", "shape", "data", "scale"}}`, data in base64.

    `precision` is "float32", "float16" or "int8". The last keeps one number a row, its largest over 127, for
    weights of two axes or more; vectors then stay in float16, for they are small and count for much.

    Raises ValueError for another precision, numbers that are not finite, and those too large for float16;
    TypeError for tensors that hold no floating-point numbers.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    packed: Packed = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise TypeError(f"state must hold floating-point tensors, got {name} of {tensor.dtype}")
        values = tensor.detach().cpu().float().numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"state must hold finite numbers, {name} does not")
        kind = "float16" if precision == "int8" and values.ndim < 2 else precision
        entry: dict[str, Any] = {"type": kind, "shape": list(values.shape)}
        if kind == "int8":
            rows = values.reshape(len(values), -1)
            scale = np.maximum(np.abs(rows).max(1), np.finfo(np.float32).tiny * 127) / np.float32(127)
            entry["scale"] = [float(f"{number:.8g}") for number in scale]
            raw = np.clip(np.rint(rows / scale[:, None]), -127, 127).astype(np.int8)
        elif kind == "float16":
            if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise ValueError(f"state must hold numbers up to 65504 for float16, {name} goes beyond")
            raw = values.astype("<f2")
        else:
            raw = values.astype("<f4")
        packed[name] = {**entry, "data": base64.b64encode(raw.tobytes()).decode()}
    return packed


def layers(module: nn.Module) -> tuple[list[Layer], dict[str, Tensor]]:
    """Return a network as a list of layers for `GB.sequential`, and the weights that the list names.

    Known are `nn.Sequential` and its subclasses that keep its `forward`, linear and (transposed) convolution
    layers, `nn.Upsample` (nearest), pooling, pixel shuffling, batch, layer and group normalisation, embeddings,
    activations, `nn.Flatten`, `nn.Unflatten`, `nn.Dropout` and `nn.Identity` (left out), and of the book's
    networks `DCGANGenerator`, `DCGANCritic`, `ImageGenerator`, whose plane of labels is not drawn, and
    `PictureEncoder` and `PictureDecoder`.

    The network must be in `eval()`: the lab normalises by the stored statistics and drops nothing. Raises
    TypeError for a layer that the runtime does not know and ValueError for a setting that it lacks.
    """
    if module.training:
        raise ValueError("module must be in eval(): a lab normalises by the stored statistics")
    state: dict[str, Tensor] = {}
    return describe(module, "", state), state


def describe(module: nn.Module, name: str, state: dict[str, Tensor]) -> list[Layer]:
    """Return the layers of `module`, called `name` in the network, and add its weights to `state`."""
    kept = type(module).forward in (nn.Sequential.forward, DCGANCritic.forward)
    if isinstance(module, nn.Sequential) and kept:
        children = module.named_children()
        return [layer for key, child in children for layer in describe(child, under(name, key), state)]
    known = KNOWN.get(type(module))
    if known is None:
        reason = f"{name or 'module'} is a {type(module).__name__}, which no lab can run"
        raise TypeError(f"{reason}; known are {', '.join(kind.__name__ for kind in KNOWN)} and Sequential")
    return known(module, name, state)


def under(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def keep(state: dict[str, Tensor], name: str, tensors: Mapping[str, Tensor | None]) -> Layer:
    """Add the tensors to `state` and return, for each, the name it has there, or None."""
    found = {key: None if tensor is None else under(name, key) for key, tensor in tensors.items()}
    state |= {found[key]: tensor.detach() for key, tensor in tensors.items() if tensor is not None}
    return found


def must(module: nn.Module, name: str, **settings: Any) -> None:
    """Refuse a module whose settings are not those that the runtime knows."""
    for key, expected in settings.items():
        if (value := getattr(module, key)) not in (expected, (expected, expected)):
            where = f"{name or 'module'} ({type(module).__name__})"
            raise ValueError(f"{where} has {key}={value!r}, the labs' runtime knows only {expected!r}")


def linear(module: nn.Linear, name: str, state: dict[str, Tensor]) -> list[Layer]:
    return [{"kind": "linear", **keep(state, name, {"weight": module.weight, "bias": module.bias})}]


def convolution(module: nn.Conv2d | nn.ConvTranspose2d, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, groups=1, dilation=1, padding_mode="zeros")
    if isinstance(module.padding, str):
        raise ValueError(f"{name or 'module'} has padding={module.padding!r}, the labs' runtime wants numbers")
    layer = {
        "kind": "conv2d",
        **keep(state, name, {"weight": module.weight, "bias": module.bias}),
        "stride": list(module.stride),
        "padding": list(module.padding),
    }
    if isinstance(module, nn.ConvTranspose2d):
        layer |= {"kind": "convTranspose2d", "outputPadding": list(module.output_padding)}
    return [layer]


def batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, track_running_stats=True)
    kept = keep(state, name, {"weight": module.weight, "bias": module.bias})
    running = keep(state, name, {"running_mean": module.running_mean, "running_var": module.running_var})
    statistics = {"mean": running["running_mean"], "variance": running["running_var"]}
    return [{"kind": "batchNorm", **kept, **statistics, "eps": module.eps}]


def layer_norm(module: nn.LayerNorm, name: str, state: dict[str, Tensor]) -> list[Layer]:
    if module.weight is None and len(module.normalized_shape) > 1:
        raise ValueError(f"{name or 'module'} normalises several axes without weights, which no lab can run")
    return [
        {
            "kind": "layerNorm",
            **keep(state, name, {"weight": module.weight, "bias": module.bias}),
            "eps": module.eps,
        }
    ]


def group_norm(module: nn.GroupNorm, name: str, state: dict[str, Tensor]) -> list[Layer]:
    kept = keep(state, name, {"weight": module.weight, "bias": module.bias})
    return [{"kind": "groupNorm", **kept, "groups": module.num_groups, "eps": module.eps}]


def upsample(module: nn.Upsample, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, mode="nearest", size=None)
    scales = module.scale_factor if isinstance(module.scale_factor, tuple) else (module.scale_factor,) * 2
    if scales[0] != scales[1] or scales[0] != int(scales[0]):
        raise ValueError(f"{name or 'module'} has scale_factor={module.scale_factor!r}, expected one whole number")
    return [{"kind": "upsampleNearest", "scale": int(scales[0])}]


def pooling(module: nn.AvgPool2d | nn.MaxPool2d, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, ceil_mode=False)
    if isinstance(module, nn.MaxPool2d):
        must(module, name, dilation=1, return_indices=False)
    else:
        must(module, name, count_include_pad=True, divisor_override=None)
    kind = "maxPool2d" if isinstance(module, nn.MaxPool2d) else "avgPool2d"
    return [{"kind": kind, "kernel": module.kernel_size, "stride": module.stride, "padding": module.padding}]


def flatten(module: nn.Flatten, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, end_dim=-1)
    if module.start_dim < 0:
        raise ValueError(f"{name or 'module'} has start_dim={module.start_dim}, expected one that is not negative")
    return [{"kind": "flatten", "start": module.start_dim}]


def unflatten(module: nn.Unflatten, name: str, state: dict[str, Tensor]) -> list[Layer]:
    if not isinstance(module.dim, int) or module.dim < 0:
        raise ValueError(f"{name or 'module'} has dim={module.dim!r}, expected a number that is not negative")
    return [{"kind": "unflatten", "axis": module.dim, "shape": [int(side) for side in module.unflattened_size]}]


def softmax(module: nn.Softmax, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, dim=-1)
    return [{"kind": "softmax"}]


def softplus(module: nn.Softplus, name: str, state: dict[str, Tensor]) -> list[Layer]:
    must(module, name, beta=1, threshold=20)
    return [{"kind": "softplus"}]


def residual(module: Residual, name: str, state: dict[str, Tensor]) -> list[Layer]:
    branch = describe(module.branch, under(name, "branch"), state)
    return [{"kind": "residual", "branch": [{"kind": "leakyRelu", "slope": 0.2}, *branch]}]


def image_generator(module: ImageGenerator, name: str, state: dict[str, Tensor]) -> list[Layer]:
    grid = describe(module.grid, under(name, "grid"), state)
    found = [{"kind": "codes", "sizes": list(module.codes), "length": CODE_LENGTH}] if module.codes else []
    found += [*grid, {"kind": "unflatten", "axis": 1, "shape": [module.grid.out_features // 16, 4, 4]}]
    for i in range(len(module.norms)):
        for part in ("norms", "refinements"):
            found += describe(getattr(module, part)[i], under(name, f"{part}.{i}"), state)
        found += [{"kind": "leakyRelu", "slope": 0.2}]
        found += describe(module.doublings[i], under(name, f"doublings.{i}"), state)
    return [*found, {"kind": "tanh"}]


def residual_pair(module: ResidualPair, name: str, state: dict[str, Tensor]) -> list[Layer]:
    branch: list[Layer] = []
    for part in ("first", "second"):
        branch += [{"kind": "silu"}, *describe(getattr(module, part), under(name, part), state)]
    return [{"kind": "residual", "branch": branch}]


def picture_encoder(module: PictureEncoder, name: str, state: dict[str, Tensor]) -> list[Layer]:
    return describe(module.layers, under(name, "layers"), state)


def picture_decoder(module: PictureDecoder, name: str, state: dict[str, Tensor]) -> list[Layer]:
    found = describe(module.layers, under(name, "layers"), state)
    return [*found, {"kind": "addMap", **keep(state, name, {"bias": module.bias})}]


def plain(kind: str) -> Callable[[nn.Module, str, dict[str, Tensor]], list[Layer]]:
    """Return the description of a layer without weights or settings."""
    return lambda module, name, state: [{"kind": kind}]


def nothing(module: nn.Module, name: str, state: dict[str, Tensor]) -> list[Layer]:
    return []


#: How each known kind of module is described; `nn.Sequential` is its children, one after another.
KNOWN: dict[type[nn.Module], Callable[[Any, str, dict[str, Tensor]], list[Layer]]] = {
    nn.Linear: linear,
    nn.Conv2d: convolution,
    nn.ConvTranspose2d: convolution,
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.GroupNorm: group_norm,
    nn.Embedding: lambda module, name, state: [
        {"kind": "embedding", **keep(state, name, {"weight": module.weight})}
    ],
    nn.Upsample: upsample,
    nn.AvgPool2d: pooling,
    nn.MaxPool2d: pooling,
    nn.PixelShuffle: lambda module, name, state: [{"kind": "pixelShuffle", "scale": module.upscale_factor}],
    nn.PixelUnshuffle: lambda module, name, state: [{"kind": "pixelUnshuffle", "scale": module.downscale_factor}],
    nn.Flatten: flatten,
    nn.Unflatten: unflatten,
    nn.ReLU: plain("relu"),
    nn.LeakyReLU: lambda module, name, state: [{"kind": "leakyRelu", "slope": module.negative_slope}],
    nn.GELU: lambda module, name, state: [{"kind": "gelu", "approximate": module.approximate}],
    nn.SiLU: plain("silu"),
    nn.Tanh: plain("tanh"),
    nn.Sigmoid: plain("sigmoid"),
    nn.Softplus: softplus,
    nn.Softmax: softmax,
    nn.Dropout: nothing,
    nn.Identity: nothing,
    Residual: residual,
    ImageGenerator: image_generator,
    ResidualPair: residual_pair,
    PictureEncoder: picture_encoder,
    PictureDecoder: picture_decoder,
}
