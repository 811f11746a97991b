"""The lab on variational autoencoders: PyTorch's numbers, the plane by mouse, finger and keys, styles in sums."""

from __future__ import annotations

import math
import re
from copy import deepcopy
from functools import cache, partial

import hands
import pytest
import torch
from hands import close, labelled, opened, tab_to

from genbook.cli import latent_labs as made
from genbook.data import letters
from genbook.labs.pages import BUILT, source
from genbook.prob.likelihoods import LogisticMixturePixels

SIDE = 32
FILE = BUILT / "vaes.html"
NOW = "LatentCore.page"
SAID = 'document.getElementById("result").textContent'
SUM = 'document.querySelector(".said").textContent'


@pytest.fixture(scope="module")
def core(scripted):
    """A page that holds the runtime and the arithmetic of the lab."""
    return scripted([source("runtime.js"), source("ui/latent_core.js"), "window.Core = LatentCore;"])


def normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---- the arithmetic ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("components", [1, 2, 3])
def test_mean_pictures_equal_the_likelihoods(core, components):
    parameters = 3 * normals(2, 3 * components, SIDE, SIDE)
    found = core.evaluate(
        "({ values, planes }) => Core.inks(GB.tensor([2, planes, 32, 32], values)).map((x) => Array.from(x))",
        {"values": parameters.flatten().tolist(), "planes": 3 * components},
    )
    truth = LogisticMixturePixels(256, components).mean(parameters) / 255
    assert 0.1 < ((truth > 0) & (truth < 1)).float().mean() < 0.9, "some are cut off, some are not"
    close(found, truth, 1e-5)


def test_the_change_of_a_picture_is_that_of_its_derivatives(core):
    jacobian, step = normals(1024, 2, seed=3) * torch.tensor([1.0, 0.4]) + 0.2, 0.05
    sides = [jacobian @ torch.tensor(way) * step for way in ([1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0])]
    found = core.evaluate(
        "({ sides, step }) => Core.stretch(sides, step)", {"sides": [x.tolist() for x in sides], "step": step}
    )
    _, singular, ways = torch.linalg.svd(jacobian, full_matrices=False)
    assert [found["most"], found["least"]] == pytest.approx(singular.tolist(), rel=1e-4)
    way = torch.tensor([math.cos(found["angle"]), math.sin(found["angle"])])
    assert abs(float(way @ ways[0])) == pytest.approx(1, abs=1e-4)


def test_the_priors_chance_and_its_inverse_equal_torch(core):
    z = torch.linspace(-5, 5, 41, dtype=torch.float64)
    chances = torch.linspace(0.001, 0.999, 37, dtype=torch.float64)
    found = core.evaluate(
        "({ z, p }) => [z.map(Core.chance), p.map(Core.quantile)]", {"z": z.tolist(), "p": chances.tolist()}
    )
    close(found[0], torch.special.ndtr(z), 3e-7)
    close(found[1], torch.special.ndtri(chances), 1e-4)


def test_the_mean_difference_leaves_one_letter_out(core):
    codes = normals(5, 3, 4)
    found = core.evaluate(
        """(values) => { const codes = GB.tensor([5, 3, 4], values);
          const of = (letter, style) => Core.codeOf(codes, letter, style);
          return [Array.from(of(3, 1)), ...[0, 4].map((k) => Array.from(Core.difference(of, 5, k, 2, 1)))]; }""",
        codes.flatten().tolist(),
    )
    close(found[0], codes[3, 1])
    change = codes[:, 1] - codes[:, 2]
    for k, row in zip((0, 4), found[1:], strict=True):
        close(row, change[torch.arange(5) != k].mean(0))
        close(made.of_the_others(change)[k], change[torch.arange(5) != k].mean(0))


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
def carried_vae(name):
    """A model with weights in half precision, as the page carries them."""
    return deepcopy(made.vae(name)).half().float()


def carried_codes(name):
    """The letters' codes in half precision."""
    return made.letter_codes(name).half().float()


def decoded(name, z):
    """The mean pictures of codes by PyTorch, in ink."""
    return made.in_parts(carried_vae(name).decode, z).flatten(1) / 255


def place(page, z):
    """Where a point of the plane lies in the window, with axes that are even in z."""
    box = page.locator("canvas.v-map").bounding_box()
    return box["x"] + (z[0] + 4) / 8 * box["width"], box["y"] + (4 - z[1]) / 8 * box["height"]


def test_its_size_leaves_room():
    assert FILE.stat().st_size < 1_990_000


