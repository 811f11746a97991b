"""The lab on autoencoders: PyTorch's numbers, drawings by mouse, finger and keys, codes of the reader's own."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache, partial

import hands
import pytest
import torch
from hands import close, labelled, opened, tab_to

from genbook.cli import latent_labs as made
from genbook.cli.train_autoencoders import glyph_pictures, squared_error
from genbook.labs.pages import BUILT, source
from genbook.models.autoencoder import PCA

SIDE, LATENT = 32, 32
FILE = BUILT / "autoencoders.html"
NOW = "LatentCore.page"
SAID = 'document.getElementById("result").textContent'


@pytest.fixture(scope="module")
def core(scripted):
    """A page that holds the runtime and the arithmetic of the lab."""
    return scripted([source("runtime.js"), source("ui/latent_core.js"), "window.Core = LatentCore;"])


def seeded(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ---- the arithmetic ---------------------------------------------------------------------------------------------
def test_pictures_travel_in_sixteen_levels(core):
    x = (255 * seeded(3, SIDE, SIDE)).round()
    x[0, 0, :2] = torch.tensor([255.0, 0.0])
    found = core.evaluate("(text) => Core.pictures(text).map((one) => Array.from(one))", made.four_bits(x))
    close(found, (x / 17).round().flatten(1) / 15)
    assert found[0][:2] == [1, 0]


def test_errors_and_blends_equal_torch(core):
    x, y, d = seeded(3, 1024)
    found = core.evaluate(
        """({ x, y, d }) => ({ error: Core.squaredError(x, y),
          least: Core.fromTheNearest(x, [d, y, x.map((v) => v + 9)]),
          blend: Array.from(Core.blend(x, y, 0.3)), moved: Array.from(Core.moved(x, d, -1.5)),
          cut: Array.from(Core.cut(Core.moved(x, d, -1.5))) })""",
        {"x": x.tolist(), "y": y.tolist(), "d": d.tolist()},
    )
    errors = [(x - other).square().sum() for other in (y, d)]
    close(found["error"], errors[0], 1e-5)
    close(found["least"], min(errors), 1e-5)
    close(found["blend"], 0.7 * x + 0.3 * y)
    close(found["moved"], x - 1.5 * d)
    close(found["cut"], (x - 1.5 * d).clamp(0, 1))


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (-2, 5), (0, -31), (8, -8)])
def test_a_shift_moves_and_lets_paper_in(core, right, down):
    x = seeded(SIDE, SIDE) + 0.1
    found = core.evaluate(
        "({ x, right, down }) => Array.from(Core.shifted(x, right, down))",
        {"x": x.flatten().tolist(), "right": right, "down": down},
    )
    truth = x.roll((down, right), (0, 1))
    row, column = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    inside = (row - down >= 0) & (row - down < SIDE) & (column - right >= 0) & (column - right < SIDE)
    close(found, (truth * inside).flatten())


@pytest.mark.parametrize("ink", [True, False])
def test_a_dot_is_round_soft_and_stays_on_the_paper(core, ink):
    x, row, column, radius = seeded(SIDE, SIDE), 0.6, 29.3, 2.4
    found = core.evaluate(
        "({ x, ink, row, column, radius }) => { Core.dot(x, row, column, radius, ink); return x; }",
        {"x": x.flatten().tolist(), "ink": ink, "row": row, "column": column, "radius": radius},
    )
    away = torch.hypot(torch.arange(SIDE)[:, None] - row, torch.arange(SIDE) - column)
    cover = (radius + 0.5 - away).clamp(0, 1)
    truth = torch.maximum(x, cover) if ink else torch.minimum(x, 1 - cover)
    close(torch.tensor(found).view(SIDE, SIDE), truth)
    assert (cover > 0.9).sum() > 5


def test_principal_components_equal_the_books(core):
    x = torch.randn(60, 1024, generator=torch.Generator().manual_seed(1))
    linear = PCA(5).fit(x)
    found = core.evaluate(
        """({ x, mean, components }) => {
          const pca = { mean: GB.tensor([1024], mean), components: GB.tensor([5, 1024], components.flat()) };
          const z = Core.project(pca, x);
          return [Array.from(z), Array.from(Core.rebuild(pca, z))]; }""",
        {"x": x[0].tolist(), "mean": linear.mean.tolist(), "components": linear.components.tolist()},
    )
    z = linear.encode(x[:1])
    close(found[0], z[0], 1e-4)
    close(found[1], linear.decode(z)[0], 1e-4)


def test_random_codes_have_their_laws(core, mirror):
    mean, low = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([-1.0, 2.0, 5.0])
    high, factor = low + torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[2.0, 0, 0], [1, 3, 0], [-1, 0.5, 0.2]])
    found = core.evaluate(
        """({ mean, low, high, factor }) => {
          const law = { mean: GB.tensor([3], mean), low: GB.tensor([3], low), high: GB.tensor([3], high),
            factor: GB.tensor([3, 3], factor.flat()) };
          return [Core.gaussianCode(law, GB.random(4)), Core.boxCode(law, GB.random(5))].map((z) => [...z]); }""",
        {
            name: tensor.tolist()
            for name, tensor in (("mean", mean), ("low", low), ("high", high), ("factor", factor))
        },
    )
    random = mirror(4)
    noise = torch.tensor([random.normal() for _ in range(3)])
    close(found[0], mean + factor @ noise)
    random = mirror(5)
    close(found[1], low + (high - low) * torch.tensor([random.uniform() for _ in range(3)]))


# ---- the page ---------------------------------------------------------------------------------------------------
@pytest.fixture
def here(visit):
    """The lab, opened; it must end without an error."""
    yield from opened(visit, FILE)


def read(page, what):
    """A vector of the page, as a tensor."""
    return torch.tensor(page.evaluate(f"Array.from({NOW}.{what})"))


drawn = partial(hands.drawn, now=NOW)


@cache
def carried_model():
    """The autoencoder with weights in half precision, as the page carries them."""
    return deepcopy(made.autoencoder()).half().float()


@cache
def carried_components():
    """The principal components in half precision."""
    linear = deepcopy(made.principal_components())
    linear.mean, linear.components = (x.half().float() for x in (linear.mean, linear.components))
    return linear


def torchs(x):
    """The code, the network's picture and the components' picture of one drawing, by PyTorch."""
    model, linear = carried_model(), carried_components()
    with torch.no_grad():
        z = model.encoder(x.view(1, 1, SIDE, SIDE))
        flat = x.view(1, -1)
        return z[0], model.decoder(z).flatten(), linear.decode(linear.encode(flat))[0]


def agree(page, x):
    """Hold everything that follows from the drawing equal to PyTorch."""
    close(read(page, "drawing"), x, 1e-6)
    z, rebuilt, linear = torchs(x)
    for name, truth in (("code", z), ("rebuilt", rebuilt), ("linear", linear)):
        close(read(page, name), truth, 1e-4)
    for name, truth in (("network", rebuilt), ("linear", linear)):
        error = float((truth - x).square().sum())
        assert page.evaluate(f"{NOW}.errors.{name}") == pytest.approx(error, rel=1e-4, abs=1e-5)


def test_its_size_leaves_room():
    assert FILE.stat().st_size < 1_500_000


def test_it_begins_with_a_held_out_glyph_that_the_networks_see(here):
    page = here.page
    told = page.evaluate("Lab.data.captions")
    x = made.glyphs.load()
    held_out = {x.caption(int(i)) for i in x.scored.nonzero()[:, 0]}
    assert len(told) == made.EXAMPLES == len(set(told)) and set(told) <= held_out
    drawing = read(page, "drawing")
    source_of = page.evaluate(f"{NOW}.state.source")
    index = next(int(i) for i in x.scored.nonzero()[:, 0] if x.caption(int(i)) == told[source_of])
    assert (drawing.view(SIDE, SIDE) - x.images[index] / 255).abs().max() <= 8.5 / 255 + 1e-6
    agree(page, drawing)
    errors = page.evaluate(f"{NOW}.errors")
    assert f"squared error {errors['network']:.1f}" in page.evaluate(SAID)
    assert f"principal components with {errors['linear']:.1f}" in page.evaluate(SAID)


@pytest.mark.parametrize("name", ["Noise", "Blank"])
def test_pictures_unlike_glyphs_are_coded_too(here, name, mirror):
    page, random = here.page, mirror(1)
    drawn(here, lambda: page.get_by_role("button", name=name, exact=True).click())
    noise = torch.tensor([random.uniform() for _ in range(1024)])
    agree(page, noise if name == "Noise" else torch.zeros(1024))
    if name == "Noise":
        here.until(f'{SAID}.includes("Harder than 19 in 20 held-out glyphs")')
    drawn(here, lambda: page.get_by_role("button", name="Whole glyph again").click())
    glyph = read(page, f"glyphs[{page.evaluate(f'{NOW}.state.source')}]")
    close(read(page, "drawing"), glyph)


def test_half_precision_costs_little():
    """Against the shipped weights: the code within a hundredth, the picture within a hundredth of full ink."""
    x = glyph_pictures("held_out")[::500]
    with torch.no_grad():
        codes = [model.encode(x) for model in (made.autoencoder(), carried_model())]
        pictures = [made.autoencoder().decode(codes[0]) / 255, carried_model().decode(codes[1]) / 255]
    assert 0 < (codes[0] - codes[1]).abs().max() <= 1e-2 * codes[0].abs().max()
    assert 0 < (pictures[0] - pictures[1]).abs().max() <= 2e-2


def test_a_shift_shifts_the_drawing(here):
    page = here.page
    before = read(page, "drawing").view(SIDE, SIDE)
    slider = page.get_by_role("slider", name="Shift to the right")
    drawn(here, lambda: slider.press("ArrowRight"))
    drawn(here, lambda: page.get_by_role("slider", name="Shift down").press("End"))
    x = torch.zeros(SIDE, SIDE)
    x[8:, 1:] = before[:-8, :-1]
    agree(page, x.flatten())


def cell(page, row, column):
    """The middle of a pixel of the drawing in the window."""
    box = page.locator("canvas.l-board").bounding_box()
    size = min(box["width"], box["height"] - 22)
    return box["x"] + (column + 0.5) * size / SIDE, box["y"] + 22 + (row + 0.5) * size / SIDE


@pytest.mark.parametrize("width", [1280, 390])
def test_a_stroke_draws_every_pixel_on_its_way(visit, width):
    here = visit(viewport={"width": width, "height": 900})
    page = here.open(FILE)
    drawn(here, lambda: page.get_by_role("button", name="Blank").click())
    page.locator("canvas.l-board").scroll_into_view_if_needed()

    def stroke(row, first, last):
        page.mouse.move(*cell(page, row, first))
        page.mouse.down()
        page.mouse.move(*cell(page, row, last))  # in one leap
        page.mouse.up()

    drawn(here, lambda: stroke(10, 4, 27))
    x = read(page, "drawing").view(SIDE, SIDE)
    assert x[10, 4:28].min() > 0.9 and x[10, :2].max() == 0 and x[13:].max() == 0
    page.get_by_role("button", name="Paper").click()
    page.locator("canvas.l-board").scroll_into_view_if_needed()
    drawn(here, lambda: stroke(10, 15, 16))
    x = read(page, "drawing").view(SIDE, SIDE)
    assert x[10, 15:17].max() < 0.1 and x[10, 5:12].min() > 0.9
    agree(page, x.flatten())
    assert here.faults == []


def test_a_finger_draws_and_the_brush_paints_where_it_is_seen(visit):
    here = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = here.open(FILE)
    drawn(here, lambda: page.get_by_role("button", name="Blank").click())
    drawn(here, lambda: page.get_by_role("slider", name="Shift down").press("End"))
    page.locator("canvas.l-board").scroll_into_view_if_needed()
    drawn(here, lambda: page.touchscreen.tap(*cell(page, 12, 13)))
    assert read(page, "drawing").view(SIDE, SIDE)[12, 13] > 0.9
    assert page.evaluate(f"[{NOW}.state.right, {NOW}.state.down]") == [0, 0]
    assert here.faults == []


def test_a_reader_gets_through_by_keyboard(here):
    page = here.page
    drawn(here, lambda: page.get_by_role("button", name="Blank").click())
    page.evaluate("document.activeElement.blur()")
    page.locator("canvas.l-board").focus()
    for key in ("ArrowDown", "ArrowUp", "ArrowRight", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        drawn(here, lambda key=key: page.keyboard.press(key))
    x = read(page, "drawing").view(SIDE, SIDE)
    assert page.evaluate(f"{NOW}.caret") == {"row": 15, "column": 19}
    assert x[15, 17:20].min() > 0.9 and x[15, 22:].max() == 0
    here.until(f'{SAID}.startsWith("Row 16, column 20. ")')
    tab_to(page, 'e.textContent === "Paper"')
    assert page.evaluate(f"{NOW}.caret") is None
    page.keyboard.press("Enter")
    assert page.evaluate(f"{NOW}.state.brush") == "paper"
    tab_to(page, 'e.tagName === "SUMMARY"')
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
    tab_to(page, labelled("Brush"))
    page.keyboard.press("End")
    assert page.evaluate(f"{NOW}.state.radius") == 3
    tab_to(page, labelled("Held-out glyph"))
    drawn(here, lambda: page.keyboard.press("Home"))
    close(read(page, "drawing"), read(page, "glyphs[0]"))
    tab_to(page, labelled("Number 1"))
    drawn(here, lambda: page.keyboard.press("End"))
    assert page.evaluate(f"{NOW}.walk !== null")
    tab_to(page, labelled("All 32 numbers"))
    assert page.get_by_role("slider", name="Number 32").is_hidden()
    page.keyboard.press("Space")
    assert page.get_by_role("slider", name="Number 32").is_visible()
    tab_to(page, 'e.textContent === "The drawing’s"')
    drawn(here, lambda: page.keyboard.press("Space"))
    assert page.evaluate(f"{NOW}.walk") is None
    tab_to(page, labelled("Share of the other glyph"))
    drawn(here, lambda: page.keyboard.press("End"))
    assert page.evaluate(f"{NOW}.state.share") == 1


def test_a_slider_moves_one_number_of_the_code(here):
    page = here.page
    code, order = read(page, "code"), page.evaluate(f"{NOW}.order")
    law = made.code_law()
    assert order == law["scale"].argsort(descending=True).tolist()
    drawn(here, lambda: page.get_by_role("slider", name="Number 2", exact=True).press("End"))
    walk = read(page, "walk")
    other = torch.arange(LATENT) != order[1]
    assert torch.equal(walk[other], code[other])
    span = law["high"] - law["low"]
    assert walk[order[1]] == pytest.approx(
        float((law["high"] + 0.1 * span)[order[1]]), abs=float(span[order[1]]) / 100
    )
    with torch.no_grad():
        truth = carried_model().decoder(walk[None]).flatten()
    close(read(page, "walked"), truth, 1e-4)
    drawn(here, lambda: page.get_by_role("button", name="Blank").click())
    assert page.evaluate(f"{NOW}.walk") is None


@pytest.mark.parametrize("name", ["From the box", "From the Gaussian"])
def test_random_codes_come_from_the_law_of_the_training_codes(here, name, mirror):
    page, law, random = here.page, made.code_law(), mirror(1)
    drawn(here, lambda: page.get_by_role("button", name=name, exact=True).click())
    if name == "From the box":
        uniform = torch.tensor([random.uniform() for _ in range(LATENT)])
        truth = law["low"] + (law["high"] - law["low"]) * uniform
    else:
        truth = law["mean"] + law["factor"] @ torch.tensor([random.normal() for _ in range(LATENT)])
    found = read(page, "walk")
    assert ((found - truth).abs() <= 1e-3 * law["scale"]).all()


def test_the_gallery_is_decoded_from_both_laws(here, mirror):
    page, law = here.page, made.code_law()
    page.get_by_role("button", name="Twelve new codes").click()
    found = torch.tensor(page.evaluate(f"{NOW}.gallery.map((row) => row.map((one) => Array.from(one)))"))
    random = mirror(2)
    boxes = torch.tensor([[random.uniform() for _ in range(LATENT)] for _ in range(6)])
    normals = torch.tensor([[random.normal() for _ in range(LATENT)] for _ in range(6)])
    z = [law["low"] + (law["high"] - law["low"]) * boxes, law["mean"] + normals @ law["factor"].T]
    with torch.no_grad():
        truth = torch.stack([carried_model().decoder(codes).flatten(1) for codes in z])
    close(found, truth, 1e-4)


def test_a_walk_between_codes_is_decoded_all_the_way(here):
    page = here.page
    slider = page.get_by_role("slider", name="Share of the other glyph")
    for key, share in (("Home", 0), ("ArrowRight", 0.02), ("End", 1)):
        drawn(here, lambda key=key: slider.press(key))
        x = read(page, "drawing")
        y = read(page, f"glyphs[{page.evaluate(f'{NOW}.state.other')}]")
        with torch.no_grad():
            codes = carried_model().encoder(torch.stack([x, y]).view(2, 1, SIDE, SIDE))
            truth = carried_model().decoder(codes[:1].lerp(codes[1:], share)).flatten()
        close(read(page, "between.coded"), truth, 1e-4)
        close(read(page, "between.faded"), x.lerp(y, share))
    drawn(here, lambda: slider.press("Home"))
    drawn(here, lambda: page.get_by_role("button", name="Blank").click())
    here.until(f"{NOW}.between.faded.every((ink) => ink === 0)")  # the walk follows the drawing
    close(read(page, "between.coded"), read(page, "rebuilt"))


def test_usual_errors_are_those_of_held_out_glyphs(here):
    held_out = glyph_pictures("held_out")
    rebuilt = made.in_parts(lambda x: made.autoencoder().decode(made.autoencoder().encode(x)), held_out)
    linear, flat = made.principal_components(), held_out.flatten(1) / 255
    errors = {
        "network": squared_error(rebuilt, held_out),
        "linear": (linear.decode(linear.encode(flat)) - flat).square().sum(1),
    }
    for name, (low, middle, high) in here.page.evaluate("Lab.data.errors").items():
        inside = ((errors[name] >= low - 0.01) & (errors[name] <= high + 0.01)).float().mean()
        assert inside == pytest.approx(0.9, abs=0.01)
        assert middle == pytest.approx(float(errors[name].median()), rel=0.02)


def test_the_answer_says_what_happens(here):
    """The figures of the question's answer, measured anew; and they do rise from left to right."""
    page = here.page
    page.locator("summary").click()
    answer = page.locator("details p").inner_text()
    told = [float(text) for text in re.findall(r"(\d+\.\d)", answer)]
    drawn_pictures = [
        made.in_parts(made.autoencoder().decode, made.random_codes(kind, made.DRAWN))
        for kind in ("box", "gaussian")
    ]
    held_out = glyph_pictures("held_out")
    held_out = held_out[made.evenly(made.DRAWN, len(held_out))]
    rebuilt = made.in_parts(lambda x: made.autoencoder().decode(made.autoencoder().encode(x)), held_out)
    found = [float(made.from_the_nearest(pictures).mean()) for pictures in [*drawn_pictures, rebuilt]]
    assert told == pytest.approx(found, abs=0.06)
    assert found[0] > found[1] > found[2]


@pytest.mark.timed
@pytest.mark.parametrize("way", ["stroke", "slider"])
def test_interaction_is_quick(here, way):
    """From an event to the frame that shows it, in the median: at most 50 ms."""
    page = here.page
    if way == "slider":
        page.get_by_role("slider", name="Number 1", exact=True).focus()
    else:
        page.mouse.move(*cell(page, 0, 0))
        page.mouse.down()

    def act():
        for i in range(20):
            if way == "slider":
                page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
            else:
                page.mouse.move(*cell(page, i, 2 + i // 2))
            page.wait_for_timeout(60)

    assert here.wait_after("input" if way == "slider" else "pointermove", act, least=15) <= 50
