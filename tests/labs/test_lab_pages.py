"""The exporter and the page: what goes in, what is refused, and the furniture in a real browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from genbook.cli import labs as command
from genbook.labs import pages as module
from genbook.labs.pages import digest, export, layers, pack
from genbook.nn.images import ImageCritic

PNG = b"\x89PNG\r\n\x1a\n"


# ---- what goes in, and what is refused ---------------------------------------------------------------------
def test_the_same_inputs_give_the_same_file(tiny, tiny_parts, tmp_path):
    again = export(name="tiny", **tiny_parts, folder=tmp_path)
    assert again.read_bytes() == tiny.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.html"]


def test_the_page_keeps_to_itself(tiny):
    text = tiny.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert {"default-src 'none'", "img-src data:", "worker-src blob:"} <= {
        part.strip() for part in policy.split(";")
    }
    assert "unsafe-eval" not in policy
    assert not re.search(r"""(?:src|href)=["'](?!data:)|@import|url\((?!["']?data:)|\bimport\b|\bfetch\(""", text)
    assert "{{" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": " "}, "title must not be empty"),
        ({"alt": ""}, "alt must not be empty"),
        ({"ui": {}}, "ui must not be empty"),
        ({"ui": "'</SCRIPT>'"}, "ui must not contain </script"),
        ({"ui": {"one": "1", "two": "<!--"}}, "two must not contain"),
        ({"picture": "no picture"}, "picture must be an SVG as text or a PNG as bytes"),
        ({"picture": b"GIF89a"}, "picture must be an SVG as text or a PNG as bytes"),
    ],
)
def test_a_page_that_cannot_be_is_refused(change, message, tiny_parts, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        export(name="refused", folder=tmp_path, **tiny_parts | change)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "../x", "Gans", "a b"])
def test_a_name_is_a_word(name, tiny_parts, tmp_path):
    with pytest.raises(ValueError, match="name must be lower-case"):
        export(name=name, **tiny_parts, folder=tmp_path)


def test_a_broken_export_leaves_the_old_file(tmp_path, tiny_parts, monkeypatch):
    path = export(name="tiny", **tiny_parts, folder=tmp_path)
    before = path.read_bytes()

    def broken(*_):
        raise OSError("full")

    monkeypatch.setattr(module.os, "replace", broken)
    with pytest.raises(OSError, match="full"):
        export(name="tiny", **tiny_parts | {"title": "Another"}, folder=tmp_path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.html"]


def test_the_digest_tells_changed_inputs(monkeypatch):
    assert digest("a", "b") == digest("a", "b") != digest("ab")
    before = digest()
    monkeypatch.setattr(module, "source", lambda name: name)
    assert digest() != before


def test_int8_keeps_vectors_in_half_precision():
    packed = pack({"w": torch.ones(2, 3), "b": torch.ones(3)}, "int8")
    assert [packed[name]["type"] for name in "wb"] == ["int8", "float16"]
    assert packed["w"]["scale"] == pytest.approx([1 / 127] * 2)


@pytest.mark.parametrize(
    ("state", "precision", "error", "message"),
    [
        ({"w": torch.ones(2)}, "float64", ValueError, "precision must be one of float32, float16, int8"),
        ({"w": torch.tensor([1, 2])}, "float32", TypeError, "got w of torch.int64"),
        ({"w": torch.tensor([1.0, torch.nan])}, "float32", ValueError, "finite numbers, w does not"),
        ({"w": torch.tensor([1e5])}, "float16", ValueError, "up to 65504 for float16, w goes beyond"),
    ],
)
def test_weights_that_cannot_be_packed_are_refused(state, precision, error, message):
    with pytest.raises(error, match=re.escape(message)):
        pack(state, precision)


def test_tensors_may_stand_in_a_networks_place():
    tensors = {"w": torch.tensor([[0.5, -2.0, 3.0]]), "b": torch.tensor([0.25])}
    networks, weights = module.written({"machine": tensors, "net": nn.Linear(3, 1).eval()}, "float32")
    assert list(networks) == ["net"] and list(weights) == ["machine", "net"]
    assert weights["machine"] == pack(tensors, "float32")


class Reversed(nn.Sequential):
    def forward(self, x):
        for layer in reversed(list(self)):
            x = layer(x)
        return x


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)), TypeError, "1 is a LSTM, which no lab can run"),
        (ImageCritic((4,)), TypeError, "module is a ImageCritic, which no lab can run"),
        (Reversed(nn.Linear(2, 2)), TypeError, "module is a Reversed"),
        (nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 3, groups=2))), ValueError, "0.0 (Conv2d) has groups=2"),
        (nn.Conv2d(4, 4, 3, dilation=2), ValueError, "module (Conv2d) has dilation=(2, 2)"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), ValueError, "padding_mode='reflect'"),
        (nn.Conv2d(4, 4, 3, padding="same"), ValueError, "padding='same', the labs' runtime wants numbers"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), ValueError, "mode='bilinear'"),
        (nn.Upsample(scale_factor=1.5), ValueError, "scale_factor=1.5, expected one whole number"),
        (nn.BatchNorm2d(3, track_running_stats=False), ValueError, "track_running_stats=False"),
        (nn.LayerNorm((2, 3), elementwise_affine=False), ValueError, "several axes without weights"),
        (nn.MaxPool2d(2, ceil_mode=True), ValueError, "ceil_mode=True"),
        (nn.AvgPool2d(2, count_include_pad=False), ValueError, "count_include_pad=False"),
        (nn.Flatten(1, 2), ValueError, "end_dim=2"),
        (nn.Flatten(-2), ValueError, "start_dim=-2"),
        (nn.Unflatten(-1, (2, 2)), ValueError, "dim=-1"),
        (nn.Softmax(1), ValueError, "dim=1"),
        (nn.Softplus(beta=2), ValueError, "beta=2"),
    ],
)
def test_a_network_that_no_lab_can_run_is_refused(network, error, message):
    with pytest.raises(error, match=re.escape(message)):
        layers(network.eval())


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match=r"must be in eval\(\)"):
        layers(nn.Sequential(nn.Linear(1, 1)))