def test_the_page_carries_the_letters_their_styles_and_codes(here):
    page = here.page
    pictures = made.carried(made.letters_by_style()).flatten(0, 1)
    assert (pictures - made.letters_by_style().flatten(0, 1)).abs().max() <= 8.5
    assert page.evaluate("Lab.data.styles") == made.style_names() and len(set(made.style_names())) == 16
    for i in (0, 17, 401, 831):
        close(read(page, f"pictures[{i}]").view(SIDE, SIDE), pictures[i] / 255)
    for name in ("letters", "plane"):
        found = torch.tensor(page.evaluate(f"Array.from(GB.load(Lab.data.codes).{name}.data)"))
        close(found, carried_codes(name).flatten(), 2e-3)  # the next number of half precision may be the one
        assert (found - carried_codes(name).flatten()).abs().median() == 0


def test_the_dots_are_letters_that_training_had(here):
    known = letters.load("train")
    seen = torch.tensor(made.letters_seen())
    assert 500 < seen.sum() < 832
    for k, style in ((0, 0), (26, 1), (51, 15), (40, 6)):
        same = (known.images[known.labels == k] == made.letters_by_style()[k, style]).flatten(1).all(1).any()
        assert bool(seen[k, style]) or not bool(same)
    assert here.page.evaluate(f"{NOW}.training.length") == int(seen.sum())
    held_out = letters.load("held_out")
    pictures = made.letters_by_style()
    own = [
        bool(seen[k, style])
        for image, k in zip(held_out.images[:, 0], held_out.labels.tolist(), strict=True)
        for style in range(16)
        if torch.equal(pictures[k, style], image)
    ]
    assert len(own) > 100 and not any(own)


def test_it_begins_in_the_middle_and_says_how_the_picture_changes(here):
    page = here.page
    assert page.evaluate(f"{NOW}.state.z") == [0, 0]
    close(read(page, "shown"), decoded("plane", torch.zeros(1, 2))[0], 1e-4)
    step = 0.05
    sides = decoded("plane", torch.tensor([[step, 0], [-step, 0], [0, step], [0, -step]]))
    singular = torch.linalg.svdvals(torch.stack([sides[0] - sides[1], sides[2] - sides[3]], 1) / (2 * step))
    change = page.evaluate(f"{NOW}.change")
    assert [change["most"], change["least"]] == pytest.approx(singular.tolist(), rel=1e-3)
    said = page.evaluate(SAID)
    assert said.startswith("z = (0.00, 0.00): prior density 0.159; 100 % of the prior’s codes lie farther out.")
    assert f"by up to {change['most']:.1f} of ink" in said


@pytest.mark.parametrize("axes", ["z", "chance"])
def test_the_map_is_decoded_cell_by_cell(here, axes):
    page = here.page
    if axes == "chance":
        page.get_by_role("button", name="Quantiles of the prior").click()
    here.until(f"{NOW}.tiles.{axes} !== null && {NOW}.filled >= {15 if axes == 'z' else 30}", 30)
    ink = torch.tensor(page.evaluate(f"Array.from({NOW}.tiles.{axes})")).view(15, SIDE, 15, SIDE).transpose(1, 2)
    even = (torch.arange(15) + 0.5) / 15
    at = 8 * even - 4 if axes == "z" else torch.special.ndtri(even)
    for row, column in ((0, 0), (3, 11), (14, 7)):
        truth = decoded("plane", torch.stack([at[column], at[14 - row]])[None])[0]
        close(ink[row, column].flatten(), truth, 1e-3 if axes == "chance" else 1e-4)


def test_a_drag_moves_the_point_and_its_picture(here):
    page = here.page
    page.mouse.move(*place(page, (0, 0)))
    drawn(here, page.mouse.down)
    drawn(here, lambda: page.mouse.move(*place(page, (1.5, -2))))
    page.mouse.up()
    z = read(page, "state.z")
    assert (z - torch.tensor([1.5, -2.0])).abs().max() < 0.03
    close(read(page, "shown"), decoded("plane", z[None])[0], 1e-4)
    codes = made.letter_codes("plane")[torch.tensor(made.letters_seen())]
    names = [
        f"{letters.NAMES[k]}, {style}"
        for k, row in enumerate(made.letters_seen())
        for style, seen in zip(made.style_names(), row, strict=True)
        if seen
    ]
    near = (codes - z).square().sum(1).sqrt().topk(2, largest=False)
    assert near.values[1] - near.values[0] > 1e-4
    here.until(f'{SAID}.includes("Nearest training letter: {names[int(near.indices[0])]}.")')
    here.until(f'{SAID}.includes("Here, for each unit of z, the picture changes by up to ")')
    outside = 100 * math.exp(-float(z.square().sum()) / 2)
    assert f"; {outside:.0f} % of the prior" in page.evaluate(SAID)


