"""The lab on GANs: its arithmetic equals PyTorch's, its game covers all modes, and its page obeys the keyboard."""

from __future__ import annotations

import copy
import itertools
import math
import time

import pytest
import torch
from hands import labelled, tab_to
from torch import nn

from genbook.cli.labs import LATENT, build_labs, generator
from genbook.data import letters
from genbook.data.truths import RingOfGaussians
from genbook.evaluate.modes import mode_coverage
from genbook.labs.pages import source
from genbook.models.gan import GAN, r1, r2
from genbook.nn.fourier import FourierFeatures

SIZE = 16

# one small game and two batches, with everything that Python needs to build the same
GAME = """(weight) => {
  const random = GB.random(5), sizes = { width: 12, depth: 2, criticWidth: 10, waves: 6, scale: 2 };
  const game = GansCore.players(random, sizes);
  const n = 16, real = new Float64Array(2 * n), noise = GansCore.drawNoise(random, new Float64Array(2 * n), 2 * n);
  const ring = GansCore.ring();
  for (let i = 0; i < n; i++) ring.draw(random, real, 2 * i);
  const all = (l, what) => [Array.from(l["weight" + what]), Array.from(l["bias" + what])];
  window.parts = (net, what) => net.layers.map((l) => all(l, what));
  const shapes = (net) => net.layers.map((l) => [l.outputs, l.inputs]);
  window.small = { game, real, noise, n, ring };
  return { generator: parts(game.generator, ""), critic: parts(game.critic, ""), means: Array.from(ring.means),
    generatorSizes: shapes(game.generator), criticSizes: shapes(game.critic),
    frequencies: Array.from(game.waves.frequencies), real: Array.from(real), noise: Array.from(noise) };
}"""


@pytest.fixture(scope="module")
def core(scripted):
    """A page that holds the runtime and the arithmetic of the lab."""
    return scripted([source("runtime.js"), source("ui/gans_core.js")])


