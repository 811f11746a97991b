"""A headless Chromium without a network, pages from file://, and the labs' random numbers in Python."""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from pathlib import Path

import pytest
import torch

from genbook.labs.pages import export, pack, source

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))


def missing(reason):
    """Skip at a reader's machine; in CI a missing tool is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    """A running headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: make test installs it")
    import screenshots

    try:
        path = screenshots.chromium()
    except FileNotFoundError as error:
        missing(str(error))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One page from a file, with the network cut, and everything that went wrong on the way."""

    def __init__(self, browser, timed, **options):
        self.faults, self.timed = [], timed
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.context.route("**/*", self._cut)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))

    def _cut(self, route):
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            self.faults.append(f"a request left this machine: {route.request.url}")
            route.abort()

    def open(self, path, *, query="", ready=True):
        """Go to a lab's file and wait until its script has drawn."""
        self.page.goto(Path(path).resolve().as_uri() + query)
        if ready:
            self.page.wait_for_selector("html[data-ready=yes]", timeout=10_000)
        return self.page

    def wait_after(self, kind, act, *, least, limit=50):
        """The median of the milliseconds from an event of this kind to the frame that shows its effect.

        `act` causes at least `least` such events. The machine may be busy with something else, so up to eight
        rounds are made, with longer and longer pauses; the first within `limit` counts, else the quickest.
        """
        assert self.timed, "mark the test `timed`, so that it does not run beside others"
        medians = []
        while len(medians) < 8 and min(medians, default=limit + 1) > limit:
            self.page.wait_for_timeout(1000 * len(medians))
            self.page.evaluate(
                """(kind) => {
                  const found = window.waited = [];
                  window.watching?.abort();
                  window.watching = new AbortController();
                  const note = ({ timeStamp }) => requestAnimationFrame(() =>
                    setTimeout(() => found.push(performance.now() - timeStamp)));
                  addEventListener(kind, note, { capture: true, signal: window.watching.signal });
                }""",
                kind,
            )
            act()
            self.page.wait_for_timeout(200)
            found = self.page.evaluate("window.waited")
            assert len(found) >= least, f"{len(found)} events of kind {kind}"
            medians.append(statistics.median(found))
        return min(medians)

    def until(self, expression, seconds=5):
        """Wait until a JavaScript expression is true (`page.wait_for_function` needs eval, which labs forbid)."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"after {seconds} s still not true: {expression}"
            self.page.wait_for_timeout(20)


@pytest.fixture
def visit(chromium, request):
    """A function that opens the browser for one visit: `visit(color_scheme="dark").open(path)`."""
    visits, timed = [], request.node.get_closest_marker("timed") is not None

    def begin(**options):
        visits.append(Visit(chromium, timed, **options))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()


@pytest.fixture(scope="session")
def scripted(chromium):
    """Open an empty page that holds these scripts, without a network."""
    contexts = []

    def open_page(scripts):
        contexts.append(chromium.new_context(offline=True))
        page = contexts[-1].new_page()
        for script in scripts:
            page.add_script_tag(content=script)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def runtime(scripted):
    """A page that holds the micro-runtime and nothing else."""
    page = scripted([source("runtime.js")])
    # a tensor that comes as {shape, data: base64} is taken in as one, at any depth; what goes out is sent as lists
    page.evaluate(
        """() => {
          window.taken = (value) => {
            if (Array.isArray(value)) return value.map(taken);
            if (value === null || typeof value !== "object") return value;
            if (value.type && value.shape) return GB.load({ it: value }).it;
            return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, taken(inner)]));
          };
          window.sent = (value) => value && value.data && value.shape
            ? { shape: value.shape, data: Array.from(value.data) } : value;
        }"""
    )
    return page


@pytest.fixture(scope="session")
def javascript(runtime):
    """A function that runs a JavaScript expression on tensors: `javascript("GB.relu(x)", x=tensor)`."""

    def carried(value):
        if isinstance(value, torch.Tensor):
            return pack({"it": value}, "float32")["it"]
        if isinstance(value, dict):
            return {key: carried(inner) for key, inner in value.items()}
        return value

    def run(expression, **arguments):
        names = ", ".join(arguments)
        body = f"(carried) => {{ const {{ {names} }} = taken(carried); return sent({expression}); }}"
        result = runtime.evaluate(body, {key: carried(value) for key, value in arguments.items()})
        if isinstance(result, dict) and set(result) == {"shape", "data"}:
            return torch.tensor(result["data"], dtype=torch.float64).reshape(result["shape"])
        return result

    return run


TINY = """(() => {
  "use strict";
  const net = Lab.network("net");
  Lab.start((root) => {
    const random = GB.random(7), steps = [];
    let values = [];
    const view = Lab.canvas(root, { label: "What the network returns", width: 600, height: 120,
      draw(context, width, height) {
        context.fillStyle = Lab.colour("model");
        const bar = (value, i) => context.fillRect((i * width) / 40, height / 2, 9, (-value * height) / 3);
        values.forEach(bar);
      } });
    const board = Lab.canvas(root, { label: "Press the pointer", width: 300, height: 60, focusable: true });
    Lab.pointer(board, { down: ({ x, y }) => Lab.say(`down at ${Math.round(x)}, ${Math.round(y)}`) });
    const controls = Lab.group(root, "Controls");
    const loop = Lab.loop(() => {
      steps.push(performance.now());
      values = [...values.slice(-39), net(random.normals([1, 3])).data[0]];
      view.redraw();
      view.describe(`${values.length} values`);
      Lab.say(`${steps.length} steps`);
    }, { rate: 20 });
    Lab.transport(controls, loop, { onReset: () => { values = []; view.redraw(); } });
    Lab.slider(controls, { label: "Speed", min: 1, max: 60, value: 20, format: (v) => `${v} a second`,
      onInput: (v) => { loop.rate = v; } });
    Lab.choice(controls, { label: "Target", options: ["ring", { value: "moons", label: "two moons" }],
      onChange: (v) => Lab.say(v) });
    Lab.toggle(controls, { label: "Penalty", value: true, onChange: (on) => Lab.say(on ? "on" : "off") });
    window.tiny = { loop, steps, view, net, board };
  });
})();
"""
PICTURE = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" width="600" height="120"><path d="M0 0h9v9z"/></svg>"""


