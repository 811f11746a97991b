"""The lab on attention: where heads look, switching them off, by mouse, finger and keys, against PyTorch."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial

import hands
import pytest
import torch
from hands import close, labelled, opened, tab_to

from genbook.cli import text_labs as made
from genbook.labs.pages import BUILT

FILE = BUILT / "attention.html"
NOW = "GptCore.page"
SAID = 'document.getElementById("result").textContent'


@pytest.fixture
def here(visit):
    """The lab, opened; it must end without an error."""
    yield from opened(visit, FILE)


drawn = partial(hands.drawn, now=NOW, more=f"{NOW}.state.ready")


def sentence():
    """The tokens of the first sentence, without the start token."""
    return made.prose_gpt()[1].encode(made.SENTENCE)


def sizes():
    model = made.rounded()
    return len(model.blocks), model.blocks[0].attention.heads


def laws(tokens, off=()):
    """The law of what follows each place, by PyTorch with the weights that the page carries."""
    model = made.rounded()
    with ExitStack() as stack, torch.no_grad():
        for layer, head in off:
            stack.enter_context(made.head_off(model, layer, head))
        return model(torch.tensor([[model.start, *tokens]]))[0].double().softmax(-1)


def divergence(p, q):
    return float((p * (p / q).log()).sum())


def state(here, what):
    return here.page.evaluate(f"{NOW}.state.{what}")


def test_its_size_leaves_room():
    assert FILE.stat().st_size < 1_990_000


def test_heads_look_where_pytorch_s_look(here):
    tokens = sentence()
    assert state(here, "ids") == [made.rounded().start, *tokens]
    found = here.page.evaluate(
        f"""() => {{ const {{ look, state }} = {NOW}, {{ layers, heads }} = Lab.data.shape;
          return Array.from({{ length: layers }}, (_, layer) => Array.from({{ length: heads }}, (_, head) =>
            state.ids.map((_, from) => state.ids.map((_, to) =>
              to <= from ? look(to, layer, head, from) : 0)))); }}"""
    )
    close(found, made.looks(made.rounded(), torch.tensor([tokens]))[:, 0], 1e-5)


def test_what_follows_every_token_equals_pytorch(here):
    found = here.page.evaluate(f"{NOW}.laws.map((law) => Array.from(law))")
    close(found, laws(sentence()), 1e-5)


def test_it_begins_with_the_head_that_looks_back_one(here):
    previous = made.heads_measured()["previous"]
    best = divmod(int(previous.argmax()), previous.shape[1])
    assert (state(here, "layer"), state(here, "head")) == best
    assert state(here, "at") == 0 or state(here, "at") == len(sentence())
    here.until(f'{SAID}.includes("looks, by layer {best[0] + 1}, head {best[1] + 1}, at ")')


def test_the_mouse_over_a_token_shows_where_it_looks(here):
    page = here.page
    drawn(here, lambda: page.locator(".a-tokens > div").nth(7).hover())
    assert state(here, "at") == 7
    layer, head = state(here, "layer"), state(here, "head")
    row = made.looks(made.rounded(), torch.tensor([sentence()]))[layer, 0, head, 7]
    for place in range(8):
        text = page.locator(".a-tokens > div").nth(place).locator("small").inner_text()
        assert text == (f"{100 * float(row[place]):.0f} %" if row[place] >= 0.005 else ""), place
    assert page.locator(".a-tokens > div").nth(8).get_attribute("aria-label").endswith("later, not seen")
    assert page.evaluate(f"{NOW}.lines") == int((row[:7] >= 0.03).sum())
    order = row[:8].argsort(descending=True)
    assert page.evaluate(f"{NOW}.looks()[0][0]") == int(order[0])
    assert page.get_by_text(f"What follows {page.evaluate(f'{NOW}.labels[{NOW}.state.ids[7]]')}").count() >= 1


def test_a_finger_chooses_a_token_and_a_head(visit):
    here = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = here.open(FILE)
    drawn(here, lambda: page.locator(".a-tokens > div").nth(5).tap())
    assert state(here, "at") == 5
    layers, heads = sizes()
    page.locator("canvas.a-grid").scroll_into_view_if_needed()
    box = page.locator("canvas.a-grid").bounding_box()
    x = box["x"] + (heads - 0.6) * box["width"] / heads
    drawn(here, lambda: page.touchscreen.tap(x, box["y"] + 1.4 * box["height"] / layers))
    assert (state(here, "layer"), state(here, "head")) == (1, heads - 1)
    assert here.faults == []


def test_switching_a_head_off_changes_what_follows_as_in_pytorch(here):
    page, tokens = here.page, sentence()
    drawn(here, lambda: page.get_by_label("Head", exact=True).select_option(str(sizes()[1] + 1)))
    assert (state(here, "layer"), state(here, "head")) == (1, 1)
    switch = page.get_by_role("button", name="Switch head 2.2")
    assert switch.inner_text() == "Switch head 2.2 off"
    drawn(here, switch.click)
    assert switch.inner_text() == "Switch head 2.2 on" and state(here, "off") == [[1, 1]]
    close(page.evaluate(f"{NOW}.lawsOff.map((law) => Array.from(law))"), laws(tokens, [(1, 1)]), 1e-5)
    drawn(here, lambda: page.get_by_label("Head", exact=True).select_option("2"))
    drawn(here, page.get_by_role("button", name="Switch head 1.3").click)
    off = [(1, 1), (0, 2)]
    close(page.evaluate(f"{NOW}.lawsOff.map((law) => Array.from(law))"), laws(tokens, off), 1e-5)
    whole, now, at = laws(tokens), laws(tokens, off), state(here, "at")
    text = page.locator(".picture").inner_text()
    assert "Off: head 2.2, 1.3." in text
    told = float(re.search(r"next token changed by (\d+\.\d+) nats", text)[1])
    assert told == pytest.approx(divergence(whole[at], now[at]), abs=6e-4)
    row = page.locator(".t-bar").nth(0)
    best = int(whole[at].argmax())
    assert row.locator(".t-name").inner_text() == page.evaluate(f"{NOW}.labels[{best}]")
    numbers = re.findall(r"([\d.]+) %", row.locator(".t-number").inner_text())
    assert [float(n) for n in numbers] == pytest.approx(
        [100 * float(whole[at, best]), 100 * float(now[at, best])], abs=0.6
    )
    drawn(here, page.get_by_role("button", name="All heads on").click)
    assert state(here, "off") == [] and page.get_by_role("button", name="All heads on").is_disabled()


def test_each_head_in_turn(here):
    page, tokens = here.page, sentence()
    drawn(here, lambda: page.locator(".a-tokens > div").nth(9).click())
    page.get_by_role("button", name="Switch off each in turn").click()
    here.until(f"{NOW}.state.effects !== null", 60)
    whole, (layers, heads) = laws(tokens)[9], sizes()
    truth = [
        [divergence(whole, laws(tokens, [(layer, head)])[9]) for head in range(heads)] for layer in range(layers)
    ]
    close(state(here, "effects"), torch.tensor(truth), 1e-5)
    best = divmod(int(torch.tensor(truth).argmax()), heads)
    here.until(f'{SAID}.startsWith("Switched off alone, layer {best[0] + 1}, head {best[1] + 1} changes")')
    drawn(here, lambda: page.locator(".a-tokens > div").nth(4).click())
    assert state(here, "effects") is None


def test_an_edited_sentence_is_read_anew(here):
    page, coder = here.page, made.prose_gpt()[1]
    text = "A naïve café 👍 is an object"
    drawn(here, lambda: page.get_by_role("textbox").fill(text))
    tokens = coder.encode(text)
    assert state(here, "ids")[1:] == tokens and page.locator(".a-tokens > div").count() == len(tokens) + 1
    close(page.evaluate(f"{NOW}.laws.map((law) => Array.from(law))"), laws(tokens), 1e-5)
    assert state(here, "at") == len(tokens), "the last token stays marked"
    drawn(here, lambda: page.get_by_role("textbox").fill(text[:-3]))
    close(page.evaluate(f"{NOW}.laws.map((law) => Array.from(law))"), laws(coder.encode(text[:-3])), 1e-5)
    drawn(here, lambda: page.get_by_role("textbox").fill(""))
    assert state(here, "ids") == [made.rounded().start]
    drawn(here, lambda: page.get_by_role("textbox").fill("one two three " * 30))
    assert len(state(here, "ids")) == 41
    here.until(f'{SAID}.includes("tokens too many: the first 40 are read.")')


def test_a_reader_gets_through_by_keyboard(here):
    page = here.page
    tab_to(page, labelled("The sentence"))
    page.keyboard.press("Control+End")
    drawn(here, lambda: page.keyboard.type("!"))
    last = len(made.prose_gpt()[1].encode(made.SENTENCE + "!"))
    assert state(here, "at") == last
    tab_to(page, 'e.classList.contains("a-tokens")')
    drawn(here, lambda: page.keyboard.press("ArrowLeft"))
    drawn(here, lambda: page.keyboard.press("ArrowLeft"))
    assert state(here, "at") == last - 2
    drawn(here, lambda: page.keyboard.press("Home"))
    drawn(here, lambda: page.keyboard.press("ArrowRight"))
    assert state(here, "at") == 1
    tab_to(page, 'e.classList.contains("a-grid")')
    layer, head = state(here, "layer"), state(here, "head")
    drawn(here, lambda: page.keyboard.press("ArrowDown" if layer == 0 else "ArrowUp"))
    drawn(here, lambda: page.keyboard.press("ArrowRight" if head == 0 else "ArrowLeft"))
    now = (1 if layer == 0 else layer - 1, 1 if head == 0 else head - 1)
    assert (state(here, "layer"), state(here, "head")) == now
    drawn(here, lambda: page.keyboard.press("Enter"))
    assert state(here, "off") == [list(now)]
    tab_to(page, 'e.tagName === "SUMMARY"')
    tab_to(page, labelled("Head"))
    drawn(here, lambda: page.keyboard.press("Home"))
    assert (state(here, "layer"), state(here, "head")) == (0, 0)
    tab_to(page, 'e.textContent === "All heads on"')
    drawn(here, lambda: page.keyboard.press("Enter"))
    assert state(here, "off") == []


def test_the_answer_says_what_was_measured(here):
    """Measured anew, head by head: the shares of a loop over places, the worth by switching off."""
    model, tokens = made.rounded(), made.validation()[0]
    starts = torch.linspace(0, len(tokens) - made.WINDOW, made.WINDOWS).long()
    windows = torch.stack([tokens[k : k + made.WINDOW] for k in starts.tolist()])
    maps = made.looks(model, windows)
    share = sum(maps[..., t, t - 1].mean(1) for t in range(1, made.WINDOW + 1)) / made.WINDOW
    found = here.page.evaluate("Lab.data.measured")
    close(found["previous"], share, 2e-3)
    heads = share.shape[1]
    assert maps.sum(-1).allclose(torch.ones(()), atol=1e-5)
    best = divmod(int(share.argmax()), heads)
    with torch.no_grad():
        whole = -float(model.token_log_prob(windows).mean())
        with made.head_off(model, *best):
            worth = -float(model.token_log_prob(windows).mean()) - whole
    assert found["worth"][best[0]][best[1]] == pytest.approx(worth, abs=2e-3)
    here.page.locator("summary").click()
    answer = here.page.locator("details p").inner_text()
    assert answer.startswith(f"Head {best[1] + 1} of layer {best[0] + 1}.")
    assert f"it gives {100 * float(share.max()):.0f} % of its weight" in answer


@pytest.mark.timed
@pytest.mark.parametrize("way", ["token", "head"])
def test_interaction_is_quick(here, way):
    """From an event to the frame that shows it, in the median: at most 50 ms."""
    page = here.page
    page.locator(".a-tokens" if way == "token" else "canvas.a-grid").focus()

    def act():
        for i in range(16):
            page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
            page.wait_for_timeout(60)

    assert here.wait_after("keydown", act, least=15) <= 50
