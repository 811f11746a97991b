"""The lab on restricted Boltzmann machines: PyTorch's numbers, the exact law, a page for the keyboard too."""

from __future__ import annotations

import math
import re

import hands
import pytest
import torch
from hands import labelled, tab_to
from scipy import stats

from genbook.cli.labs import boldest, build_labs, machine, rbm_examples
from genbook.labs.pages import source
from genbook.models.rbm import RBM

VISIBLE, HIDDEN = 7, 4
FREE = -1
#: A page's `made(machine)` builds the machine of RbmsCore that Python wrote down.
MADE = """window.made = ({ weight, a, b }) => RbmsCore.machine({
  weight: GB.tensor([a.length, b.length], weight),
  visible_bias: GB.tensor([a.length], a), hidden_bias: GB.tensor([b.length], b),
});"""


@pytest.fixture(scope="module")
def core(scripted):
    """A page that holds the runtime and the arithmetic of the lab."""
    return scripted([source("runtime.js"), source("ui/rbms_core.js"), MADE])


@pytest.fixture(scope="module")
def small():
    """A machine of a few units with strong weights: the law of the visible ones is far from independent."""
    seeded = torch.Generator().manual_seed(11)
    rbm = RBM(VISIBLE, HIDDEN)
    with torch.no_grad():
        for tensor in rbm.parameters():
            tensor.copy_(1.2 * torch.randn(tensor.shape, generator=seeded))
    return rbm.double()


def told(rbm):
    """What `made` builds the same machine from."""
    parts = {"weight": rbm.weight, "a": rbm.visible_bias, "b": rbm.hidden_bias}
    return {name: tensor.detach().flatten().tolist() for name, tensor in parts.items()}


def close(found, truth, tolerance=1e-9):
    hands.close(found, truth, tolerance)


# ---- the arithmetic ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("T", [1, 0.4, 3])
def test_inputs_and_free_energy_equal_pytorch(core, small, T):
    seeded = torch.Generator().manual_seed(1)
    v, h = (torch.rand(5, n, generator=seeded, dtype=torch.float64) for n in (VISIBLE, HIDDEN))
    v[0], v[1] = v[0].round(), 0
    found = core.evaluate(
        """({ machine, v, h, T }) => { const m = made(machine); return {
          hidden: v.map((x) => Array.from(RbmsCore.hiddenInput(m, x, T))),
          visible: h.map((x) => Array.from(RbmsCore.visibleInput(m, x, T))),
          energy: v.map((x) => RbmsCore.freeEnergy(m, x, T)) }; }""",
        {"machine": told(small), "v": v.tolist(), "h": h.tolist(), "T": T},
    )
    other = small.tempered(1 / T)
    close(found["hidden"], other.hidden_input(v))
    close(found["visible"], other.visible_input(h))
    close(found["energy"], other.free_energy(v))


def test_inputs_without_a_temperature_are_those_of_the_learnt_machine(core, small):
    found = core.evaluate(
        "(machine) => { const m = made(machine), v = new Array(7).fill(1);"
        "return [Array.from(RbmsCore.hiddenInput(m, v)), RbmsCore.freeEnergy(m, v)]; }",
        told(small),
    )
    v = torch.ones(VISIBLE, dtype=torch.float64)
    close(found[0], small.hidden_input(v))
    close(found[1], small.free_energy(v))


def test_logistic_and_softplus_hold_at_the_ends(core):
    x = [-2000.0, -700.0, -30.0, -1.0, 0.0, 1.0, 30.0, 700.0, 2000.0]
    found = core.evaluate("(x) => [x.map(RbmsCore.sigmoid), x.map(RbmsCore.softplus)]", x)
    truth = torch.tensor(x, dtype=torch.float64)
    close(found[0], torch.sigmoid(truth), 1e-14)
    close(found[1], torch.logaddexp(truth, torch.zeros(())), 1e-14)