def test_a_finger_moves_the_point_on_the_other_axes_too(visit):
    here = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = here.open(FILE)
    page.get_by_role("button", name="Quantiles of the prior").click()
    page.locator("canvas.v-map").scroll_into_view_if_needed()
    box = page.locator("canvas.v-map").bounding_box()
    drawn(here, lambda: page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.75 * box["height"]))
    truth = torch.special.ndtri(torch.tensor([0.9, 0.25]))
    assert (read(page, "state.z") - truth).abs().max() < 0.05
    assert here.faults == []


def test_a_reader_gets_through_by_keyboard(here):
    page = here.page
    tab_to(page, 'e.classList.contains("v-map")')
    for key in ("ArrowRight", "Shift+ArrowUp", "ArrowDown", "Shift+ArrowLeft"):
        drawn(here, lambda key=key: page.keyboard.press(key))
    assert page.evaluate(f"{NOW}.state.z") == pytest.approx([-0.4, 0.4])
    here.until(f'{SAID}.startsWith("z = (−0.40, 0.40)")')
    drawn(here, lambda: page.keyboard.press("Home"))
    assert page.evaluate(f"{NOW}.state.z") == [0, 0]
    tab_to(page, 'e.tagName === "SUMMARY"')
    tab_to(page, labelled("Codes of training letters"))
    page.keyboard.press("Space")
    assert page.evaluate(f"{NOW}.state.dots") is False
    tab_to(page, labelled("Mark one letter"))
    page.keyboard.press("g")
    assert letters.NAMES[page.evaluate(f"{NOW}.state.marked")] in "gG"
    tab_to(page, 'e.textContent.startsWith("Draw z")')
    drawn(here, lambda: page.keyboard.press("Enter"))
    assert page.evaluate(f"{NOW}.state.z") != [0, 0]
    tab_to(page, labelled("Amount"))
    drawn(here, lambda: page.keyboard.press("End"))
    assert page.evaluate(f"{NOW}.sum.amount") == 1.5
    tab_to(page, labelled("Letter"))
    drawn(here, lambda: page.keyboard.press("Home"))
    assert page.evaluate(f"{NOW}.sum.letter") == 0
    here.until(f'{SUM}.startsWith("A, sans, plus 1.50 times")')


def test_the_mouse_over_a_dot_tells_its_letter(here):
    page = here.page
    inside = next(
        i
        for i, (x, y) in enumerate(page.evaluate(f"{NOW}.training.map((one) => one.z)"))
        if abs(x) < 3.5 and abs(y) < 3.5
    )
    z = page.evaluate(f"{NOW}.training[{inside}].z")
    page.mouse.move(*place(page, z))
    found = page.evaluate(f"{NOW}.hovered")
    assert math.dist(found["z"], z) * page.locator("canvas.v-map").bounding_box()["width"] / 8 < 3
    page.mouse.move(5, 5)


@pytest.mark.parametrize(("source_style", "target"), [("sans", "sans bold"), ("serif", "Times italic")])
def test_a_style_is_added_as_in_pytorch(here, source_style, target):
    page = here.page
    s, t = (made.style_names().index(style) for style in (source_style, target))
    k = letters.NAMES.index("R")
    if source_style != "sans":
        drawn(here, lambda: page.get_by_label("Its style").select_option(str(s)))
        drawn(here, lambda: page.get_by_label("Style that is aimed at").select_option(str(t)))
    errors = {name: float(error[k]) for name, error in made.style_errors(source_style, target).items()}
    found = page.evaluate(f"({{ codes: {NOW}.found.error, pixels: {NOW}.found.fadedError }})")
    assert found["codes"] == pytest.approx(errors["codes"], rel=0.03, abs=0.15)  # half precision is in it
    assert found["pixels"] == pytest.approx(errors["pixels"], rel=1e-3)
    z, x = carried_codes("letters"), made.carried(made.letters_by_style()).flatten(2) / 255
    change = made.of_the_others(z[:, t] - z[:, s])[k]
    close(found["codes"], (decoded("letters", (z[k, s] + change)[None])[0] - x[k, t]).square().sum(), 1e-3)
    here.until(f'{SUM}.startsWith("R, {source_style}, plus 1.00 times") && {SUM}.includes("true R, {target}:")')
    here.until(f"{NOW}.curves !== null", 15)
    at = page.evaluate(f"[{NOW}.amountAt(15), {NOW}.curves.errors[15], {NOW}.curves.fadedErrors[15]]")
    assert at == pytest.approx([1, found["codes"], found["pixels"]], abs=1e-3)
    drawn(here, lambda: page.get_by_role("slider", name="Amount").press("Home"))
    close(read(page, "found.coded"), decoded("letters", (z[k, s] - 0.5 * change)[None])[0], 1e-3)


