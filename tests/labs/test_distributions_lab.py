"""The lab on distributions: its arithmetic equals the library's, and all of it can be used without a mouse."""

from __future__ import annotations

import math

import pytest
import torch

from genbook.cli.labs import build_labs
from genbook.data.truths import Mixture1D
from genbook.models.kernel_density import KernelDensity, silverman_bandwidth
from genbook.models.mixture import GaussianMixture

TRUTH = Mixture1D([0.25, 0.55, 0.2], [-2.5, 0.3, 2.6], [0.45, 0.9, 0.3])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The lab, built from today's scripts."""
    return build_labs(tmp_path_factory.mktemp("labs"), ["distributions"])[0]


@pytest.fixture
def page(visit, lab):
    """The lab, at rest."""
    return visit(reduced_motion="reduce").open(lab)


@pytest.fixture
def call(page):
    """A function that calls one of the lab's own on plain numbers and lists."""

    def run(name, *arguments):
        return page.evaluate(
            """([name, given]) => {
              const D = GB.distributions;
              const each = (v) => Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]));
              const plain = (v) => ArrayBuffer.isView(v) ? Array.from(v) : v?.constructor === Object ? each(v) : v;
              return plain(D[name](...given));
            }""",
            [name, [a.tolist() if isinstance(a, torch.Tensor) else a for a in arguments]],
        )

    return run


@pytest.fixture
def x():
    """Two hundred numbers."""
    return TRUTH.sample(200, generator=torch.Generator().manual_seed(5)).double()


# ---- the arithmetic ------------------------------------------------------------------------------------------
def test_the_first_density_is_the_books_own(page):
    drawn = torch.tensor(page.evaluate("Array.from(GB.distributions.page.density)"), dtype=torch.float64)
    middles = -6 + (torch.arange(240, dtype=torch.float64) + 0.5) / 20
    exact = TRUTH.log_prob(middles[:, None]).exp()
    assert (drawn - exact).abs().max() < 2e-3  # flat in cells of 0.05, cut off at ±6
    assert drawn.sum().item() / 20 == pytest.approx(1, abs=1e-9)


def test_closed_form_and_gradient(call, x):
    column = x[:, 0]
    best = call("closedForm", column)
    assert best["mean"] == pytest.approx(column.mean().item(), abs=1e-12)
    assert best["scale"] == pytest.approx(column.std(correction=0).item(), abs=1e-12)
    theta = torch.tensor([0.4, math.log(1.7)], dtype=torch.float64, requires_grad=True)
    score = torch.distributions.Normal(theta[0], theta[1].exp()).log_prob(column).mean()
    score.backward()
    here = {"mean": 0.4, "scale": 1.7}
    slope = call("gaussianGradient", column, here)
    assert call("gaussianScore", column, here) == pytest.approx(score.item(), abs=1e-12)
    assert [slope["mean"], slope["logScale"]] == pytest.approx(theta.grad.tolist(), abs=1e-12)
    at_best = call("gaussianGradient", column, best)
    assert max(map(abs, at_best.values())) < 1e-12


