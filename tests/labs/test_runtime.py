"""The labs' JavaScript against PyTorch: every operation, whole networks, weights, random numbers, the worker."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genbook.data import checkpoints
from genbook.labs.pages import layers, pack
from genbook.nn.coders import PictureDecoder, PictureEncoder
from genbook.nn.images import DCGANCritic, DCGANGenerator, ImageGenerator, Residual
from genbook.train import load_weights

FULL, HALF = 1e-5, 1e-2  # the bars: largest error in single precision, relative error with half-precision weights


def normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def off(found, expected):
    """The largest difference, in units of the larger of 1 and the largest value."""
    assert found.shape == expected.shape, f"{tuple(found.shape)} instead of {tuple(expected.shape)}"
    return float((found - expected.double()).abs().max() / max(1.0, float(expected.abs().max())))


X, IMAGE = normals(3, 10), normals(2, 4, 6, 8)
OPERATIONS = {
    "linear": ("x w b: GB.linear(x, w, b)", (X, normals(7, 10, seed=1), normals(7)), F.linear),
    "linear without a bias, one row": (
        "x w: GB.linear(x, w, null)", (X[:1], normals(7, 10, seed=1)), F.linear,
    ),
    "linear over the last of three axes": (
        "x w b: GB.linear(x, w, b)", (normals(2, 3, 5), normals(4, 5, seed=1), normals(4)), F.linear,
    ),
    "matmul": ("x w: GB.matmul(x, w)", (X, normals(10, 5, seed=1)), lambda x, w: x @ w),
    "matmul, turned": ("x w: GB.matmul(x, w, {a: true, b: true})", (X, normals(5, 3)), lambda x, w: x.T @ w.T),
    "conv2d": (
        "x w b: GB.conv2d(x, w, b, {padding: 1})", (IMAGE, normals(5, 4, 3, 3), normals(5)),
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
    ),
    "conv2d, strided": (
        "x w b: GB.conv2d(x, w, b, {stride: 2, padding: 1})", (IMAGE, normals(6, 4, 4, 4), normals(6)),
        lambda x, w, b: F.conv2d(x, w, b, 2, 1),
    ),
    "conv2d, uneven": (
        "x w: GB.conv2d(x, w, null, {stride: [1, 2], padding: [2, 0]})", (IMAGE, normals(3, 4, 5, 2)),
        lambda x, w: F.conv2d(x, w, None, (1, 2), (2, 0)),
    ),
    "conv2d without padding": ("x w b: GB.conv2d(x, w, b)", (IMAGE, normals(3, 4, 1, 1), normals(3)), F.conv2d),
    "convTranspose2d": (
        "x w b: GB.convTranspose2d(x, w, b, {stride: 2, padding: 1})", (IMAGE, normals(4, 5, 4, 4), normals(5)),
        lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1),
    ),
    "convTranspose2d, uneven": (
        "x w: GB.convTranspose2d(x, w, null, {stride: [2, 3], padding: [0, 1], outputPadding: [1, 2]})",
        (IMAGE, normals(4, 3, 3, 2)),
        lambda x, w: F.conv_transpose2d(x, w, None, (2, 3), (0, 1), (1, 2)),
    ),
    "convTranspose2d of a point": (
        "x w b: GB.convTranspose2d(x, w, b)", (normals(2, 6, 1, 1), normals(6, 3, 4, 4), normals(3)),
        F.conv_transpose2d,
    ),
    "upsampleNearest": ("x: GB.upsampleNearest(x, 3)", (IMAGE,), lambda x: F.interpolate(x, scale_factor=3)),
    "avgPool2d": ("x: GB.avgPool2d(x, 2)", (IMAGE,), lambda x: F.avg_pool2d(x, 2)),
    "avgPool2d, padded": (
        "x: GB.avgPool2d(x, 3, {stride: 2, padding: 1})", (IMAGE,), lambda x: F.avg_pool2d(x, 3, 2, 1),
    ),
    "maxPool2d": ("x: GB.maxPool2d(x, 2)", (IMAGE,), lambda x: F.max_pool2d(x, 2)),
    "maxPool2d, padded": (
        "x: GB.maxPool2d(x, [3, 2], {stride: [1, 2], padding: [1, 0]})", (IMAGE - 5,),
        lambda x: F.max_pool2d(x, (3, 2), (1, 2), (1, 0)),
    ),
    "pixelShuffle": ("x: GB.pixelShuffle(x, 2)", (normals(2, 12, 3, 5),), lambda x: F.pixel_shuffle(x, 2)),
    "pixelUnshuffle": ("x: GB.pixelUnshuffle(x, 2)", (IMAGE,), lambda x: F.pixel_unshuffle(x, 2)),
    "layerNorm": (
        "x w b: GB.layerNorm(x, w, b)", (X, normals(10, seed=1), normals(10)),
        lambda x, w, b: F.layer_norm(x, (10,), w, b),
    ),
    "layerNorm without weights": ("x: GB.layerNorm(x)", (X,), lambda x: F.layer_norm(x, (10,))),
    "layerNorm of two axes": (
        "x w: GB.layerNorm(x, w, null, 0.01)", (IMAGE, normals(6, 8)),
        lambda x, w: F.layer_norm(x, (6, 8), w, None, 0.01),
    ),
    "groupNorm": (
        "x w b: GB.groupNorm(x, 2, w, b)", (IMAGE, normals(4), normals(4, seed=1)),
        lambda x, w, b: F.group_norm(x, 2, w, b),
    ),
    "groupNorm without weights": ("x: GB.groupNorm(x, 4)", (IMAGE,), lambda x: F.group_norm(x, 4)),
    "batchNorm": (
        "x m v w b: GB.batchNorm(x, m, v, w, b)",
        (IMAGE, normals(4), normals(4).abs() + 0.1, normals(4, seed=1), normals(4, seed=2)), F.batch_norm,
    ),
    "batchNorm of vectors": (
        "x m v: GB.batchNorm(x, m, v, null, null, 0.1)", (X, normals(10), normals(10).abs()),
        lambda x, m, v: F.batch_norm(x, m, v, eps=0.1),
    ),
    "embedding": (
        "x: GB.embedding([4, 0, 4], x)", (normals(5, 6),), lambda x: F.embedding(torch.tensor([4, 0, 4]), x),
    ),
    "embedding of a batch": (
        "x: GB.embedding({data: [0, 1, 2, 3], shape: [2, 2]}, x)", (normals(5, 6),),
        lambda x: F.embedding(torch.tensor([[0, 1], [2, 3]]), x),
    ),
    "gelu": ("x: GB.gelu(x)", (6 * normals(500),), F.gelu),
    "gelu, tanh": (
        'x: GB.gelu(x, {approximate: "tanh"})', (6 * normals(500),), lambda x: F.gelu(x, approximate="tanh"),
    ),
    "silu": ("x: GB.silu(x)", (9 * normals(500),), F.silu),
    "leakyRelu": ("x: GB.leakyRelu(x, 0.2)", (X,), lambda x: F.leaky_relu(x, 0.2)),
    "leakyRelu, torch's slope": ("x: GB.leakyRelu(x)", (X,), F.leaky_relu),
    "relu": ("x: GB.relu(x)", (X,), F.relu),
    "tanh": ("x: GB.tanh(x)", (3 * X,), torch.tanh),
    "sigmoid": ("x: GB.sigmoid(x)", (30 * X,), torch.sigmoid),
    "softplus": ("x: GB.softplus(x)", (30 * X,), F.softplus),
    "softmax": ("x: GB.softmax(x)", (40 * normals(2, 3, 9),), lambda x: F.softmax(x, -1)),
    "add": ("x y: GB.add(x, y)", (X, X.flip(0)), lambda x, y: x + y),
    "addMap": ("x b: GB.addMap(x, b)", (IMAGE, normals(4, 6, 8, seed=1)), lambda x, b: x + b),
    "reshape": ("x: GB.reshape(x, [4, -1, 8])", (IMAGE,), lambda x: x.reshape(4, -1, 8)),
    "flatten": ("x: GB.flatten(x, 1)", (IMAGE,), lambda x: x.flatten(1)),
    "erfc": ("x: GB.tensor(x.shape, x.data.map(GB.erfc))", (torch.linspace(-5, 5, 401),), torch.erfc),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_equals_torch(name, javascript):
    call, tensors, torchs = OPERATIONS[name]
    names, expression = call.split(": ", 1)
    found = javascript(expression, **dict(zip(names.split(), tensors, strict=True)))
    assert off(found, torchs(*tensors)) <= FULL


def test_no_operation_of_the_runtime_is_left_out(runtime):
    there = set(runtime.evaluate("Object.keys(GB)"))
    used = " ".join(expression for expression, *_ in OPERATIONS.values())
    elsewhere = {"load", "random", "sequential", "worker", "attention", "cache", "codes"}
    assert {name for name in there if f"GB.{name}(" not in used and f"GB.{name})" not in used} == elsewhere


def heads_of(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attended(q, k, v, heads, causal):
    mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool)
    if causal:
        mask = mask.tril(k.shape[1] - q.shape[1])
    parts = [heads_of(x, heads) for x in (q, k, v)]
    return F.scaled_dot_product_attention(*parts, attn_mask=mask).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("queries", [9, 4])
def test_attention_equals_torch(javascript, causal, heads, queries):
    q, k, v = 3 * normals(2, queries, 8), normals(2, 9, 8, seed=1), normals(2, 9, 12, seed=2)
    options = f"{{heads: {heads}, causal: {str(causal).lower()}}}"
    found = javascript(f"GB.attention(q, k, v, {options})", q=q, k=k, v=v)
    assert off(found, attended(q, k, v, heads, causal)) <= FULL


def test_attention_with_a_memory_equals_attention_to_everything(javascript):
    # 21 steps in pieces of 1, 5 and 15: the memory grows beyond its first 16 places, with two sequences in it
    q, k, v = normals(2, 21, 8), normals(2, 21, 8, seed=1), normals(2, 21, 8, seed=2)
    pieces = [[x[:, a:b].contiguous() for x in (q, k, v)] for a, b in ((0, 1), (1, 6), (6, 21))]
    expression = """((memory) => [GB.attention(...FIRST, {causal: true, heads: 2, cache: memory}),
      GB.attention(...SECOND, {causal: true, heads: 2, cache: memory}),
      GB.attention(...THIRD, {causal: true, heads: 2, cache: memory})][WHICH])(GB.cache())"""
    for number, place in enumerate(("FIRST", "SECOND", "THIRD")):
        expression = expression.replace(place, "[" + ", ".join(f"{letter}{number}" for letter in "qkv") + "]")
    named = {f"{letter}{i}": x for i, piece in enumerate(pieces) for letter, x in zip("qkv", piece, strict=True)}
    found = [javascript(expression.replace("WHICH", str(which)), **named) for which in range(3)]
    assert off(torch.cat(found, 1), attended(q, k, v, 2, True)) <= FULL


class Block(nn.Sequential):
    """A network with every kind of layer that an exporter knows."""


def zoo():
    yield (
        "a picture's critic",
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(0.2),
            nn.AvgPool2d(2),
            nn.Dropout(),
            nn.GroupNorm(4, 8),
            nn.SiLU(),
            nn.MaxPool2d(3, 2, 1),
            nn.Flatten(),
            nn.Linear(32, 5),
            nn.Softmax(-1),
        ),
        normals(2, 3, 8, 8),
    )
    yield (
        "a generator",
        nn.Sequential(
            nn.Linear(6, 32),
            nn.GELU(),
            nn.LayerNorm(32),
            nn.Unflatten(1, (8, 2, 2)),
            nn.ConvTranspose2d(8, 4, 3, 2, 1, 1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.GELU("tanh"),
            nn.PixelUnshuffle(2),
            nn.PixelShuffle(2),
            nn.Identity(),
            nn.Conv2d(4, 1, (3, 1), (2, 1)),
            nn.Tanh(),
        ),
        normals(3, 6),
    )
    yield (
        "words",
        Block(
            nn.Embedding(9, 4),
            nn.Linear(4, 4),
            nn.Softplus(),
            nn.Flatten(),
            nn.BatchNorm1d(8),
            nn.Sigmoid(),
        ),
        torch.tensor([[0, 8], [3, 3]]),
    )
    yield "a residual", nn.Sequential(nn.Conv2d(1, 4, 1), Residual(4)), normals(2, 1, 5, 5)
    yield "DCGAN's generator", DCGANGenerator(5, (8, 4)), normals(2, 5)
    yield "DCGAN's critic", DCGANCritic((4, 8)), normals(2, 1, 16, 16)
    yield "the book's generator", ImageGenerator(11, (8, 4), depth=2, codes=(4, 3)), normals(3, 11)
    yield "the book's generator without codes", ImageGenerator(5, (8,)), normals(3, 5)
    yield "an encoder", PictureEncoder(3, (4, 6), patch=2, dropout=0.1, noise=0.1), normals(2, 1, 16, 16)
    yield "a decoder", PictureDecoder(3, (6, 4), patch=2, planes=2, dropout=0.1), normals(2, 3)


@pytest.mark.parametrize(("name", "network", "x"), list(zoo()), ids=[name for name, *_ in zoo()])
def test_a_network_equals_torch(name, network, x, javascript):
    seeded = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():  # no zeros left, no statistics at their first values
            if tensor.is_floating_point():
                drawn = 0.25 * torch.randn(tensor.shape, generator=seeded)
                tensor.copy_(drawn.abs() + 0.2 if "running_var" in key else drawn)
        expected = network.eval()(x)
    spec, state = layers(network)
    given = x if x.is_floating_point() else {"data": x.flatten().tolist(), "shape": list(x.shape)}
    run = "GB.sequential(spec, weights)(x)"
    expected = expected.reshape(expected.shape or (1,))
    assert off(javascript(run, spec=spec, weights=state, x=given), expected) <= FULL
    for precision, bar in (("float16", HALF), ("int8", 5e-2)):
        found = javascript(run, spec=spec, weights=pack(state, precision), x=given)
        assert 0 < off(found, expected) <= bar, precision


def test_the_shipped_generator_equals_torch(javascript):
    artist = ImageGenerator(96, codes=(52, 24), labelled=True)
    load_weights(artist, checkpoints.path("letters-gan")).eval()
    z = normals(6, 96)
    with torch.no_grad():
        expected = artist(z)[:, :1]
    spec, state = layers(artist)
    run = "GB.sequential(spec, weights)(z)"
    assert off(javascript(run, spec=spec, weights=state, z=z), expected) <= FULL
    assert off(javascript(run, spec=spec, weights=pack(state, "float16"), z=z), expected) <= HALF


@pytest.mark.parametrize("seed", [0, 1, 2026, 2**32 - 1])
def test_random_numbers_depend_on_the_seed_alone(seed, runtime, mirror):
    draw = """(seed) => { const r = GB.random(seed); return {
      uniform: Array.from({length: 50}, r.uniform), normal: Array.from({length: 51}, () => r.normal()),
      integer: Array.from({length: 50}, () => r.integer(7)), normals: Array.from(r.normals([3, 2]).data)}; }"""
    found, here = runtime.evaluate(draw, seed), mirror(seed)
    assert found["uniform"] == [here.uniform() for _ in range(50)]
    assert found["normal"] == pytest.approx([here.normal() for _ in range(51)], abs=1e-12)
    assert found["integer"] == [here.integer(7) for _ in range(50)]
    assert found["normals"] == pytest.approx([here.normal() for _ in range(6)], abs=1e-6)


def test_random_numbers_have_their_laws(runtime):
    counts, mean, variance, fourth = runtime.evaluate(
        """() => { const r = GB.random(5), n = 200000, counts = [0, 0, 0, 0, 0, 0];
        for (let i = 0; i < n; i++) counts[r.integer(6)] += 1;
        const x = Array.from(r.normals([n]).data);
        return [counts, ...[1, 2, 4].map(p => x.reduce((sum, v) => sum + v ** p, 0) / n)]; }"""
    )
    # six standard errors: of a count sqrt(n 1/6 5/6), of the moments sqrt(1, 2 and 96 by n)
    n = 200_000
    assert all(abs(count - n / 6) < 6 * (n * 5 / 36) ** 0.5 for count in counts)
    assert abs(mean) < 6 * n**-0.5
    assert abs(variance - 1) < 6 * (2 / n) ** 0.5
    assert abs(fourth - 3) < 6 * (96 / n) ** 0.5


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("GB.linear(x, w, null)", "linear: x must end in 4 features, got (3, 10)"),
        ("GB.conv2d(x, w, null)", "conv2d: x must be (n, channels, height, width), got (3, 10)"),
        ("GB.tensor([2, 2], [1])", "tensor: shape (2, 2) needs 4 values, got 1"),
        ("GB.random(-1)", "random: seed must be a whole number below 2^32, got -1"),
        ("GB.add(x, w)", "add: y must have shape (3, 10), got (5, 4)"),
        ("GB.addMap(x, w)", "addMap: b must have shape (10), got (5, 4)"),
        ("GB.matmul(x, w)", "matmul: (3, 10) and (5, 4) do not fit"),
        ("GB.embedding([5], w)", "embedding: ids must lie from 0 to 4, got 5"),
        ("GB.groupNorm(x, 3)", "groupNorm: 10 channels do not make 3 groups"),
        ("GB.sequential([{kind: 'magic'}], {})", "sequential: no layer is called magic"),
        ("GB.sequential([{kind: 'linear', weight: 'a'}], {})(x)", "sequential: no weights are called a"),
        ("GB.load({a: {type: 'int4', shape: [1], data: ''}})", "load: a has the type int4"),
        ("GB.load({a: {type: 'int8', shape: [1], data: '', scale: [1]}})", "load: a has 0 bytes, expected 1"),
    ],
)
def test_what_cannot_be_is_said(expression, message, runtime):
    code = f"() => {{ const x = GB.tensor([3, 10]), w = GB.tensor([5, 4]); try {{ {expression}; }}"
    assert message in runtime.evaluate(code + " catch (error) { return error.message; } }")


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_weights_arrive_as_they_were_packed(precision, javascript):
    # subnormal halves, the largest half, both zeros, a row of zeros
    x = torch.tensor([[0.0, -0.0, 6e-8, -3e-5, 65504.0], [1.0, -2.0, 0.3, 1 / 3, -1e-3], [0.0] * 5])
    found = javascript("weights.it", weights=pack({"it": x}, precision))
    expected = {"float32": x, "float16": x.half().float()}.get(precision)
    if expected is None:  # no further off than half a step of the row's scale
        assert ((found - x).abs() <= x.abs().amax(1, keepdim=True) / 254 + 1e-9).all()
    else:
        assert torch.equal(found, expected.double())


def test_heavy_work_runs_beside_the_page(runtime):
    result = runtime.evaluate(
        """async () => {
          const reports = [];
          const work = GB.worker((GB, report) => {
            let calls = 0;
            return (message) => {
              if (message === "fail") throw new Error("as asked");
              report(calls += 1);
              const sum = GB.matmul(message, message, { b: true });
              return { calls, sum, inPage: typeof document, extra: twice(4) };
            };
          }, { onReport: (value) => reports.push(value), scripts: ["const twice = (x) => 2 * x;"] });
          const x = GB.tensor([1, 3], [1, 2, 3]);
          const [first, second] = await Promise.all([work.call(x), work.call(x)]);
          const failure = await work.call("fail").catch((error) => error.message);
          const left = work.call(x).catch((error) => error.message);
          work.stop();
          return { threaded: work.threaded, first: Array.from(first.sum.data), calls: second.calls,
                   reports, failure, inPage: first.inPage, extra: first.extra, left: await left,
                   after: await work.call(x).catch((error) => error.message) };
        }"""
    )
    assert result == {
        "threaded": True, "first": [14], "calls": 2, "reports": [1, 2], "failure": "as asked",
        "inPage": "undefined", "extra": 8, "left": "the worker was stopped", "after": "the worker was stopped",
    }  # fmt: skip


def test_heavy_work_runs_in_the_page_where_no_worker_can_be_had(runtime):
    result = runtime.evaluate(
        """async () => {
          const kept = window.Worker;
          window.Worker = undefined;
          try {
            const work = GB.worker((GB) => (message) => GB.relu(message));
            return [work.threaded, Array.from((await work.call(GB.tensor([2], [-1, 2]))).data)];
          } finally { window.Worker = kept; }
        }"""
    )
    assert result == [False, [0, 2]]