def test_a_letter_turns_into_another(here):
    page = here.page
    other = page.get_by_label("Other letter")
    assert other.is_hidden()
    drawn(here, lambda: page.get_by_role("button", name="The letter", exact=True).click())
    assert other.is_visible() and page.evaluate(f"{NOW}.sum.amount") == 0.5
    drawn(here, lambda: other.select_option(str(letters.NAMES.index("e"))))
    drawn(here, lambda: page.get_by_role("slider", name="Amount").press("ArrowRight"))
    z, x = carried_codes("letters"), made.carried(made.letters_by_style()).flatten(2) / 255
    a, b = letters.NAMES.index("R"), letters.NAMES.index("e")
    s, t = (made.style_names().index(style) for style in ("sans", "sans bold"))
    assert page.evaluate(f"{NOW}.sum.amount") == pytest.approx(0.55)
    coded, faded = decoded("letters", z[a, s].lerp(z[b, t], 0.55)[None])[0], x[a, s].lerp(x[b, t], 0.55)
    close(read(page, "found.coded"), coded, 1e-3)
    close(read(page, "found.faded"), faded)
    distance = (coded - x.flatten(0, 1)).square().sum(1).min()
    assert page.evaluate(f"{NOW}.found.error") == pytest.approx(float(distance), rel=1e-3)
    here.until(f'{SUM}.startsWith("55 % of the way from R, sans to e, sans bold.")')
    here.until(f"{NOW}.curves !== null", 15)
    first, last = page.evaluate(f"[{NOW}.curves.fadedErrors[0], {NOW}.curves.fadedErrors[20]]")
    assert [first, last] == pytest.approx([0, 0], abs=1e-6)


def test_the_answer_says_what_happens(here):
    """The figures of the question's answer, measured anew in the page: with its codes, pictures and decoder."""
    page = here.page
    page.locator("summary").click()
    answer = page.locator("details p").inner_text()
    told = re.findall(r"from (\d+\.\d) to (\d+\.\d) \(on pixels (\d+\.\d); codes win for (\d+) of 52", answer)
    found = page.evaluate(
        """() => {
          const C = LatentCore, { styles } = Lab.data, codes = GB.load(Lab.data.codes).letters;
          const pictures = LatentCore.page.pictures, net = Lab.network("letters");
          const codeOf = (letter, style) => C.codeOf(codes, letter, style);
          const pictureOf = (letter, style) => pictures[letter * 16 + style];
          return ["sans bold", "sans italic", "monospace"].map((name) => {
            const s = styles.indexOf("sans"), t = styles.indexOf(name), sums = [0, 0, 0, 0];
            for (let k = 0; k < 52; k++) {
              const truth = pictureOf(k, t), z = C.moved(codeOf(k, s), C.difference(codeOf, 52, k, s, t), 1);
              const coded = C.inks(net(GB.tensor([1, 24], z)))[0];
              const faded = C.cut(C.moved(pictureOf(k, s), C.difference(pictureOf, 52, k, s, t), 1));
              const [a, b] = [C.squaredError(coded, truth), C.squaredError(faded, truth)];
              sums[0] += C.squaredError(pictureOf(k, s), truth) / 52;
              sums[1] += a / 52; sums[2] += b / 52; sums[3] += a < b;
            }
            return sums;
          });
        }"""
    )
    new = re.search(
        r"never had, codes win for (\d+) of (\d+), (\d+) of (\d+) and (\d+) of (\d+)\.", answer
    ).groups()
    seen = torch.tensor(made.letters_seen())
    for k, target in enumerate(("sans bold", "sans italic", "monospace")):
        errors, held_out = made.style_errors("sans", target), ~seen[:, made.style_names().index(target)]
        wins = int((errors["codes"] < errors["pixels"])[held_out].sum())
        assert new[2 * k : 2 * k + 2] == (str(wins), str(int(held_out.sum()))) and wins > held_out.sum() / 2
    assert len(told) == 3
    for texts, (nothing, coded, faded, wins) in zip(told, found, strict=True):
        assert [float(text) for text in texts[:3]] == pytest.approx([nothing, coded, faded], abs=0.07)
        assert int(texts[3]) == pytest.approx(wins, abs=2)
        assert coded < faded < nothing


@pytest.mark.timed
@pytest.mark.parametrize("way", ["drag", "amount"])
def test_interaction_is_quick(here, way):
    """From an event to the frame that shows it, in the median: at most 50 ms."""
    page = here.page
    here.until(f"{NOW}.filled >= 15", 30)
    if way == "amount":
        page.get_by_role("slider", name="Amount").focus()
    else:
        page.mouse.move(*place(page, (0, 0)))
        page.mouse.down()

    def act():
        for i in range(20):
            if way == "amount":
                page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
            else:
                page.mouse.move(*place(page, (math.cos(i), math.sin(i))))
            page.wait_for_timeout(60)

    assert here.wait_after("input" if way == "amount" else "pointermove", act, least=15) <= 50