def test_em_is_that_of_the_library_round_for_round(page, x):
    weights, means, scales = [0.3, 0.3, 0.4], [-3.0, 0.0, 2.0], [1.0, 0.7, 1.2]
    model = GaussianMixture(3, ridge=1e-4).double()
    model.set_parameters(
        *(torch.tensor(v).double() for v in (weights, [[m] for m in means], [[[s * s]] for s in scales]))
    )
    ours = page.evaluate(
        """([x, weights, means, scales]) => {
          const D = GB.distributions;
          let theta = { weights, means, scales };
          const history = [];
          for (let round = 0; round < 12; round += 1) {
            const { r, score } = D.expect(x, theta);
            history.push(score);
            theta = D.maximise(x, r, 1e-4);
          }
          const arrays = Object.fromEntries(Object.entries(theta).map(([k, v]) => [k, Array.from(v)]));
          return { history, ...arrays, density: D.mixtureDensity(theta, 0.7) };
        }""",
        [x[:, 0].tolist(), weights, means, scales],
    )
    model.fit(x, steps=12, tolerance=-1.0, initialise=False)
    assert ours["history"] == pytest.approx(model.history[:12], abs=1e-5)
    order = model.means[:, 0].argsort()
    for name, theirs in (("weights", model.weights), ("means", model.means[:, 0]),
                         ("scales", model.covariances[:, 0, 0].sqrt())):  # fmt: skip
        assert sorted(ours[name]) == pytest.approx(sorted(theirs[order].tolist()), abs=1e-4), name
    expected = model.log_prob(torch.tensor([[0.7]], dtype=x.dtype)).exp().item()
    assert ours["density"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("h", [0.02, 0.3, 2.0])
def test_kernels_are_those_of_the_library(call, x, h):
    places = torch.linspace(-5.5, 5.5, 45, dtype=torch.float64)
    ours = torch.tensor(call("kernelLogProb", places, x[:, 0], h), dtype=torch.float64)
    theirs = KernelDensity(h).fit(x).log_prob(places[:, None])
    assert ((ours - theirs).abs() / (1 + theirs.abs())).max() < 1e-9
    assert call("silverman", x[:, 0]) == pytest.approx(silverman_bandwidth(x), rel=1e-9)


def test_inverse_transform_undoes_the_cumulative_and_draws_the_law(page):
    counts = page.evaluate(
        """() => {
          const D = GB.distributions, p = D.normalise(D.heights(D.PRESETS.slope));
          for (const u of [0, 0.25, 0.5, 0.999]) {
            const x = D.inverse(p, u), j = Math.floor((x - D.LOW) / p.width + 1e-12);
            const back = p.cumulative[j] + p.density[j] * (x - D.LOW - j * p.width);
            if (Math.abs(back - u) > 1e-9) throw new Error(`F(F⁻¹(${u})) = ${back}`);
          }
          const { x } = D.draw(p, 20000, GB.random(3)), seen = new Array(12).fill(0);
          for (const value of x) seen[Math.floor(value + 6)] += 1;
          return seen.map((n, b) => [n, 20000 * (p.cumulative[20 * (b + 1)] - p.cumulative[20 * b])]);
        }"""
    )
    squares = [(seen - due) ** 2 / due for seen, due in counts if due > 5]
    assert sum(squares) < 32  # chi-square, at most 11 degrees of freedom: p > 0.0005
    assert all(seen == 0 for seen, due in counts if due == 0)


@pytest.mark.parametrize("kind", ["flat", "Gaussian"])
def test_rejection_keeps_the_promised_share_and_the_right_law(page, kind):
    kept, share, misplaced = page.evaluate(
        """(kind) => {
          const D = GB.distributions, p = D.normalise(D.heights(D.PRESETS["three humps"]));
          const cover = D.envelope(p, kind, 1), random = GB.random(11), counts = new Float64Array(48);
          let kept = 0;
          for (let i = 0; i < 40000; i += 1) {
            const { x, kept: yes } = D.dart(p, cover, random);
            if (yes) { kept += 1; counts[Math.floor((x - D.LOW) * 4)] += 1; }
          }
          return [kept / 40000, cover.share, D.misplaced(counts, p)];
        }""",
        kind,
    )
    assert kept == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 40000))
    assert misplaced < 0.03


def test_metropolis_leaves_its_law_alone_and_counts_refusals(page):
    with_repeats, without, moved = page.evaluate(
        """() => {
          const D = GB.distributions, p = D.normalise(D.heights(D.PRESETS["three humps"])), random = GB.random(4);
          const all = new Float64Array(48), accepted = new Float64Array(48);
          let x = 0, moves = 0;
          for (let i = 0; i < 200000; i += 1) {
            const one = D.metropolis(x, (at) => D.density(p, at), 2, random);
            x = one.x;
            all[Math.floor((x - D.LOW) * 4)] += 1;
            if (one.moved) { moves += 1; accepted[Math.floor((x - D.LOW) * 4)] += 1; }
          }
          return [D.misplaced(all, p), D.misplaced(accepted, p), moves / 200000];
        }"""
    )
    assert with_repeats < 0.03 < without
    assert 0.2 < moved < 0.8


