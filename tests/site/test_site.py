"""The built site in a real browser, network cut: it loads, fits, reads, and leaves nobody out."""

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [
    entry["file"]
    for part in TOC["parts"]
    for entry in part["chapters"]
    if entry.get("file", "").startswith("chapters/")
]

# The text of the article outside of code, with formulas that MathJax has set taken out.
PROSE = """() => {
  const copy = (document.querySelector("article.bd-article") ?? document.querySelector("main")).cloneNode(true);
  copy.querySelectorAll("pre, code, script, style, mjx-container, .sig").forEach(e => e.remove());
  return copy.textContent;
}"""

# What reaches beyond the window's edge without lying in a box that scrolls.
BEYOND = """() => {
  const scrolls = e => e && e !== document.body &&
    (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const drawer = e => innerWidth < 960 && e.closest(".bd-sidebar-primary, .bd-sidebar-secondary");
  return [...document.querySelectorAll(".bd-container *")]
    .filter(e => !e.closest("mjx-assistive-mml, .onlyprint") && !drawer(e) && e.getClientRects().length)
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e.parentElement))
    .map(e => e.outerHTML.slice(0, 120)).slice(0, 5);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_accessible_and_quiet(address, theme, visit):
    from axe_playwright_python.sync_playwright import Axe

    here = visit(color_scheme=theme)
    page = here.open(address)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.evaluate("document.querySelectorAll('article details').forEach(e => e.open = true)")
    page.wait_for_timeout(200)
    # preload would make axe itself ask for style sheets at wrong addresses
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    report = [
        f"{rule['id']}: {rule['help']}: {node['html'][:150]}" for rule in found for node in rule["nodes"][:3]
    ]
    assert not report, "\n".join(report)
    assert not here.faults, "\n".join(here.faults)


def test_page_fits_and_reads(address, visit):
    page = visit(viewport={"width": 1280, "height": 900}).open(address)
    page.evaluate("document.querySelectorAll('article details').forEach(e => e.open = true)")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth")
        beyond = page.evaluate(BEYOND)
        assert wide <= width and beyond == [], f"{wide} px wide in a window of {width} px: {beyond}"

    prose = page.evaluate(PROSE)
    for mark in (
        "$",
        r"\(",
        r"\[",
        r"\begin{",
        ":::",
        "```",
        "{note}",
        "{figure}",
        "{term}",
        "{ref}",
        "{math}",
        "<!--",
    ):
        assert mark not in prose, f"{mark!r} stands in the text: …{prose[max(0, prose.find(mark) - 60) :][:120]}…"
    formulas, typeset, errors, raw = page.evaluate(
        """['.math', 'article mjx-container', 'mjx-merror', 'mjx-mtext .mjx-c5C']
           .map(selector => document.querySelectorAll(selector).length)"""
    )
    assert typeset >= formulas
    assert errors == 0
    assert raw == 0, "a backslash is printed inside \\text{…}: that command works only outside of it"

    images = page.evaluate(
        """[...document.querySelectorAll('article img:not(.toggler)')]
           .map(e => [e.src, e.getAttribute('alt'), e.naturalWidth])"""
    )
    for source, alt, size in images:
        assert size > 0, f"{source} did not load"
        assert alt is not None and len(alt) > 15, f"{source} has the alternative text {alt!r}"
        assert not alt.endswith((".png", ".svg", ".jpg")), f"{source} has its file name as alternative text"


class Links(HTMLParser):
    """The links, identifiers and loaded files of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.names, self.loaded = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.names.update(values[key] for key in ("id", "name") if values.get(key))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if values.get("src") or (tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon")):
            self.loaded.append(values.get("src") or values["href"])


@pytest.fixture(scope="module")
def parsed(site):
    """All pages, parsed once."""
    pages = {
        path: Links(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    }
    return {path.resolve(): links for path, links in pages.items()}


def test_links_lead_somewhere(site, parsed):
    broken, seen = [], 0
    for path, page in parsed.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            seen += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                broken.append(f"{path.name}: {link} is no file")
            elif parts.fragment and target in parsed and unquote(parts.fragment) not in parsed[target].names:
                broken.append(f"{path.name}: {link} names no place on that page")
    assert seen > 100
    assert not sorted(set(broken)), "\n".join(sorted(set(broken)))


def test_nothing_is_loaded_from_elsewhere(parsed):
    foreign = [link for page in parsed.values() for link in page.loaded if urlsplit(link).netloc]
    assert foreign == []


def test_every_chapter_is_built(site):
    assert CHAPTERS
    assert [chapter for chapter in CHAPTERS if not (site / f"{chapter}.html").exists()] == []


def test_chapters_open_in_colab_and_download(site, parsed):
    repository = CONFIG["repository"]["url"]
    owner = repository.removeprefix("https://github.com/")
    for chapter in CHAPTERS:
        path = (site / f"{chapter}.html").resolve()
        links = parsed[path].links
        colab = [link for link in links if "colab.research.google.com" in link and "/blob/" in link]
        wanted = f"https://colab.research.google.com/github/{owner}/blob/main/{chapter}.ipynb"
        assert wanted in colab, f"{chapter}: Colab links are {colab}"
        download = [link for link in links if link.endswith(f"_sources/{chapter}.ipynb")]
        assert download, f"{chapter} has no download link"
        notebook = json.loads((path.parent / download[0]).read_text(encoding="utf-8"))
        assert notebook["nbformat"] == 4 and any(cell["cell_type"] == "code" for cell in notebook["cells"])


def test_pages_can_be_mended(site, parsed):
    repository = CONFIG["repository"]["url"]
    for page in [*CHAPTERS, "pages/notation", "pages/reference/models"]:
        links = parsed[(site / f"{page}.html").resolve()].links
        assert any(link.startswith(f"{repository}/issues/new") for link in links), (
            f"{page}: no link to report an error"
        )
        assert any(link.startswith(f"{repository}/edit/main/{page}.") for link in links), (
            f"{page}: no link to edit"
        )


def test_the_front_door_opens_the_book(visit):
    here = visit()
    here.page.goto(here.server + "/")
    here.page.wait_for_url("**/pages/index.html")
    assert here.page.locator("article h1").inner_text().startswith("How Generative AI Works")
    assert not here.faults


def test_search_finds_a_word(visit):
    here = visit()
    here.page.goto(here.server + "/search.html?q=bandwidth")
    result = here.page.locator("#search-results a[href*='glossary']").first
    result.wait_for(timeout=10_000)
    assert "Glossary" in result.inner_text()
    assert not here.faults


def test_the_search_box_opens_from_the_keyboard(visit):
    page = visit().open("pages/index.html")
    page.keyboard.press("Control+k")
    box = page.locator("#pst-search-dialog input[type=search]")
    box.wait_for(state="visible")
    box.fill("responsibility")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=responsibility*")
    page.locator("#search-results a[href*='glossary']").first.wait_for(timeout=10_000)


def test_the_switch_turns_the_page_dark(visit):
    page = visit(color_scheme="light").open("pages/notation.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    day, seen = page.evaluate(ground), set()
    for _ in range(3):
        page.locator(".bd-header-article .theme-switch-button").click()
        page.wait_for_timeout(400)
        seen.add(page.evaluate(ground))
    assert day in seen and len(seen) == 2


def test_what_scrolls_can_be_reached_by_keyboard(visit):
    page = visit(viewport={"width": 390, "height": 900}).open(f"{CHAPTERS[-1]}.html")
    scrolling = page.evaluate(
        """[...document.querySelectorAll('article pre')]
           .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.tabIndex)"""
    )
    assert scrolling and set(scrolling) == {0}


def test_formulas_can_be_spoken_without_a_network(visit):
    here = visit()
    here.open("pages/notation.html")
    here.page.evaluate("localStorage.setItem('MathJax-Menu-Settings', JSON.stringify({explorer: true}))")
    here.open("pages/notation.html")
    spoken = here.page.locator("article mjx-container [data-semantic-speech]").first
    spoken.wait_for(state="attached", timeout=15_000)
    assert spoken.get_attribute("data-semantic-speech")
    assert not here.faults


def test_labs_lie_beside_the_pages(site):
    built = {path.name: path.read_bytes() for path in (ROOT / "src/genbook/labs/built").glob("*.html")}
    assert built and {path.name: path.read_bytes() for path in (site / "labs").iterdir()} == built


def test_a_lab_stands_in_its_chapter_and_follows_its_theme(site, parsed, visit):
    shown = [
        page for page in CHAPTERS if 'class="book-lab"' in (site / f"{page}.html").read_text(encoding="utf-8")
    ]
    assert shown, "no chapter shows a lab: genbook.labs.show in a cell"
    for chapter in shown:
        here = visit(color_scheme="dark")
        page = here.open(f"{chapter}.html")
        frame = page.locator(".book-lab iframe").first
        frame.scroll_into_view_if_needed()
        inside = frame.element_handle().content_frame()
        inside.wait_for_selector("html[data-ready=yes]", timeout=15_000)
        assert inside.get_attribute("html", "data-theme") == "dark"
        page.wait_for_timeout(300)
        assert frame.evaluate("e => e.offsetHeight") >= inside.evaluate("document.documentElement.offsetHeight")
        link = page.locator(".book-lab a").first.get_attribute("href")
        assert (site / "chapters" / link).resolve().is_file()
        assert not here.faults, here.faults


def test_preview_of_a_shared_link(site):
    for page in ("index.html", "pages/index.html"):
        text = (site / page).read_text(encoding="utf-8")
        image = text.split('property="og:image" content="')[1].split('"')[0]
        assert image.startswith("https://") and image.endswith("/_static/social.png")
        assert (site / "_static" / "social.png").is_file()
        assert 'property="og:title"' in text and 'property="og:description"' in text