def network(parts, sizes, activation):
    """The network of a list of (weight, bias) in JavaScript."""
    layers = []
    for (weight, bias), (outputs, inputs) in zip(parts, sizes, strict=True):
        linear = nn.Linear(inputs, outputs).double()
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight, dtype=torch.float64).view(outputs, inputs))
            linear.bias.copy_(torch.tensor(bias, dtype=torch.float64))
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def twin(told, weight):
    """The same game in PyTorch, its real batch and its noise."""
    waves = FourierFeatures(2, len(told["frequencies"]) // 2, scale=1.0).double()
    waves.frequencies.copy_(torch.tensor(told["frequencies"], dtype=torch.float64).view(2, -1))
    critic = nn.Sequential(waves, network(told["critic"], told["criticSizes"], lambda: nn.LeakyReLU(0.2)))
    artist = network(told["generator"], told["generatorSizes"], nn.ReLU)
    game = GAN(artist, critic, latent=2, penalties=[(weight, r1), (weight, r2)] if weight else [])
    return game, *(torch.tensor(told[name], dtype=torch.float64).view(-1, 2) for name in ("real", "noise"))


def compare(net, told, read, tolerance=1e-9):
    """Hold every weight of `net`, or what `read` makes of it, equal to the numbers of JavaScript."""
    linears = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert len(linears) == len(told)
    for linear, pair in zip(linears, told, strict=True):
        for tensor, numbers in zip((linear.weight, linear.bias), pair, strict=True):
            found = torch.tensor(numbers, dtype=torch.float64).view(tensor.shape)
            torch.testing.assert_close(found, read(tensor).detach(), rtol=tolerance, atol=tolerance)


# ---- the arithmetic ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weight", [0, 0.07, 3])
def test_critic_loss_and_gradient(core, weight):
    told = core.evaluate(GAME, weight)
    game, real, noise = twin(told, weight)
    found = core.evaluate(
        """(weight) => {
          const { game, real, noise, n } = small, fake = GansCore.generate(game, noise, n).slice();
          const loss = GansCore.criticLoss(game, real, fake, n, weight);
          return { ...loss, gradient: parts(game.critic, "Gradient") };
        }""",
        weight,
    )
    loss = game.critic_loss(real, noise=noise)
    loss.backward()
    assert abs(found["loss"] - loss.item()) < 1e-9
    compare(game.critic, found["gradient"], lambda tensor: tensor.grad)


def test_generator_loss_and_gradient(core):
    told = core.evaluate(GAME, 0)
    game, _, noise = twin(told, 0)
    found = core.evaluate(
        """() => { const { game, noise, n } = small; const loss = GansCore.generatorLoss(game, noise, n);
          return { loss, gradient: parts(game.generator, "Gradient") }; }"""
    )
    loss = game.generator_loss(SIZE, noise=noise)
    loss.backward()
    assert abs(found["loss"] - loss.item()) < 1e-9
    compare(game.generator, found["gradient"], lambda tensor: tensor.grad)


def test_slope_and_pull_back(core):
    """The arrows of the page: the critic's gradient at each point."""
    told = core.evaluate(GAME, 0)
    game, real, _ = twin(told, 0)
    found = core.evaluate(
        "() => { const s = GansCore.look(small.game, small.real, small.n);"
        "return { slope: Array.from(s.slope.subarray(0, 32)), logits: Array.from(s.logits.subarray(0, 16)) }; }"
    )
    real.requires_grad_()
    logits = game.critic(real)[:, 0]
    (slope,) = torch.autograd.grad(logits.sum(), real)
    torch.testing.assert_close(torch.tensor(found["logits"], dtype=torch.float64), logits.detach())
    torch.testing.assert_close(torch.tensor(found["slope"], dtype=torch.float64).view(-1, 2), slope)


def test_steps_equal_pytorch(core, mirror):
    """Five whole steps: draws, both losses, both optimisers."""
    told = core.evaluate(GAME, 0)
    game, _, _ = twin(told, 0.07)
    found = core.evaluate(
        """() => { const { game, ring } = small, random = GB.random(9), losses = [];
          const options = { batch: 8, rate: 3e-3, weight: 0.07 };
          for (let k = 0; k < 5; k++) losses.push(GansCore.step(game, ring, random, options));
          return { losses, critic: parts(game.critic, ""), generator: parts(game.generator, "") }; }"""
    )
    random, means = mirror(9), torch.tensor(told["means"], dtype=torch.float64).view(-1, 2)
    players = [
        torch.optim.Adam(net.parameters(), lr=3e-3, betas=(0.0, 0.99)) for net in (game.critic, game.generator)
    ]

    def normals(n):
        return torch.tensor([[random.normal(), random.normal()] for _ in range(n)], dtype=torch.float64)

    for k in range(5):
        rows = []
        for _ in range(8):
            mode = random.integer(8)
            rows.append(means[mode] + 0.1 * normals(1)[0])
        losses = []
        for player, name in zip(players, ("critic", "generator"), strict=True):
            noise = normals(8)
            loss = (
                game.critic_loss(torch.stack(rows), noise=noise)
                if name == "critic"
                else game.generator_loss(8, noise=noise)
            )
            player.zero_grad()
            loss.backward()
            player.step()
            losses.append(loss.item())
        assert losses == pytest.approx([found["losses"][k]["critic"], found["losses"][k]["generator"]], abs=1e-9)
    compare(game.critic, found["critic"], lambda tensor: tensor)
    compare(game.generator, found["generator"], lambda tensor: tensor)


def test_adam(core):
    gradients = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = nn.Parameter(torch.zeros(3, 2, dtype=torch.float64))
    player = torch.optim.Adam([value], lr=0.01, betas=(0.0, 0.99))
    for gradient in gradients:
        value.grad = gradient
        player.step()
    found = core.evaluate(
        """(gradients) => { const net = GansCore.network([2, 3], 0, GB.random(1)), layer = net.layers[0];
          layer.weight.fill(0);
          for (const g of gradients) { layer.weightGradient.set(g); GansCore.adam(net, 0.01); }
          return Array.from(layer.weight); }""",
        gradients.flatten(1).tolist(),
    )
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64).view(3, 2), value.detach(), rtol=1e-9, atol=1e-12
    )


