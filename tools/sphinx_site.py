"""What the site needs of Sphinx beyond its configuration: docstrings in Markdown, the measured
chapters, and a few repairs of the theme.

Loaded through `sphinx: local_extensions` in `_config.yml`. It imports nothing of genbook.
"""

import json
import re
import shutil
import statistics
from pathlib import Path

PIECES = re.compile(
    r"\$\$(?P<display>[^$]+)\$\$|\$(?P<math>[^$\s](?:[^$]*[^$\s])?)\$|(?P<literal>``.+?``)|(?<![:`\w])`(?P<code>[^`]+)`"
)

EMPTY_HEADER = re.compile(r"<th[^>]*>(?:<p></p>)?</th>")
LAB = re.compile(
    r'<p class="genbook-lab" data-lab="(?P<name>\w+)" data-height="(?P<height>\d+)">'
    r"<a [^>]*>(?P<title>[^<]*)</a></p>"
)
FOLD = re.compile(r"(?P<link><a [^>]*>)(?P<name>[^<]+)(?P<end></a>\s*<details[^>]*>)\s*<summary>")


def to_rst(text):
    """Return a docstring written in Markdown (`code`, $math$) as reStructuredText, line breaks kept."""

    def replace(match):
        if match["literal"]:
            return match["literal"]
        if match["code"]:
            return f"``{match['code']}``"
        return f":math:`{' '.join((match['display'] or match['math']).split())}`"

    return PIECES.sub(replace, text)


def docstring_to_rst(app, what, name, obj, options, lines):
    """Convert a docstring in place, before napoleon reads its sections."""
    lines[:] = to_rst("\n".join(lines)).split("\n")


def skip_member(app, what, name, obj, skip, options):
    """Leave out of the reference what a file only imports, what has no docstring, and what is private."""
    hidden = getattr(obj, "imported", False) or not getattr(obj, "docstring", "x") or name.startswith("_")
    return True if hidden else skip


def chapters_table(path):
    """Return the measured chapters of `benchmarks/chapters.json` as a Markdown table."""
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not measured:
        return "No chapter has been measured yet: `make execute` writes the figures."
    head = [
        "chapter",
        "seconds",
        "peak memory, MB",
        "asserts",
        "code cells",
        "notebook, kB",
        "measured on",
        "with",
    ]
    rows = [head, ["---", *["---:"] * 5, "---", "---"]]
    for name, row in measured.items():
        rows.append(
            [
                f"[{name}](../chapters/{name}.ipynb)",
                f"{row['seconds']:.1f}",
                *(f"{row[key]:,.0f}" for key in ("peak_mb", "asserts", "cells", "kb")),
                row["date"],
                f"torch {row['torch']}, Python {row['python']}, {row['cpu']}",
            ]
        )
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def leaderboard_table(path):
    """Return the rows of `benchmarks/leaderboard.json`, best first, as a Markdown table with its origin."""
    record = json.loads(path.read_text(encoding="utf-8"))
    head = ["family", "nats per scan", "which is", "± scans", "± seeds", "ahead of the next by"]
    head += ["numbers learnt", "steps", "seconds", "chosen by validation"]
    rows = [head, ["---", "---:", "---", *["---:"] * 6, "---"]]
    for row in record["results"]["rows"]:
        ahead = "{:.2f}\u00a0±\u00a0{:.2f}".format(*row["ahead"]) if "ahead" in row else ""
        setting = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in row["setting"].items())
        rows.append(
            [
                f"[{row['name']}](../chapters/{row['chapter']}.ipynb)",
                f"{row['nats']:.2f}",
                row["kind"],
                f"{row['standard_error']:.2f}",
                f"{row['spread']:.2f}",
                ahead,
                f"{row['parameters']:,}",
                f"{row['steps']:,}",
                f"{row['seconds']:.1f}",
                setting,
            ]
        )
    made, threads = record["hardware"], record["results"]["threads"]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        f"{table}\n\nMade by `{record['command']}` on {record['date']}: {made['cpu']}, "
        f"{threads} thread{'s' * (threads != 1)}, Python {made['python']}, torch {made['torch']}."
    )


