"""The lab on Markov models: the library's numbers, draws by their chances, a page for the keyboard too."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from hands import close, labelled, tab_to
from scipy import stats

from genbook.cli.labs import build_labs, markov_text
from genbook.labs.pages import source
from genbook.models.ngram import NGram
from genbook.prob.smoothing import AddK, KneserNey, WittenBell

TEXT = "abracadabra, a cab; a bad crab. " * 3 + "drab dada cards"
RULES = {"add-k": AddK(0.3), "witten-bell": WittenBell(), "kneser-ney": KneserNey()}
each_rule = pytest.mark.parametrize("rule", RULES)
NOW = "MarkovCore.page"
SAID = "document.getElementById('result').textContent"


def encode(text, alphabet):
    return torch.tensor([[alphabet.index(character) for character in text]])


@pytest.fixture(scope="module")
def core(scripted):
    """A page that holds the arithmetic of the lab, and what it counts of a small text."""
    page = scripted([source("ui/markov_core.js")])
    page.evaluate("(text) => { window.model = MarkovCore.count(text); }", TEXT)
    return page


# ---- the arithmetic ---------------------------------------------------------------------------------------------
@each_rule
@pytest.mark.parametrize("context", [0, 1, 3, 8])
def test_chances_equal_the_librarys(core, rule, context):
    alphabet = sorted(set(TEXT))
    ours = NGram(len(alphabet), context, RULES[rule]).fit(encode(TEXT, alphabet))
    befores = ["", "a", "abra", "crab. abracadab", "ddddd", "a;a;a;a;a;", "cards", ", a ca"]
    found = core.evaluate(
        "({ befores, options }) => befores.map((b) => Array.from(MarkovCore.chances(model, b, options).chances))",
        {"befores": befores, "options": {"rule": rule, "context": context, "k": 0.3}},
    )
    assert core.evaluate("model.characters") == alphabet
    for before, chances in zip(befores, found, strict=True):
        tokens = encode(before, alphabet) if before else torch.zeros(1, 0, dtype=torch.int64)
        close(chances, ours.next_probabilities(tokens)[0], 1e-12)


@each_rule
@pytest.mark.parametrize("context", [0, 2, 8])
def test_scores_equal_the_librarys(core, rule, context):
    alphabet, fresh = sorted(set(TEXT)), "a bad card; cab, bar."
    ours = NGram(len(alphabet), context, RULES[rule]).fit(encode(TEXT, alphabet))
    found = core.evaluate(
        "({ fresh, options }) => MarkovCore.score(model, fresh, options)",
        {"fresh": fresh, "options": {"rule": rule, "context": context, "k": 0.3}},
    )
    expected = -ours.token_log_prob(encode(fresh, alphabet)).mean().item()
    assert found["nats"] == pytest.approx(expected, abs=1e-12)
    assert (found["impossible"], found["length"]) == (0, len(fresh))


def test_without_smoothing_chances_are_relative_frequencies(core):
    def ask(before, context):
        options = {"rule": "none", "context": context}
        asked = "([b, options]) => { const r = MarkovCore.chances(model, b, options); return [...r.chances]; }"
        return dict(zip(core.evaluate("model.characters"), core.evaluate(asked, [before, options]), strict=True))

    after = {c: TEXT.count("ab" + c) for c in sorted(set(TEXT))}
    for character, chance in ask("dab", 2).items():
        assert chance == pytest.approx(after[character] / sum(after.values()), abs=1e-15)
    assert set(ask("zzz", 2).values()) == {0}
    options = {"rule": "none", "context": 3}
    found = core.evaluate("([t, o]) => MarkovCore.score(model, t, o)", ["crab cards", options])
    padded, nats, impossible = "\0\0\0crab cards", [], 0
    counted = "\0\0\0" + TEXT
    for i in range(3, len(padded)):
        gram, context = padded[i - 3 : i + 1], padded[i - 3 : i]
        times = sum(counted[j : j + 4] == gram for j in range(len(counted) - 3))
        total = sum(counted[j : j + 3] == context for j in range(len(counted) - 3))
        impossible += times == 0
        nats += [-math.log(times / total)] if times else []
    assert found["impossible"] == impossible > 0
    assert found["nats"] == pytest.approx(sum(nats) / len(nats), abs=1e-12)


@each_rule
def test_the_shares_of_the_contexts_and_the_rest_make_one(core, rule):
    options = {"rule": rule, "context": 4, "k": 0.3}
    for before in ("abra", "zzzz", "a cab", "dada"):
        found = core.evaluate("([b, o]) => MarkovCore.chances(model, b, o)", [before, options])
        shares = [step["weight"] for step in found["way"]]
        assert sum(shares) + found["uniform"] == pytest.approx(1, abs=1e-12)
        assert min(shares) >= 0 and found["uniform"] > 0
        for step in found["way"]:
            assert step["context"] == before[len(before) - len(step["context"]) :]
            if rule == "witten-bell":
                assert step["total"] == sum(
                    step["context"] + c in TEXT and count(step["context"] + c) for c in set(TEXT)
                )


def count(gram):
    return sum(TEXT[i : i + len(gram)] == gram for i in range(len(TEXT)))


def test_draws_follow_the_chances(core):
    chances = [0.1, 0.0, 0.55, 0.35]
    grid = (np.arange(1000) + 0.5) / 1000
    found = core.evaluate("([c, us]) => us.map((u) => MarkovCore.draw(c, u))", [chances, grid.tolist()])
    assert np.bincount(found, minlength=4).tolist() == [100, 0, 550, 350]
    assert core.evaluate("MarkovCore.draw([0, 0], 0.3)") == -1
    assert core.evaluate("MarkovCore.draw([0.5, 0.4999999, 0], 0.99999999)") == 1


# ---- the page ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def built(tmp_path_factory):
    (path,) = build_labs(tmp_path_factory.mktemp("labs"), ["markov_models"])
    return path


@pytest.fixture
def here(built, visit):
    one = visit(reduced_motion="reduce")
    one.open(built)
    yield one
    assert not one.faults, one.faults


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("context", [4, 8])
def test_the_page_scores_this_books_sentences_as_the_library_does(here, rule, context):
    alphabet, known, fresh = markov_text()
    smoothing = AddK(0.1) if rule == "add-k" else RULES[rule]
    ours = NGram(len(alphabet), context, smoothing).fit(known)
    options = {"rule": rule, "context": context, "k": 0.1}
    found = here.page.evaluate(f"(o) => MarkovCore.score({NOW}.model, {NOW}.fresh, o)", options)
    assert here.page.evaluate(f"{NOW}.model.characters") == alphabet
    assert found["length"] == fresh.shape[1] and found["impossible"] == 0
    assert found["nats"] == pytest.approx(-ours.token_log_prob(fresh).mean().item(), abs=1e-9)
    before = "What the machine "
    shown = here.page.evaluate(f"(o) => [...MarkovCore.chances({NOW}.model, {before!r}, o).chances]", options)
    close(shown, ours.next_probabilities(encode(before, alphabet))[0], 1e-9)


def test_the_answer_says_what_is_so(here):
    options = {"rule": "none", "context": 8}
    found = here.page.evaluate(f"(o) => MarkovCore.score({NOW}.model, {NOW}.fresh, o)", options)
    told = int(re.search(r"calls (\d+) % impossible", source("ui/markov_models.js"))[1])
    assert round(100 * found["impossible"] / found["length"]) == told


def test_a_reader_gets_through_by_keyboard_alone(here):
    page = here.page
    tab_to(page, 'e.tagName === "TEXTAREA"')
    page.keyboard.press("Control+A")
    page.keyboard.type("the lear")
    assert page.evaluate(f"{NOW}.before") == "the lear"
    here.until(f'{SAID}.startsWith("After “the␣lear”: n ")')
    tab_to(page, labelled("Context"))
    page.keyboard.press("End")
    assert page.evaluate(f"{NOW}.state.context") == 8 and len(page.evaluate(f"{NOW}.seen.way")) == 9
    tab_to(page, 'e.textContent === "None"')
    page.keyboard.press("Space")
    assert page.evaluate(f"{NOW}.scored.impossible") > 0
    assert "perplexity ∞" in page.locator(".m-score").inner_text()
    tab_to(page, 'e.textContent === "Add k"')
    page.keyboard.press("Space")
    tab_to(page, labelled("k, for Add k"))
    page.keyboard.press("Home")
    assert page.evaluate(f"{NOW}.state.k") == pytest.approx(0.01)
    tab_to(page, 'e.textContent === "One character"')
    for _ in range(3):
        page.keyboard.press("Space")
    assert len(page.evaluate(f"{NOW}.generated")) == 3
    tab_to(page, 'e.textContent === "Start again"')
    page.keyboard.press("Space")
    assert page.evaluate(f"{NOW}.generated") == ""
    tab_to(page, labelled("Seed"))
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{NOW}.state.seed") == 2


def test_a_context_that_was_never_met_has_no_next_character(here):
    page = here.page
    page.get_by_role("button", name="None").click()
    page.locator("textarea").first.fill("zqzqzqzqzq")
    here.until(f'{SAID}.includes("nothing, for this context was never met")')
    page.get_by_role("button", name="One character").click()
    assert page.evaluate(f"{NOW}.generated") == ""
    page.get_by_role("button", name="Kneser–Ney").click()
    page.get_by_role("button", name="One character").click()
    assert len(page.evaluate(f"{NOW}.generated")) == 1


def test_what_is_written_follows_the_chances_and_the_seed(here, mirror):
    page = here.page
    for _ in range(30):
        page.get_by_role("button", name="One character").click()
    alphabet, known, _ = markov_text()
    ours, random, text = NGram(len(alphabet), 4, KneserNey()).fit(known), mirror(1), "What the machine "
    for _ in range(30):
        chances = ours.next_probabilities(encode(text, alphabet))[0]
        text += alphabet[int((chances.cumsum(0) <= random.uniform()).sum())]
    assert page.evaluate(f"{NOW}.before") == text


def test_quotations_are_underlined_where_they_stand_in_the_text(here):
    page = here.page
    page.get_by_role("slider", name="Context").press("End")
    page.get_by_role("button", name="Write").click()
    here.until(f"{NOW}.generated.length >= 150", seconds=20)
    page.get_by_role("button", name="Pause").click()
    written, flags, known = (page.evaluate(f"{NOW}.{part}") for part in ("generated", "quoted", "known"))
    runs = [i for i in range(12, len(written) + 1) if written[i - 12 : i] in known]
    expected = [any(end - 12 <= i < end for end in runs) for i in range(len(written))]
    assert flags == expected and any(flags)
    underlined = "".join(page.locator(".m-written b").all_text_contents())
    assert underlined == "".join(c for c, flag in zip(written, flags, strict=True) if flag)


def test_a_text_of_ones_own_is_counted(here):
    page = here.page
    button, own = page.get_by_role("button", name="Count my text"), page.locator("textarea").nth(1)
    own.fill("too short")
    button.click()
    assert "needs 500 characters; this has 9" in page.locator(".panel").inner_text()
    text = "the cat sat on the mat, the dog sat on the log. " * 20
    own.fill(text)
    button.click()
    assert page.evaluate(f"{NOW}.model.characters") == sorted(set(text))
    assert page.evaluate(f"{NOW}.known.length") == int(0.9 * len(text))
    page.locator("textarea").first.fill("the do")
    here.until(f'{SAID}.startsWith("After “the␣do”: g ")')
    page.get_by_role("button", name="This book’s sentences").click()
    assert len(page.evaluate(f"{NOW}.model.characters")) > 50


def test_the_law_of_many_draws(core):
    """Ten thousand draws by the page's own numbers against the library's chances."""
    alphabet, n = sorted(set(TEXT)), 10_000
    ours = NGram(len(alphabet), 2, KneserNey()).fit(encode(TEXT, alphabet))
    uniform = torch.rand(n, generator=torch.Generator().manual_seed(4), dtype=torch.float64).tolist()
    found = core.evaluate(
        """([us, o]) => {
          const { chances } = MarkovCore.chances(model, "a ca", o);
          return us.map((u) => MarkovCore.draw(chances, u));
        }""",
        [uniform, {"rule": "kneser-ney", "context": 2}],
    )
    expected = ours.next_probabilities(encode("a ca", alphabet))[0].numpy() * n
    assert expected.min() >= 5
    assert stats.chisquare(np.bincount(found, minlength=len(alphabet)), expected).pvalue > 1e-3


@pytest.mark.timed
@pytest.mark.parametrize("way", ["typing", "context"])
def test_interaction_is_quick(here, way):
    """From an event to the frame that shows it, in the median: at most 50 ms."""
    page = here.page
    if way == "typing":
        page.locator("textarea").first.focus()
    else:
        page.get_by_role("slider", name="Context").focus()

    def act():
        for i in range(20):
            if way == "typing":
                page.keyboard.type("learning of shapes and "[i])
            else:
                page.keyboard.press("ArrowRight" if i % 2 else "ArrowLeft")
            page.wait_for_timeout(50)

    assert here.wait_after("input", act, least=15) <= 50
