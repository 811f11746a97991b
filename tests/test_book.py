"""The book's own consistency: colours, contents, reference, glossary, and what the site is given to ship."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import palette_css  # noqa: E402
import sphinx_site  # noqa: E402

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))


def listed(entries):
    """Yield the files of a table of contents, sections included."""
    for entry in entries:
        if "file" in entry:
            yield entry["file"]
        yield from listed(entry.get("sections", []))


FILES = [file for part in TOC["parts"] for file in listed(part["chapters"])]


# ---- colours ----------------------------------------------------------------------------------------------------
def test_the_sites_colours_are_the_figures_colours():
    palette = json.loads(palette_css.SOURCE.read_text(encoding="utf-8"))
    assert palette_css.TARGET.read_text(encoding="utf-8") == palette_css.render(palette), (
        "run: python tools/palette_css.py"
    )
    assert palette_css.main(["--check"]) == 0


def test_a_changed_palette_is_noticed(tmp_path, monkeypatch):
    palette = json.loads(palette_css.SOURCE.read_text(encoding="utf-8"))
    palette["data"]["dark"] = "#123456"
    changed = tmp_path / "palette.json"
    changed.write_text(json.dumps(palette), encoding="utf-8")
    monkeypatch.setattr(palette_css, "SOURCE", changed)
    assert palette_css.main(["--check"]) == 1


def luminance(colour):
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(theme):
    style = (ROOT / "_static" / "book.css").read_text(encoding="utf-8")
    block = re.search(rf'html\[data-theme="{theme}"\] {{\n(  --book-paper.*?)}}', style, re.DOTALL)[1]
    colour = dict(re.findall(r"--book-([a-z]+): (#[0-9a-f]{6})", block))
    for ink in ("ink", "quiet", "link"):
        for ground in ("paper", "panel"):
            light, dark = sorted((luminance(colour[ink]), luminance(colour[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground} ({theme})"


def test_the_notation_page_shows_every_colour():
    page = (ROOT / "pages" / "notation.md").read_text(encoding="utf-8")
    for name, entry in json.loads(palette_css.SOURCE.read_text(encoding="utf-8")).items():
        row = next(line for line in page.splitlines() if f'book-swatch {name}"' in line)
        assert entry["meaning"].split(",")[0] in row


# ---- contents ---------------------------------------------------------------------------------------------------
def test_everything_listed_exists():
    for file in FILES:
        assert any((ROOT / f"{file}{suffix}").is_file() for suffix in (".ipynb", ".md")), f"_toc.yml lists {file}"
    assert len(FILES) == len(set(FILES))


def test_every_page_is_listed():
    pages = {p.relative_to(ROOT).with_suffix("").as_posix() for p in (ROOT / "pages").rglob("*.md")}
    assert pages - set(FILES) == {TOC["root"]}


def test_the_cover_links_what_exists_and_only_that():
    cover = (ROOT / "pages" / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\(\.\./(chapters/[\w/]+)\.ipynb\)", cover))
    chapters = {file for file in FILES if file.startswith("chapters/")}
    assert linked == chapters, "pages/index.md: the map and _toc.yml differ"
    planned = " · ".join(re.findall(r"\*planned:\*(.*?)(?=\n\n)", cover, re.DOTALL)).replace("\n", " ")
    names = {name.strip().lower().replace(" ", "_").replace("-", "_") for name in planned.split("·")}
    assert len(names) > 20
    assert names & {Path(chapter).name for chapter in chapters} == set(), "built chapters stand under planned"


# ---- reference --------------------------------------------------------------------------------------------------
def modules():
    """Return the names of the package's public modules that hold code."""
    names = []
    for path in sorted((ROOT / "src" / "genbook").rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        private = any(part.startswith("_") for part in parts if part != "__init__")
        if not private and parts[-1] not in ("__init__", "__main__"):
            names.append(".".join(parts))
    return names


@pytest.mark.parametrize("module", modules())
def test_every_public_module_is_on_a_reference_page(module):
    room = module.split(".")[1]
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "pages" / "reference").glob("*.md")}
    home = room if room in pages else "protocols"
    assert f"autoapimodule:: {module}\n" in pages[home], f"pages/reference/{home}.md leaves out {module}"


def test_the_reference_names_no_module_that_is_gone():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "pages" / "reference").glob("*.md"))
    documented = re.findall(r"autoapimodule:: (\S+)", text)
    packages = {f"genbook.{p.parent.name}" for p in (ROOT / "src" / "genbook").glob("*/__init__.py")}
    assert set(documented) <= set(modules()) | packages
    assert len(documented) == len(set(documented))


def test_docstrings_turn_into_restructured_text():
    text = "A `code`, $x^2$ and ``both``.\n\n$$\n\\int p = 1\n$$\n:math:`y` costs 5 $ or 6."
    assert sphinx_site.to_rst(text) == (
        "A ``code``, :math:`x^2` and ``both``.\n\n:math:`\\int p = 1`\n:math:`y` costs 5 $ or 6."
    )