@pytest.mark.parametrize("T", [1, 0.5, 2])
def test_rounds_equal_pytorch_given_the_same_uniform_numbers(core, small, mirror, T):
    clamps = torch.tensor([FREE, 1, FREE, 0, FREE, FREE, FREE])
    found = core.evaluate(
        """({ machine, clamps, T }) => {
          const m = made(machine), random = GB.random(21), one = RbmsCore.chain(m, clamps, random), rows = [];
          const row = () => rows.push({ v: Array.from(one.v), h: Array.from(one.h),
            visible: Array.from(one.visibleMean), hidden: Array.from(one.hiddenMean),
            changed: one.changed, rounds: one.rounds });
          row();
          for (let k = 0; k < 12; k++) { RbmsCore.round(m, one, T, random); row(); }
          return rows; }""",
        {"machine": told(small), "clamps": clamps.tolist(), "T": T},
    )
    random, other = mirror(21), small.tempered(1 / T)

    def uniforms(n):
        return torch.tensor([random.uniform() for _ in range(n)], dtype=torch.float64)

    def held(values):
        return torch.where(clamps == FREE, values.detach(), clamps.double())

    mean = torch.sigmoid(small.visible_bias)
    v = held((uniforms(VISIBLE) < mean).double())
    close(found[0]["visible"], held(mean))
    assert found[0]["v"] == v.tolist()
    for count, row in enumerate(found[1:], 1):
        hidden_mean = torch.sigmoid(other.hidden_input(v))
        h = (uniforms(HIDDEN) < hidden_mean).double()
        mean = torch.sigmoid(other.visible_input(h))
        before, v = v, held((uniforms(VISIBLE) < mean).double())
        close(row["hidden"], hidden_mean)
        close(row["visible"], held(mean))
        assert (row["h"], row["v"]) == (h.tolist(), v.tolist())
        assert (row["changed"], row["rounds"]) == (int((v != before).sum()), count)


def test_clamped_pixels_never_change_and_the_others_do(core, small):
    clamps = [0, 1, FREE, 1, FREE, 0, FREE]
    seen = core.evaluate(
        """({ machine, clamps }) => {
          const m = made(machine), random = GB.random(2), one = RbmsCore.chain(m, clamps, random);
          const seen = [Array.from(one.v)];
          for (let k = 0; k < 300; k++) { RbmsCore.round(m, one, 4, random); seen.push(Array.from(one.v)); }
          return seen; }""",
        {"machine": told(small), "clamps": clamps},
    )
    for i, values in enumerate(zip(*seen, strict=True)):
        assert set(values) == ({0, 1} if clamps[i] == FREE else {clamps[i]})


def exact(rbm, clamps, T):
    """The states of the free pixels and their chances given the clamped ones: exp(-F) over its sum."""
    clamps = torch.tensor(clamps)
    free = clamps == FREE
    count = int(free.sum())
    states = ((torch.arange(2**count)[:, None] >> torch.arange(count)) & 1).double()
    v = clamps.double().expand(len(states), -1).clone()
    v[:, free] = states
    return states, (-rbm.tempered(1 / T).free_energy(v)).softmax(0).detach(), free


@pytest.mark.parametrize("T", [1, 2])
def test_the_average_and_the_dreams_are_those_of_the_exact_law(core, small, T):
    """Sixty chains of 1,000 rounds. Of the belief, the chains' spread gives the standard error, and 4.5 of them
    are allowed (a chance of 1e-5 a pixel); of the states, every twentieth round is counted for a chi-square."""
    clamps = [FREE, 1, FREE, 0, FREE, FREE, FREE]
    found = core.evaluate(
        """({ machine, clamps, T }) => {
          const m = made(machine), free = clamps.map((_, i) => i).filter((i) => clamps[i] === RbmsCore.FREE);
          const beliefs = [], counts = new Array(2 ** free.length).fill(0);
          for (let seed = 0; seed < 60; seed++) {
            const random = GB.random(seed), one = RbmsCore.chain(m, clamps, random);
            for (let k = 0; k < 40; k++) RbmsCore.round(m, one, T, random);
            for (let k = 1; k <= 1000; k++) {
              RbmsCore.round(m, one, T, random);
              RbmsCore.average(one);
              if (k % 20 === 0) counts[free.reduce((state, i, bit) => state + one.v[i] * 2 ** bit, 0)]++;
            }
            beliefs.push(Array.from(one.belief));
          }
          return { beliefs, counts }; }""",
        {"machine": told(small), "clamps": clamps, "T": T},
    )
    states, chances, free = exact(small, clamps, T)
    beliefs = torch.tensor(found["beliefs"], dtype=torch.float64)
    assert torch.equal(beliefs[:, ~free], torch.tensor([1.0, 0.0], dtype=torch.float64).expand(60, 2))
    error = beliefs[:, free].std(0) / math.sqrt(60)
    assert error.max() < 0.01
    assert ((beliefs[:, free].mean(0) - chances @ states).abs() <= 4.5 * error).all()
    expected = 3000 * chances
    rare = expected < 5  # counted together
    counts = torch.tensor(found["counts"], dtype=torch.float64)
    pairs = [torch.cat([x[~rare], x[rare].sum()[None]]) for x in (counts, expected)]
    keep = pairs[1] > 0
    assert stats.chisquare(*(x[keep].numpy() for x in pairs)).pvalue > 1e-3