def text_table(path):
    """Return the rows of the language models in `benchmarks/gpt.json`, best first, as a Markdown table."""
    record = json.loads(path.read_text(encoding="utf-8"))
    head = ["model", "nats a character", "± text", "± seeds", "ahead of the next by"]
    head += ["numbers learnt", "seconds", "setting"]
    rows = [head, ["---", *["---:"] * 6, "---"]]
    for row in record["results"]["table"]:
        seeds = row.get("seeds", [])
        rows.append(
            [
                f"[{row['name']}](../chapters/{row['chapter']}.ipynb)",
                f"{row['nats']:.3f}",
                f"{row['standard_error']:.3f}" if "standard_error" in row else "",
                f"{statistics.stdev(seeds):.3f}" if len(seeds) > 1 else "",
                "{:.3f}\u00a0±\u00a0{:.3f}".format(*row["ahead"]) if "ahead" in row else "",
                f"{row['parameters']:,}" if "parameters" in row else "0",
                f"{row['seconds']:.1f}" if "seconds" in row else "",
                ", ".join(f"{key} {value:,}" for key, value in row["setting"].items()),
            ]
        )
    made = record["hardware"]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        f"{table}\n\nMade by `{record['command']}` on {record['date']}: {made['cpu']}, {made['cores']} cores, "
        f"Python {made['python']}, torch {made['torch']}."
    )


#: What stands in the page, the page, the file it is made of, and the function that makes the table.
TABLES = {
    "pages/status": [("<!-- the measured chapters -->", "chapters.json", chapters_table)],
    "pages/leaderboard": [
        ("<!-- the leaderboard -->", "leaderboard.json", leaderboard_table),
        ("<!-- the language models -->", "gpt.json", text_table),
    ],
}


def insert_tables(app, docname, source):
    """Put a stored table where a page asks for it."""
    for mark, file, table in TABLES.get(docname, []):
        source[0] = source[0].replace(mark, table(Path(app.srcdir) / "benchmarks" / file))


def frame(match, root):
    """Return a lab as a frame that loads once it comes into view, with a plain link below."""
    address, title = f"{root}labs/{match['name']}.html", match["title"]
    return (
        f'<div class="book-lab"><iframe src="{address}" title="{title}" loading="lazy" sandbox="allow-scripts" '
        f'style="height: {match["height"]}px"></iframe>'
        f'<p><a href="{address}">{title}</a>, in a page of its own, to keep or to share.</p></div>'
    )


def copy_labs(app, exception):
    """Lay the built labs beside the pages. They travel in the package: that is the one place where they stand."""
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir) / "labs"
        folder.mkdir(exist_ok=True)
        for path in sorted((Path(app.srcdir) / "src" / "genbook" / "labs" / "built").glob("*.html")):
            shutil.copyfile(path, folder / path.name)


def mend_page(app, pagename, templatename, context, doctree):
    """Leave Thebe out, which loads from elsewhere; name the folding arrows; no empty table heads; show labs."""
    for kind in ("script_files", "css_files"):
        if kind in context:
            context[kind] = [file for file in context[kind] if "thebe" not in str(vars(file)).lower()]
    if "body" in context:
        body = EMPTY_HEADER.sub("<td></td>", context["body"])
        context["body"] = LAB.sub(lambda match: frame(match, "../" * pagename.count("/")), body)
    if generate := context.get("generate_toctree_html"):

        def named(*arguments, **options):
            html = generate(*arguments, **options)
            if options.get("kind") == "raw":
                return html
            return FOLD.sub(r'\g<link>\g<name>\g<end><summary aria-label="Pages below \g<name>">', str(html))

        context["generate_toctree_html"] = named


def note_dependency(app, env, docnames):
    """Read the pages with stored tables again in every build: their numbers live in another file."""
    docnames.extend(page for page in TABLES if page in env.found_docs and page not in docnames)


def setup(app):
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", docstring_to_rst, priority=1)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("source-read", insert_tables)
    app.connect("html-page-context", mend_page, priority=900)
    app.connect("env-before-read-docs", note_dependency)
    app.connect("build-finished", copy_labs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