def test_building_the_site_imports_no_model_code():
    for tool in ("sphinx_site", "palette_css"):
        source = (ROOT / "tools" / f"{tool}.py").read_text(encoding="utf-8")
        assert not re.search(r"^\s*(?:import|from) (?:genbook|torch|numpy)", source, re.MULTILINE)


# ---- status -----------------------------------------------------------------------------------------------------
ROW = {"seconds": 41.23, "peak_mb": 1812, "asserts": 23, "cells": 40, "kb": 320, "torch": "2.13.0"}
ROW |= {"python": "3.11.7", "cpu": "Example CPU", "date": "2026-11-21"}


def test_status_shows_what_was_measured(tmp_path):
    path = tmp_path / "chapters.json"
    path.write_text(json.dumps({"distributions": ROW}), encoding="utf-8")
    lines = sphinx_site.chapters_table(path).splitlines()
    assert len(lines) == 3 and len({line.count("|") for line in lines}) == 1
    for part in (
        "(../chapters/distributions.ipynb)",
        "41.2",
        "1,812",
        "23",
        "40",
        "320",
        "2026-11-21",
        "torch 2.13.0",
    ):
        assert part in lines[2]


def test_status_says_when_nothing_was_measured(tmp_path):
    assert "make execute" in sphinx_site.chapters_table(tmp_path / "absent.json")


def test_status_page_asks_for_the_table():
    assert (ROOT / "pages" / "status.md").read_text(encoding="utf-8").count("<!-- the measured chapters -->") == 1


# ---- leaderboard ------------------------------------------------------------------------------------------------
def test_the_leaderboard_page_shows_what_is_stored():
    page = (ROOT / "pages" / "leaderboard.md").read_text(encoding="utf-8")
    assert page.count("<!-- the leaderboard -->") == 1
    path = ROOT / "benchmarks" / "leaderboard.json"
    table, made = sphinx_site.leaderboard_table(path).split("\n\n")
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]["rows"]
    lines = table.splitlines()
    assert len(lines) == 2 + len(rows) and len({line.count("|") for line in lines}) == 1
    for row, line in zip(rows, lines[2:], strict=True):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert cells[0] == f"[{row['name']}](../chapters/{row['chapter']}.ipynb)"
        assert cells[1:5] == [
            f"{row['nats']:.2f}",
            row["kind"],
            *(f"{row[k]:.2f}" for k in ("standard_error", "spread")),
        ]
        assert (ROOT / "chapters" / f"{row['chapter']}.ipynb").exists()
    assert "genbook leaderboard" in made and "Python" in made


# ---- glossary ---------------------------------------------------------------------------------------------------
def test_glossary_is_full_sorted_and_short():
    body = (ROOT / "pages" / "glossary.md").read_text(encoding="utf-8").split(":::{glossary}\n")[1]
    entries = re.findall(r"^(\S.*)\n  (\S.*)$", body, re.MULTILINE)
    terms = [term.lower() for term, _ in entries]
    assert len(terms) >= 45 and terms == sorted(terms) and len(set(terms)) == len(terms)
    for term, meaning in entries:
        sentences = re.findall(r"[.?!:](?:\s|$)", re.sub(r"i\.i\.d\.|\$[^$]*\$", "", meaning))
        assert meaning.endswith((".", "?")) and 1 <= len(sentences) <= 5, term


# ---- what the site ships ----------------------------------------------------------------------------------------
def test_no_script_lies_where_jupyter_book_would_inject_it():
    assert list((ROOT / "_static").rglob("*.js")) == []


def test_vendored_files_are_small_and_carry_their_licences():
    files = [
        p for folder in ("_extra/mathjax", "_static/fonts") for p in (ROOT / folder).rglob("*") if p.is_file()
    ]
    assert sum(path.stat().st_size for path in files) < 4e6
    assert "Apache License" in (ROOT / "_extra" / "mathjax" / "LICENSE").read_text(encoding="utf-8")
    for face in ("source-serif-4", "inter", "jetbrains-mono"):
        licence = ROOT / "_static" / "fonts" / f"LICENSE-{face}.txt"
        assert "SIL Open Font License" in licence.read_text(encoding="utf-8")
        assert list((ROOT / "_static" / "fonts").glob(f"{face}-*.woff2"))


def test_style_sheets_ask_nobody_else():
    for path in (ROOT / "_static").glob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert "http" not in text and "@import" not in text
        for address in re.findall(r'url\("([^"]+)"\)', text):
            assert (path.parent / address).is_file(), f"{path.name} names {address}"


def test_the_address_of_the_site_is_that_of_the_repository():
    owner, name = CONFIG["repository"]["url"].removeprefix("https://github.com/").split("/")
    home = f"https://{owner}.github.io/{name}/"
    settings = CONFIG["sphinx"]["config"]
    assert CONFIG["html"]["baseurl"] == settings["ogp_site_url"] == home
    assert settings["ogp_image"] == f"{home}_static/social.png"
    assert f'content="{home}"' in (ROOT / "_extra" / "index.html").read_text(encoding="utf-8")


def test_the_social_image_has_the_size_that_sites_ask_for():
    header = (ROOT / "_static" / "social.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")) == (1200, 630)