# ---- the page in a browser ---------------------------------------------------------------------------------
def test_the_cached_picture_gives_way_to_the_lab(tiny, visit, tiny_network):
    here = visit()
    page = here.open(tiny)
    assert page.title() == page.text_content("h1") == "A tiny lab & its <network>"
    assert page.is_hidden("#first-picture") and page.is_visible("canvas >> nth=0")
    assert page.evaluate("Lab.data.mark") == "</script><!--"
    found = page.evaluate("Array.from(tiny.net(GB.tensor([1, 3], [1, -2, 0.5])).data)")
    assert found == pytest.approx(tiny_network(torch.tensor([[1, -2, 0.5]])).flatten().tolist(), abs=1e-6)
    assert not here.faults


def test_the_cached_picture_stays_without_javascript_and_in_print(tiny, visit):
    page = visit(java_script_enabled=False).open(tiny, ready=False)
    assert page.is_visible("#first-picture svg[aria-label='A black triangle.']")
    assert page.is_visible("noscript p")
    here = visit(color_scheme="dark")
    page = here.open(tiny)
    page.emulate_media(media="print")
    assert page.is_visible("#first-picture svg") and page.is_hidden("#live")
    assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"


def test_the_cached_picture_stays_when_the_lab_fails(tiny_parts, visit, tmp_path):
    for number, ui in enumerate(
        ['Lab.start(() => { throw new Error("as asked"); });', 'throw new Error("as asked");']
    ):
        path = export(name=f"broken{number}", **tiny_parts | {"ui": ui}, folder=tmp_path)
        page = visit().open(path, ready=False)
        page.wait_for_selector("html[data-ready=failed]")
        assert page.is_visible("#first-picture svg")
        assert "The lab stopped: " in page.text_content("#result") and "as asked" in page.text_content("#result")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_furniture_is_accessible_and_fits(tiny, visit, scheme, width):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is missing: make test installs it"
    )
    here = visit(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = here.open(tiny)
    page.wait_for_timeout(200)
    assert page.evaluate("Lab.theme") == scheme
    found = axe.Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    assert not found, json.dumps(found, indent=1)[:2000]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, input[type=range], label.toggle")]
           .filter(e => e.getBoundingClientRect().height < 44).map(e => e.outerHTML)"""
    )
    assert small == []
    unnamed = page.evaluate("[...document.querySelectorAll('input, select')].filter(e => !e.labels.length).length")
    assert unnamed == 0
    assert not here.faults


def test_a_page_around_the_lab_chooses_the_theme(tiny, visit):
    assert visit().open(tiny, query="?theme=dark").evaluate("Lab.colour('truth')") == "#FFFFFF"
    here = visit(color_scheme="dark")
    page = here.open(tiny, query="?theme=light")
    assert page.evaluate("[Lab.theme, Lab.colour('truth'), Lab.colour('error')]") == [
        "light",
        "#000000",
        "#9400C8",
    ]
    page.evaluate("window.seen = 0; Lab.onTheme(() => { seen += 1; }); postMessage({ theme: 'dark' }, '*')")
    here.until("seen === 1")
    assert page.evaluate("Lab.colour('data')") == "#56B4E9"
    with pytest.raises(Exception, match="no colour is called pink"):
        page.evaluate("Lab.colour('pink')")


def test_the_keyboard_alone_drives_every_control(tiny, visit):
    here = visit(reduced_motion="reduce")
    page = here.open(tiny)

    def reach(selector):
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    reach("canvas[tabindex]")
    reach("button")
    assert page.text_content(":focus") == "Play"
    reach("button:nth-of-type(2)")
    page.keyboard.press("Enter")
    assert page.evaluate("tiny.steps.length") == 1
    reach("input[type=range]")
    page.keyboard.press("ArrowRight")
    assert page.text_content("output") == page.get_attribute(":focus", "aria-valuetext") == "21 a second"
    assert page.evaluate("tiny.loop.rate") == 21
    reach("select")
    page.keyboard.press("ArrowDown")
    reach("input[type=checkbox]")
    here.until("document.getElementById('result').textContent === 'moons'")
    page.keyboard.press("Space")
    here.until("document.getElementById('result').textContent === 'off'")


def test_what_is_said_is_said_at_most_once_a_second(tiny, visit):
    here = visit(reduced_motion="reduce")
    page = here.open(tiny)
    heard = page.evaluate(
        """async () => {
          const heard = [], result = document.getElementById("result");
          const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
          const hear = () => heard.push([performance.now(), result.textContent]);
          new MutationObserver(hear).observe(result, { childList: true });
          for (let i = 0; i < 120; i++) { Lab.say(`text ${i}`); await wait(20); }
          await wait(1100);
          return heard;
        }"""
    )
    assert 3 <= len(heard) <= 5 and heard[0][1] == "text 0" and heard[-1][1] == "text 119"
    assert min(b[0] - a[0] for a, b in pairwise(heard)) > 950


def test_time_runs_only_in_view_and_stops_when_asked(tiny, visit):
    here = visit(viewport={"width": 800, "height": 400})
    page = here.open(tiny)
    here.until("tiny.steps.length > 3")
    page.evaluate("document.body.style.paddingTop = '3000px'")  # the lab leaves the view
    page.wait_for_timeout(300)
    before = page.evaluate("tiny.steps.length")
    page.wait_for_timeout(400)
    assert page.evaluate("tiny.steps.length") == before and page.evaluate("tiny.loop.playing")
    page.evaluate("document.body.style.paddingTop = ''")
    here.until(f"tiny.steps.length > {before + 2}")
    page.click("text=Pause")
    before = page.evaluate("tiny.steps.length")
    page.wait_for_timeout(300)
    assert page.evaluate("tiny.steps.length") == before
    assert page.text_content("button") == "Play"


def test_reduced_motion_begins_paused(tiny, visit):
    here = visit(reduced_motion="reduce")
    page = here.open(tiny)
    page.wait_for_timeout(400)
    assert page.evaluate("[tiny.loop.playing, tiny.steps.length, Lab.reducedMotion]") == [False, 0, True]
    page.click("text=Play")
    here.until("tiny.steps.length > 2")


def test_a_loop_keeps_its_rate_and_ends_when_told(tiny, visit):
    here = visit(reduced_motion="reduce")
    page = here.open(tiny)
    counted = page.evaluate(
        """async () => {
          const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
          let slow = 0, fast = 0, once = 0;
          const loops = [Lab.loop(() => { slow += 1; }, { rate: 5, autoplay: false }),
                         Lab.loop(() => { fast += 1; }, { rate: 400, autoplay: false }),
                         Lab.loop(() => { once += 1; return false; }, { autoplay: false })];
          await wait(100);
          loops.forEach((loop) => loop.play());
          await wait(2000);
          loops.forEach((loop) => loop.pause());
          return { slow, fast, once, playing: loops[2].playing };
        }"""
    )
    assert 8 <= counted["slow"] <= 12
    assert counted["fast"] > 150  # several steps a frame, also where frames are slow
    assert (counted["once"], counted["playing"]) == (1, False)


def test_a_canvas_is_sharp_and_as_wide_as_there_is_room(tiny, visit):
    here = visit(device_scale_factor=2, viewport={"width": 390, "height": 800}, reduced_motion="reduce")
    page = here.open(tiny)
    width, height, pixels = page.evaluate("[tiny.view.width, tiny.view.height, tiny.view.element.width]")
    assert width < 390 and pixels == 2 * width and height == round(width / 5)
    page.set_viewport_size({"width": 900, "height": 800})
    here.until("tiny.view.width === 600")
    assert page.evaluate("tiny.view.element.width") == 1200
    page.locator("canvas").nth(1).click(position={"x": 30, "y": 20})
    here.until("document.getElementById('result').textContent === 'down at 30, 20'")


def test_a_finger_draws_as_the_mouse_does(tiny, visit):
    here = visit(has_touch=True, viewport={"width": 390, "height": 800}, reduced_motion="reduce")
    page = here.open(tiny)
    page.locator("canvas").nth(1).tap(position={"x": 40, "y": 10})
    here.until("document.getElementById('result').textContent.startsWith('down at')")


def test_heavy_work_runs_beside_the_page_from_a_file(tiny, visit):
    here = visit()
    page = here.open(tiny)
    threaded, answer = page.evaluate(
        """async () => { const work = GB.worker((GB) => (n) => GB.random(n).integer(1000));
        return [work.threaded, await work.call(5)]; }"""
    )
    assert threaded and answer == page.evaluate("GB.random(5).integer(1000)")
    assert not here.faults


# ---- the command -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", command.LABS)
def test_a_built_lab_is_up_to_date_and_small(name):
    lab, path = command.LABS[name], module.BUILT / f"{name}.html"
    assert path.exists(), f"{path} is missing: make labs"
    stored = re.search(r'<meta name="genbook-inputs" content="(\w+)">', path.read_text(encoding="utf-8"))[1]
    assert stored == command.inputs_of(lab), f"{name} was built from other inputs: make labs"
    assert path.stat().st_size <= 2_000_000


def test_no_built_lab_is_left_over():
    assert {path.stem for path in module.BUILT.glob("*")} <= set(command.LABS)


@pytest.fixture
def one_lab(tmp_path, monkeypatch):
    """A table of one lab, whose script lies in a folder of its own."""
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui" / "one.js").write_text("Lab.start(() => {});")
    for name in ("page.html", "runtime.js", "kit.js"):
        (tmp_path / name).write_text(module.source(name))
    monkeypatch.setattr(module, "HERE", tmp_path)
    drawn = command.distributions_picture
    return {"one": command.Lab("One", "Do this.", ("one.js",), drawn, "Three bumps.", data=lambda: {"a": [1]})}


def test_building_twice_gives_the_same_file(one_lab, tmp_path):
    first, second = (command.build_labs(tmp_path / folder, labs=one_lab)[0] for folder in "ab")
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    assert (
        'id="script-one"' in text
        and "data:image/png;base64," in text
        and command.inputs_of(one_lab["one"]) in text
    )


def test_every_input_counts(one_lab, tmp_path):
    lab = one_lab["one"]
    seen = {command.inputs_of(lab)}
    texts = [{"title": "Two"}, {"description": "x"}, {"alt": "x"}]
    made = [{"data": lambda: {"a": [2]}}, {"models": lambda: {"w": nn.Linear(1, 1).eval()}}]
    programs = [{"picture": command.gans_picture}, {"computed": command.gans_data}]
    for change in [*texts, *made, *programs]:
        seen.add(command.inputs_of(replace(lab, **change)))
    (tmp_path / "ui" / "one.js").write_text("Lab.start(() => { /* changed */ });")
    seen.add(command.inputs_of(lab))
    assert len(seen) == 9


def test_what_is_computed_is_carried_beside_the_data(one_lab, tmp_path, visit):
    labs = {"one": replace(one_lab["one"], computed=lambda: {"b": [2, 3]})}
    page = visit().open(command.build_labs(tmp_path, labs=labs)[0])
    assert page.evaluate("[Lab.data.a, Lab.data.b]") == [[1], [2, 3]]


def test_an_unknown_lab_is_refused(tmp_path):
    names = "attention, distributions, gans, markov_models, gpt, rbms, autoencoders, vaes"
    with pytest.raises(ValueError, match=f"no lab is called magic; there are: {names}$"):
        command.build_labs(tmp_path, ["magic"])