def test_ring_is_the_chapters(core):
    ring = core.evaluate(
        "() => { const r = GansCore.ring(); return { means: Array.from(r.means), scale: r.scale }; }"
    )
    truth = RingOfGaussians()
    assert ring["scale"] == pytest.approx(truth.scale)
    torch.testing.assert_close(torch.tensor(ring["means"]).view(-1, 2), truth.means, rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", ["ring", "grid", "moons"])
def test_targets_are_near_their_own_modes(core, target):
    points = core.evaluate(
        f"""() => {{ const t = GansCore.{target}(), random = GB.random(3), out = new Float64Array(8000);
          for (let i = 0; i < 4000; i++) t.draw(random, out, 2 * i);
          const c = GansCore.modeCoverage(out, 4000, t.means, t.scale);
          return {{ covered: c.covered, modes: t.modes, near: c.near }}; }}"""
    )
    assert points["covered"] == points["modes"] and points["near"] > 0.95


@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
def test_mode_coverage(core, spread):
    seeded, ring = torch.Generator().manual_seed(2), RingOfGaussians()
    mode = (8 * torch.rand(900, generator=seeded) ** 3).long()  # some modes often, some hardly ever
    x = ring.means[mode].double() + spread * torch.randn(900, 2, generator=seeded, dtype=torch.float64)
    truth = mode_coverage(x, ring.means.double(), ring.scale)
    found = core.evaluate(
        "({ x, means }) =>"
        "GansCore.modeCoverage(Float64Array.from(x), x.length / 2, Float64Array.from(means), 0.1)",
        {"x": x.flatten().tolist(), "means": ring.means.double().flatten().tolist()},
    )
    assert found["covered"] == truth.covered
    assert found["near"] == pytest.approx(truth.near)
    assert found["weights"] == pytest.approx(truth.weights.tolist())


# ---- the page ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The file of the lab."""
    return build_labs(tmp_path_factory.mktemp("labs"), ["gans"])[0]


@pytest.fixture
def here(visit, built):
    """The lab, opened; it must end without an error."""
    one = visit()
    one.open(built)
    yield one
    assert one.faults == []


GAME_NOW = "GansCore.page.game"
LETTERS_NOW = "GansCore.page.letters"


def seen_by_python(page, averaged=True):
    """10,000 fresh drawings of the game's generator, counted as the chapter counts."""
    points = page.evaluate(
        """(averaged) => { const { game } = GansCore.page.game;
          const net = averaged ? game.average.net : game.players.generator;
          const noise = GansCore.drawNoise(GB.random(31), new Float64Array(20000), 20000);
          return Array.from(GansCore.generate({ generator: net }, noise, 10000)); }""",
        averaged,
    )
    ring = RingOfGaussians()
    return mode_coverage(torch.tensor(points).view(-1, 2), ring.means, ring.scale)


@pytest.mark.parametrize("rounded", [False, True])
def test_letters_equal_pytorch(here, rounded):
    artist = copy.deepcopy(generator())
    if rounded:
        artist.load_state_dict(
            {k: v.half().float() if v.is_floating_point() else v for k, v in artist.state_dict().items()}
        )
    z = torch.randn(12, LATENT, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        truth = artist(z)[:, :1].double()
    found = here.page.evaluate(
        f"(z) => Array.from({LETTERS_NOW}.artist(GB.tensor([12, {LATENT}], z)).data)", z.flatten().tolist()
    )
    error = (torch.tensor(found, dtype=torch.float64).view(truth.shape) - truth).abs().max().item()
    assert error <= (1e-5 if rounded else 1e-2 * truth.abs().max().item())


def test_letter_shown_is_the_generators(here):
    """What the page calls its noise gives, in PyTorch, the letter that it shows."""
    page = here.page
    page.select_option("select >> nth=1", label="R")
    here.until(f"{LETTERS_NOW}.drawn >= 2")
    told = page.evaluate(f"() => ({{ z: Array.from({LETTERS_NOW}.noise()), one: Array.from({LETTERS_NOW}.one) }})")
    z = torch.tensor([told["z"]])
    assert z[0, :52].argmax() == letters.NAMES.index("R")
    with torch.no_grad():
        truth = generator()(z)[0, 0].flatten()
    torch.testing.assert_close(torch.tensor(told["one"]), truth, rtol=0, atol=1e-2)


def test_average_follows_the_weights(here):
    """One step: the averaged weights move by the share that the decay leaves."""
    page = here.page
    read = (
        f"() => {{ const g = {GAME_NOW}.game, all = (n) => n.layers.flatMap((l) => Array.from(l.weight));"
        "return [all(g.players.generator), all(g.average.net)]; }"
    )
    (before, average), steps = page.evaluate(read), 3
    assert before == average
    average = torch.tensor(average, dtype=torch.float64)
    for step in range(1, steps + 1):
        page.get_by_role("button", name="Step", exact=True).click()
        now, found = (torch.tensor(v, dtype=torch.float64) for v in page.evaluate(read))
        decay = min(0.99, step / (step + 10))
        average = decay * average + (1 - decay) * now
        torch.testing.assert_close(found, average, rtol=1e-12, atol=1e-12)


def test_same_seed_same_game(here):
    page = here.page
    step, reset = (page.get_by_role("button", name=name, exact=True) for name in ("Step", "Reset"))
    runs = []
    for _ in range(2):
        for _ in range(5):
            step.click()
        runs.append(page.evaluate(f"() => [{GAME_NOW}.game.steps, {GAME_NOW}.game.losses]"))
        reset.click()
        assert page.evaluate(f"{GAME_NOW}.game.steps") == 0
    assert runs[0] == runs[1] and runs[0][0] == 5


def test_game_by_keyboard(here):
    page = here.page
    tab_to(page, 'e.classList.contains("g-plane")')
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowUp")
    assert page.evaluate(f"{GAME_NOW}.probe") == pytest.approx({"x": 0.5, "y": 0.1})
    here.until('document.getElementById("result").textContent.includes("(0.5, 0.1) the critic gives")')
    tab_to(page, 'e.textContent === "Play"')
    tab_to(page, 'e.textContent === "Step"')
    for _ in range(3):
        page.keyboard.press("Enter")
    assert page.evaluate(f"{GAME_NOW}.game.steps") == 3
    here.until('document.getElementById("result").textContent.startsWith("Step 3: ")')
    tab_to(page, 'e.tagName === "SUMMARY"')
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
    tab_to(page, 'e.textContent === "off: collapse"')
    page.keyboard.press("Space")
    assert page.evaluate(f"{GAME_NOW}.state.cure") is False
    assert page.evaluate('document.activeElement.getAttribute("aria-pressed")') == "true"
    tab_to(page, labelled("Target density"))
    page.keyboard.press("ArrowDown")
    here.until('document.getElementById("result").textContent.includes("of 9 modes")')
    tab_to(page, labelled("Seed"))
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{GAME_NOW}.state.seed") == 2
    tab_to(page, labelled("Speed"))
    page.keyboard.press("Home")
    tab_to(page, labelled("Critic’s landscape"))
    page.keyboard.press("Space")
    assert page.evaluate(f"{GAME_NOW}.state.landscape") is False
    page.keyboard.press("Shift+Tab")
    for _ in range(60):  # back to Play
        if page.evaluate("document.activeElement.textContent") == "Play":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    here.until(f"{GAME_NOW}.game.steps >= 2")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{GAME_NOW}.playing") is False


def test_letters_by_keyboard(here):
    page = here.page
    one = f"() => Array.from({LETTERS_NOW}.one)"
    said = 'document.querySelector(".said").textContent'
    tab_to(page, '(e.getAttribute("aria-label") || "").startsWith("Map of letters")')
    pictures = [page.evaluate(one)]
    for key in ("Shift+ArrowRight", "ArrowUp"):
        drawn = page.evaluate(f"{LETTERS_NOW}.drawn")
        page.keyboard.press(key)
        here.until(f"{LETTERS_NOW}.drawn > {drawn}")
        pictures.append(page.evaluate(one))
    assert page.evaluate(f"[{LETTERS_NOW}.state.x, {LETTERS_NOW}.state.y]") == pytest.approx([0.5, 0.1])
    here.until(f'{said}.includes("moved by (0.5, 0.1)")')
    tab_to(page, labelled("Letter"))
    page.keyboard.press("q")
    here.until(f'{said}.startsWith("The small q")')
    pictures.append(page.evaluate(one))
    tab_to(page, labelled("Your word"))
    page.keyboard.press("Control+A")
    page.keyboard.type("a9 Zebra-Crossing")
    here.until(f"{LETTERS_NOW}.settled && {LETTERS_NOW}.writing.length === {LETTERS_NOW}.state.word.length")
    assert page.evaluate(f"{LETTERS_NOW}.state.word") == page.input_value("#g-word")
    assert page.input_value("#g-word").startswith("aZebra") and len(page.input_value("#g-word")) <= 12
    tab_to(page, labelled("From style 1"))
    page.keyboard.press("End")
    here.until(f'{said}.includes("100 % of the way")')
    pictures.append(page.evaluate(one))
    tab_to(page, 'e.textContent === "New style"')
    page.keyboard.press("Space")
    here.until(f'{said}.includes("in style 3,")')
    pictures.append(page.evaluate(one))
    tab_to(page, labelled("The choice"))
    page.keyboard.press("ArrowRight")
    here.until(f'{said}.includes("choice 2 of 24")')
    pictures.append(page.evaluate(one))
    for before, after in itertools.pairwise(pictures):
        assert max(abs(a - b) for a, b in zip(before, after, strict=True)) > 0.01


@pytest.mark.timed
@pytest.mark.parametrize("way", ["pad", "slider", "word"])
def test_interaction_is_quick(here, way):
    """From an event to the new pictures, in the median of twenty: at most 50 ms."""
    page = here.page
    here.until(f"{LETTERS_NOW}.settled")
    if way == "pad":
        pad = page.get_by_role("application", name="Map of letters")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
    elif way == "slider":
        page.get_by_role("slider", name="From style 1").focus()
    else:
        page.focus("#g-word")
        page.keyboard.press("Control+A")
    drawn = page.evaluate(f"{LETTERS_NOW}.drawn")

    def act():
        for i in range(20):
            if way == "pad":
                page.mouse.move(box["x"] + 40 + 8 * i, box["y"] + 40 + 5 * math.sin(i))
            else:
                page.keyboard.press(
                    "ArrowRight"
                    if way == "slider" and i % 4 < 2
                    else "ArrowLeft"
                    if way == "slider"
                    else "abcdefghijkl"[i]
                    if i < 12
                    else "Backspace"
                )
            page.wait_for_timeout(60)

    assert here.wait_after("pointermove" if way == "pad" else "input", act, least=15) <= 50
    assert page.evaluate(f"{LETTERS_NOW}.drawn") >= drawn + 15


@pytest.mark.timed
def test_the_page_answers_while_it_trains(here):
    """At full speed, from a key on the weight's slider to the next frame, in the median."""
    page = here.page
    page.get_by_role("button", name="Play", exact=True).click()
    page.get_by_role("slider", name="Weight of the penalty").focus()

    def act():
        for i in range(20):
            page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
            page.wait_for_timeout(70)

    assert here.wait_after("input", act, least=20) <= 50
    assert page.evaluate(f"{GAME_NOW}.game.steps") > 20


def play_until(here, expression, seconds):
    """Press Play, wait until the expression is true, press Pause; returns the seconds that it took."""
    here.page.get_by_role("button", name="Play", exact=True).click()
    begin = time.monotonic()
    here.until(expression, seconds)
    taken = time.monotonic() - begin
    here.page.get_by_role("button", name="Pause", exact=True).click()
    return taken


@pytest.mark.slow
def test_all_modes_within_a_minute_collapse_without_the_penalty_and_the_way_back(here):
    """The bar of the lab, at its first seed and full speed; as many steps without the penalty; the cure."""
    page = here.page
    held = f"{GAME_NOW}.game.heldSince !== null && {GAME_NOW}.game.steps >= {GAME_NOW}.game.heldSince"
    assert play_until(here, f"{held} + 200", 60) <= 60
    cured = seen_by_python(page)
    assert cured.covered == 8 and cured.near > 0.6
    steps = page.evaluate(f"{GAME_NOW}.game.steps")
    here.until('document.getElementById("result").textContent.includes("8 of 8 modes covered, all since step")')

    page.get_by_role("button", name="Reset", exact=True).click()
    page.get_by_role("button", name="off: collapse").click()
    play_until(here, f"{GAME_NOW}.game.steps >= {steps}", 90)
    assert seen_by_python(page).covered <= 4 and seen_by_python(page, averaged=False).covered <= 4

    page.get_by_role("button", name="on: cure").click()  # no reset
    play_until(here, f"{held} + 600", 90)  # the last mode to come back fills slowly
    assert seen_by_python(page).covered == 8