def test_the_running_average_weighs_rounds_alike_and_then_forgets(core):
    means = torch.rand(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = core.evaluate(
        """(means) => { const one = { v: [0, 0, 0], belief: [9, 9, 9], averaged: 0 }, rows = [];
          for (one.visibleMean of means) { RbmsCore.average(one, 5); rows.push(one.belief.slice()); }
          return rows; }""",
        means.tolist(),
    )
    belief = means[:5].mean(0)
    close(found[4], belief)
    for row, mean in zip(found[5:], means[5:], strict=True):
        belief = 0.8 * belief + 0.2 * mean
        close(row, belief)


# ---- the page ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The file of the lab."""
    return build_labs(tmp_path_factory.mktemp("labs"), ["rbms"])[0]


@pytest.fixture
def here(visit, built):
    """The lab, opened; it must end without an error."""
    one = visit()
    one.open(built)
    yield one
    assert one.faults == []


NOW = "RbmsCore.page"
SAID = 'document.getElementById("result").textContent'
LEFT = torch.arange(256) % 16 < 8


def press(page, name):
    """Press the button of this name."""
    page.get_by_role("button", name=name, exact=True).click()


def read(page, what="v"):
    """A vector of the chain, as a tensor."""
    return torch.tensor(page.evaluate(f"Array.from({NOW}.chain.{what})"), dtype=torch.float64)


def clamps_of(page):
    """What is clamped, as a tensor."""
    return torch.tensor(page.evaluate(f"Array.from({NOW}.clamps)"))


def test_its_size_leaves_room(built):
    assert built.stat().st_size < 500_000


@pytest.mark.parametrize("name", ["letters", "digits"])
def test_the_page_carries_the_shipped_machine(here, name):
    rbm, page = machine(name), here.page
    found = page.evaluate(
        """(name) => Object.fromEntries(Object.entries(Lab.weights(name)).map(
          ([key, tensor]) => [key, [tensor.shape, Array.from(tensor.data)]]))""",
        name,
    )
    assert set(found) == {"weight", "visible_bias", "hidden_bias"}
    for key, tensor in rbm.named_parameters():
        shape, data = found[key]
        assert shape == list(tensor.shape)
        close(data, tensor.detach().half().flatten(), 0)
    v = torch.stack(list(boldest(name).values()))
    energies = page.evaluate(
        "({ name, v }) => v.map((x) => RbmsCore.freeEnergy(RbmsCore.machine(Lab.weights(name)), x))",
        {"name": name, "v": v.tolist()},
    )
    close(energies, rbm.free_energy(v), 0.01)  # rounded to half precision: a part in 2,000 of each weight


@pytest.mark.parametrize(("name", "classes"), [("letters", 52), ("digits", 10)])
def test_examples_and_their_range_are_of_held_out_pictures(here, name, classes):
    told = here.page.evaluate(f"Lab.data.machines.{name}")
    names, pictures, labels = rbm_examples(name)
    assert list(told["examples"]) == names and len(names) == classes
    for k, text in enumerate(names):
        x = torch.tensor([float(bit) for bit in told["examples"][text]])
        own = pictures[labels == k]
        assert (own == x).all(1).any() and x.sum() == own.sum(1).max()
    low, high = told["range"]
    energies = machine(name).energy(pictures)
    inside = ((energies >= low - 0.05) & (energies <= high + 0.05)).float().mean()
    assert inside == pytest.approx(0.9, abs=0.01)


def test_it_begins_with_half_a_letter_and_one_step_is_one_round(here, mirror):
    page, x = here.page, boldest("letters")["B"]
    assert torch.equal(clamps_of(page), torch.where(LEFT, x, FREE).to(torch.int64))
    assert page.evaluate(SAID).startswith("Round 0: 128 pixels clamped, 128 free")
    press(page, "Step")
    random = mirror(1)
    first = torch.tensor([random.uniform() for _ in range(256)], dtype=torch.float64)
    rounded = RBM(256, 200)
    rounded.load_state_dict(
        {k: p.detach().half().float() for k, p in machine("letters").named_parameters()}, strict=False
    )
    rounded.double()
    v = torch.where(LEFT, x.double(), (first < rounded.visible_bias.sigmoid()).double())
    mean = rounded.hidden_input(v).sigmoid()
    close(read(page, "hiddenMean"), mean)
    h = (torch.tensor([random.uniform() for _ in range(200)], dtype=torch.float64) < mean).double()
    assert torch.equal(read(page, "h"), h)
    assert page.evaluate(f"{NOW}.chain.rounds") == 1
    here.until(f'{SAID}.startsWith("Round 1 at T = 1: free energy")')
    energy = float(re.search(r"free energy (−?[\d.]+)", page.evaluate(SAID))[1].replace("−", "-"))
    assert energy == pytest.approx(rounded.free_energy(read(page)).item(), abs=0.051)
    agree = int((read(page)[~LEFT] == x[~LEFT]).sum())
    assert f"{agree} of the free pixels are as in the held-out B" in page.evaluate(SAID)


def test_reset_repeats_and_another_seed_differs(here):
    page, runs = here.page, []
    for _ in range(2):
        for _ in range(5):
            press(page, "Step")
        runs.append((read(page).tolist(), read(page, "belief").tolist(), page.evaluate(f"{NOW}.history")))
        press(page, "Reset")
        assert page.evaluate(f"{NOW}.chain.rounds") == 0
    assert runs[0] == runs[1] and len(runs[0][2]) == 6
    page.get_by_role("slider", name="Seed").press("ArrowRight")
    for _ in range(5):
        press(page, "Step")
    assert read(page).tolist() != runs[0][0]


def test_while_it_plays_hot_the_clamped_pixels_stand(here):
    page = here.page
    page.get_by_role("slider", name="Temperature").press("End")
    assert page.evaluate(f"{NOW}.T") == pytest.approx(10)
    page.get_by_role("slider", name="Speed").press("End")
    press(page, "Play")
    here.until(f"{NOW}.chain.rounds > 60", 15)
    press(page, "Pause")
    clamps, v = clamps_of(page), read(page)
    held = clamps != FREE
    assert held.sum() == 128 and torch.equal(v[held], clamps[held].double())
    # over held-out letters the chains at T = 10 keep 23 ± 5 free pixels inked, those at T = 1 only 7 ± 4
    assert read(page, "belief")[~held].sum() > 16, "at T = 10 the free half is noise"
    here.until(f'{SAID}.includes("at T = 10:") && {SAID}.includes("above those of held-out letters")')


def test_the_answer_says_what_happens(here):
    """The figures of the question's answer, measured anew in the page, with the machine that it carries."""
    cold, slow = here.page.evaluate(
        """() => {
          const { machine: m, clamps } = RbmsCore.page;
          const ends = (rounds, T) => Array.from({ length: 30 }, (_, k) => {
            const random = GB.random(k + 1), one = RbmsCore.chain(m, clamps, random);
            for (let r = 0; r < rounds; r++) RbmsCore.round(m, one, T(r / rounds), random);
            return { v: one.v.join(""), F: RbmsCore.freeEnergy(m, one.v) };
          });
          return [ends(300, () => 0.1), ends(600, (share) => 10 ** ((6 - 26 * share) / 20))]; }"""
    )
    page = here.page
    page.locator("summary").click()
    answer = page.locator("details p").inner_text().replace("−", "-")
    energies = [[one["F"] for one in run] for run in (cold, slow)]
    wanted = [
        f"30, 300 rounds each: they ended in {len({one['v'] for one in cold})} different pictures",
        f"from {min(energies[0]):.1f} to {max(energies[0]):.1f}, on average {sum(energies[0]) / 30:.1f}",
        f"end at {sum(energies[1]) / 30:.1f} on average, the worst of them at {max(energies[1]):.1f}",
    ]
    assert [text for text in wanted if text not in answer] == []


def cell(page, row, column):
    """The middle of a pixel in the window, after a scroll to the grid."""
    box = page.locator("canvas.r-board").bounding_box()
    side = page.evaluate(f"{NOW}.side")
    size = min(box["width"], box["height"] - 24)
    return box["x"] + (column + 0.5) * size / side, box["y"] + 24 + (row + 0.5) * size / side


@pytest.mark.parametrize("width", [1280, 390])
def test_a_stroke_clamps_every_pixel_on_its_way(visit, built, width):
    one = visit(viewport={"width": width, "height": 900})
    page = one.open(built)
    press(page, "Clear all")
    assert (clamps_of(page) == FREE).all()
    page.locator("canvas.r-board").scroll_into_view_if_needed()
    page.mouse.move(*cell(page, 3, 2))
    page.mouse.down()
    page.mouse.move(*cell(page, 3, 9))  # in one leap
    page.mouse.up()
    grid = clamps_of(page).view(16, 16)
    assert (grid[3, 2:10] == 1).all() and (grid == 1).sum() == 8 and (grid == FREE).sum() == 248
    press(page, "Clamp paper")
    page.mouse.click(*cell(page, 3, 4))
    press(page, "Free again")
    page.mouse.click(*cell(page, 3, 5))
    grid = clamps_of(page).view(16, 16)
    assert grid[3, 2:10].tolist() == [1, 1, 0, FREE, 1, 1, 1, 1]
    assert read(page).view(16, 16)[3, 2:5].tolist() == [1, 1, 0]
    assert one.faults == []


def test_a_finger_draws_too(visit, built):
    one = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = one.open(built)
    page.locator("canvas.r-board").scroll_into_view_if_needed()
    page.touchscreen.tap(*cell(page, 12, 13))
    assert clamps_of(page).view(16, 16)[12, 13] == 1
    assert one.faults == []


def test_a_reader_gets_through_by_keyboard(here):
    page = here.page
    tab_to(page, 'e.classList.contains("r-board")')
    page.keyboard.press("ArrowDown")  # shows the caret in the middle
    assert page.evaluate(f"{NOW}.caret") == {"row": 8, "column": 8}
    for key in ("ArrowUp", "ArrowRight", "Space"):
        page.keyboard.press(key)
    assert clamps_of(page).view(16, 16)[7, 9] == 1
    here.until(f'{SAID}.startsWith("Row 8, column 10: clamped, ink. Round 0: 129 pixels clamped")')
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert (clamps_of(page).view(16, 16)[7, 9:12] == 1).all()
    page.keyboard.press("Delete")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert clamps_of(page).view(16, 16)[7, 8:].tolist() == [FREE, 1, 1, FREE, FREE, FREE, FREE, 1]
    page.keyboard.press("ArrowRight")  # the edge holds
    page.keyboard.press("Home")
    assert page.evaluate(f"{NOW}.caret") == {"row": 7, "column": 0}
    tab_to(page, 'e.textContent === "Clamp paper"')
    assert page.evaluate(f"{NOW}.caret") is None
    page.keyboard.press("Enter")
    assert page.evaluate(f"{NOW}.state.brush") == "paper"
    tab_to(page, 'e.textContent === "Play"')
    page.keyboard.press("Enter")
    here.until(f"{NOW}.chain.rounds >= 3")
    page.keyboard.press("Enter")
    assert page.evaluate(f"{NOW}.playing") is False
    tab_to(page, 'e.textContent === "Step"')
    rounds = page.evaluate(f"{NOW}.chain.rounds")
    page.keyboard.press("Space")
    assert page.evaluate(f"{NOW}.chain.rounds") == rounds + 1
    tab_to(page, 'e.textContent === "Reset"')
    page.keyboard.press("Space")
    assert page.evaluate(f"{NOW}.chain.rounds") == 0
    tab_to(page, 'e.tagName === "SUMMARY"')
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
    tab_to(page, labelled("Temperature"))
    page.keyboard.press("Home")
    assert page.evaluate(f"{NOW}.T") == pytest.approx(0.1)
    tab_to(page, 'e.textContent.startsWith("Mean")')
    page.keyboard.press("Space")
    assert page.evaluate(f"{NOW}.state.showing") == "mean"
    tab_to(page, labelled("Speed"))
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{NOW}.rate") == 60
    tab_to(page, labelled("Seed"))
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{NOW}.state.seed") == 2
    tab_to(page, labelled("Held-out picture"))
    page.keyboard.press("k")
    x = boldest("letters")["k" if page.evaluate(f"{NOW}.state.example") == "k" else "K"]
    assert torch.equal(clamps_of(page)[LEFT].double(), x[LEFT].double())
    tab_to(page, 'e.textContent === "Top half"')
    page.keyboard.press("Space")
    assert torch.equal(clamps_of(page)[:128].double(), x[:128].double()) and (clamps_of(page)[128:] == FREE).all()
    tab_to(page, 'e.textContent === "Clear all"')
    page.keyboard.press("Space")
    assert (clamps_of(page) == FREE).all()
    here.until(f'{SAID}.startsWith("Round 0: 0 pixels clamped, 256 free")')
    tab_to(page, 'e.textContent.startsWith("Digits")')
    page.keyboard.press("Space")
    assert len(clamps_of(page)) == 64
    here.until(f'{SAID}.startsWith("Round 0: 32 pixels clamped, 32 free")')


def test_a_changed_law_begins_a_new_average_and_keeps_the_dream(here):
    page = here.page
    for _ in range(4):
        press(page, "Step")
    v, before = read(page), page.evaluate(f"{NOW}.chain.averaged")
    page.get_by_role("slider", name="Temperature").press("ArrowRight")
    assert (before, page.evaluate(f"{NOW}.chain.averaged")) == (4, 0)
    assert torch.equal(read(page), v) and page.evaluate(f"{NOW}.chain.rounds") == 4
    press(page, "Step")
    assert page.evaluate(f"{NOW}.chain.averaged") == 1
    close(read(page, "belief"), read(page, "visibleMean"))


def test_the_outline_is_there_as_long_as_a_held_out_picture_is(here):
    page = here.page
    outline = page.get_by_role("checkbox", name="Outline of the held-out picture")
    assert outline.is_enabled()
    close(page.evaluate(f"Array.from({NOW}.real)"), boldest("letters")["B"])
    page.mouse.click(*cell(page, 0, 15))
    assert page.evaluate(f"{NOW}.real") is None and outline.is_disabled()
    press(page, "Top half")
    assert outline.is_enabled()


@pytest.mark.timed
@pytest.mark.parametrize("way", ["temperature", "stroke"])
def test_interaction_is_quick(here, way):
    """From an event to the frame that shows it, while 240 rounds a second run, in the median: at most 50 ms."""
    page = here.page
    page.get_by_role("slider", name="Speed").press("End")
    press(page, "Play")
    if way == "temperature":
        page.get_by_role("slider", name="Temperature").focus()
    else:
        page.mouse.move(*cell(page, 0, 0))
        page.mouse.down()
    drawn = page.evaluate(f"{NOW}.drawn")

    def act():
        for i in range(20):
            if way == "temperature":
                page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
            else:
                page.mouse.move(*cell(page, i % 16, 2 + i // 2))
            page.wait_for_timeout(50)

    assert here.wait_after("input" if way == "temperature" else "pointermove", act, least=15) <= 50
    assert page.evaluate(f"{NOW}.drawn") >= drawn + 15
    assert page.evaluate(f"{NOW}.chain.rounds") > 50