def test_what_a_chain_is_worth(page):
    """An autoregressive chain of coefficient a is worth n (1 - a) / (1 + a) independent draws."""
    for a in (0.0, 0.6, 0.9):
        worth = page.evaluate(
            """(a) => {
              const random = GB.random(8), chain = [0];
              for (let i = 1; i < 20000; i += 1) chain.push(a * chain[i - 1] + random.normal());
              return GB.distributions.worth(chain);
            }""",
            a,
        )
        assert worth == pytest.approx(20000 * (1 - a) / (1 + a), rel=0.2)


def test_an_empty_drawing_is_refused(call):
    with pytest.raises(Exception, match="raw must have a positive, finite area"):
        call("normalise", [0.0, 0.0])


# ---- the page ------------------------------------------------------------------------------------------------
def said(page):
    return page.locator("#result").inner_text()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def focus(page, text):
    """Go by the Tab key to the control of this name."""
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => {
              const e = document.activeElement;
              return e.labels?.length ? e.labels[0].textContent : e.getAttribute("aria-label") ?? e.textContent;
            }"""
        )
        if name.strip().startswith(text):
            return
    raise AssertionError(f"the Tab key does not reach {text!r}")


def test_by_keyboard_alone_draw_fit_and_sample(visit, lab):
    here = visit(reduced_motion="reduce")
    page = here.open(lab)
    before = page.evaluate("Array.from(GB.distributions.page.density)")
    focus(page, "Your density over x")
    press(page, *["ArrowRight"] * 5, *["ArrowUp"] * 8)
    here.until("document.getElementById('result').textContent.startsWith('At x = 1.0')")
    after = page.evaluate("Array.from(GB.distributions.page.density)")
    assert after[140] > before[140] and sum(after) / 20 == pytest.approx(1)

    page.evaluate("document.activeElement.blur()")
    focus(page, "2 Fit")
    press(page, "Enter")
    focus(page, "Mixture, EM")
    press(page, "Enter")
    for step in ("E-step", "M-step"):
        focus(page, step)
        press(page, "Space")
    here.until("document.getElementById('result').textContent.startsWith('Round 1: log-likelihood')")

    page.evaluate("document.activeElement.blur()")
    focus(page, "3 Sample")
    press(page, "Enter")
    focus(page, "Speed")
    press(page, "End")
    page.evaluate("document.activeElement.blur()")
    focus(page, "Play")
    press(page, "Space")
    here.until("/^[1-9][\\d,]{2,} darts/.test(document.getElementById('result').textContent)", seconds=10)
    focus(page, "Pause") if page.evaluate("document.activeElement.textContent") != "Pause" else None
    press(page, "Space")
    page.wait_for_timeout(1300)
    resting = said(page)
    page.wait_for_timeout(1300)
    assert said(page) == resting and "acceptance rate" in resting
    assert not here.faults


def test_a_finger_draws_a_density(visit, lab):
    here = visit(has_touch=True, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page = here.open(lab)
    before = page.evaluate("Array.from(GB.distributions.page.density)")
    canvas = page.locator("canvas").first
    canvas.tap(position={"x": 300, "y": 60})
    here.until("document.querySelector('select').value === 'own'")
    assert page.evaluate("Array.from(GB.distributions.page.density)") != before
    assert not here.faults


def test_the_same_seed_gives_the_same_points_and_another_others(visit, lab):
    first, second = (visit(reduced_motion="reduce").open(lab) for _ in range(2))
    points = "Array.from(GB.distributions.page.data)"
    assert first.evaluate(points) == second.evaluate(points)
    focus(second, "Seed")
    press(second, "ArrowRight")
    assert first.evaluate(points) != second.evaluate(points)


@pytest.mark.timed
def test_a_stroke_and_a_slider_are_answered_within_50_ms(visit, lab):
    here = visit(reduced_motion="reduce")
    page = here.open(lab)
    box = page.locator("canvas").first.bounding_box()

    def stroke():
        page.mouse.move(box["x"] + 80, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + 500, box["y"] + 90, steps=60)
        page.mouse.up()

    assert here.wait_after("pointermove", stroke, least=30) <= 50
    page.get_by_role("button", name="2 Fit").click()
    page.get_by_role("button", name="Kernels").click()
    focus(page, "Bandwidth")

    def narrower_and_wider():
        press(page, *["ArrowLeft"] * 20, *["ArrowRight"] * 20)

    assert here.wait_after("input", narrower_and_wider, least=30) <= 50