@pytest.fixture(scope="session")
def tiny_network():
    """The network of the tiny lab."""
    torch_seed = torch.Generator().manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).eval()
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=torch_seed))
    return network


@pytest.fixture(scope="session")
def tiny_parts(tiny_network):
    """What the tiny lab is exported from."""
    return {
        "models": {"net": tiny_network},
        "precision": "float32",
        "title": "A tiny lab & its <network>",
        "description": "Watch three numbers become one.",
        "ui": {"tiny": TINY},
        "picture": PICTURE,
        "alt": "A black triangle.",
        "data": {"mark": "</script><!--"},
    }


@pytest.fixture(scope="session")
def tiny(tiny_parts, tmp_path_factory):
    """The file of a lab with one control of each kind."""
    return export(name="tiny", **tiny_parts, folder=tmp_path_factory.mktemp("labs"))


class Mirror:
    """`GB.random(seed)` in Python, number by number."""

    def __init__(self, seed):
        state, words = seed, []
        for _ in range(4):
            state = (state + 0x9E3779B9) & 0xFFFFFFFF
            mixed = ((state ^ (state >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
            mixed = ((mixed ^ (mixed >> 15)) * 0x735A2D97) & 0xFFFFFFFF
            words.append(mixed ^ (mixed >> 15))
        self.words, self.spare = words, None

    def word(self):
        a, b, c, d = self.words
        out = (self._turn((b * 5) & 0xFFFFFFFF, 7) * 9) & 0xFFFFFFFF
        shifted = (b << 9) & 0xFFFFFFFF
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        self.words = [a, b, c ^ shifted, self._turn(d, 11)]
        return out

    @staticmethod
    def _turn(value, by):
        return ((value << by) | (value >> (32 - by))) & 0xFFFFFFFF

    def uniform(self):
        return ((self.word() >> 5) * 2**26 + (self.word() >> 6)) / 2**53

    def normal(self):
        if self.spare is not None:
            kept, self.spare = self.spare, None
            return kept
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        angle = 2 * math.pi * self.uniform()
        self.spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def integer(self, n):
        return math.floor(self.uniform() * n)


@pytest.fixture(scope="session")
def mirror():
    """`mirror(seed)` gives the numbers of `GB.random(seed)`."""
    return Mirror
