"""Carry the repository's address everywhere: `python tools/set_repository.py https://github.com/OWNER/NAME`.

The address stands in one place, `_config.yml` (`repository: url:`). This script writes a new one there and
puts it into every install cell, Colab link, badge, site address and `git clone` line of the project, whatever
stood there before. It needs only Python's standard library, may be run again without effect, and writes each
file whole or not at all. Without an argument it prints the present address and every place that differs.
"""

import hashlib
import json
import os
import re
import sys
from pathlib import Path

SKIP = {".git", ".venv", "_build", "mathjax", "node_modules", "__pycache__", ".ruff_cache", ".ipynb_checkpoints"}
SUFFIXES = {"", ".md", ".py", ".toml", ".cff", ".yml", ".yaml", ".ipynb", ".html", ".css", ".txt", ".rst", ".svg"}
NAME = r"(?P<owner>[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)/(?P<name>(?:(?!\.git\b)[\w.-])*[\w-])"
HUB = r"https://github\.com/"
# Contexts in which only our own repository can be meant.
OWN = [
    rf"(?P<before>genbook(?:\[[\w,-]+\])? @ git\+{HUB}){NAME}",
    rf"(?P<before>git clone (?:--\S+ )*{HUB}){NAME}",
    rf"(?P<before>colab\.research\.google\.com/github/){NAME}",
    rf"(?P<before>(?:repository-code: |Repository = \"|Issues = \"|Changelog = \"){HUB}){NAME}",
    rf"(?P<before>{HUB}){NAME}(?=/actions/workflows/|/issues/new)",
]
CONFIG = re.compile(rf"^repository:\n(?:[ ]+.*\n)*?[ ]+url: {HUB}{NAME}", re.MULTILINE)


def parse(url):
    """Return (owner, name) of `https://github.com/OWNER/NAME`; raise ValueError for anything else."""
    match = re.fullmatch(rf"{HUB}{NAME}(?:\.git)?/?", url)
    if match is None:
        raise ValueError(f"URL: got {url!r}, expected the form https://github.com/OWNER/NAME")
    return match["owner"], match["name"]


def current(root):
    """Return (owner, name) as `_config.yml` states it."""
    match = CONFIG.search((Path(root) / "_config.yml").read_text(encoding="utf-8"))
    if match is None:
        raise ValueError("_config.yml: found no `repository: url: https://github.com/OWNER/NAME`")
    return match["owner"], match["name"]


def files(root):
    """Yield the project's text files in which the address may stand; tests name other addresses on purpose."""
    for folder, names, found in os.walk(root):
        names[:] = sorted(set(names) - SKIP - ({"tests"} if Path(folder) == Path(root) else set()))
        yield from (Path(folder, file) for file in sorted(found) if Path(file).suffix in SUFFIXES)


def patterns(owner, name):
    """Return (pattern, replacement) pairs: our contexts with any address, and our present address anywhere."""
    owner, name, end = re.escape(owner), re.escape(name), r"(?![\w-]|\.(?!git\b)\w)"
    known = rf"(?P<before>github\.com[/:])(?P<owner>{owner})/(?P<name>{name}){end}"
    site = rf"https://(?P<owner>{owner})\.github\.io/(?P<name>{name}){end}"
    cited = r"(?<=^url: )https://(?P<owner>[\w-]+)\.github\.io/(?P<name>[\w.-]+)"
    pairs = [(pattern, r"\g<before>{owner}/{name}") for pattern in [*OWN, known]]
    pairs += [(pattern, "https://{owner}.github.io/{name}") for pattern in (site, cited)]
    return [(re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in pairs]


def mentions(root):
    """Yield (path, owner, name) for every mention of our repository under `root`."""
    ours = patterns(*current(root))
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        yield from ((path, match["owner"], match["name"]) for p, _ in ours for match in p.finditer(text))


def carry(text, ours, owner, name):
    """Return `text` with every mention of our repository changed to owner/name."""
    for pattern, replacement in ours:
        text = pattern.sub(replacement.format(owner=owner, name=name), text)
    return text


def joined(value):
    """Return a multi-line string of a notebook's JSON as one string."""
    return "".join(value) if isinstance(value, list) else value


def digest(notebook):
    """Return what `chapters.digest` returns, from the bare JSON (this script needs no installed package)."""
    cells = []
    for cell in notebook["cells"]:
        outputs = [dict(output) for output in cell.get("outputs", [])]
        for output in outputs:
            if "text" in output:
                output["text"] = joined(output["text"])
            if "data" in output:
                output["data"] = {kind: joined(value) for kind, value in output["data"].items()}
        cells.append([cell["cell_type"], joined(cell["source"]), cell.get("execution_count"), outputs])
    return hashlib.sha256(json.dumps(cells, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def carry_notebook(text, ours, owner, name):
    """Return a notebook's JSON with the address changed in its cells' source and in links that it printed.

    The digest that ties outputs to sources follows, but only where it held before.
    """
    notebook, changed = json.loads(text), False
    stored = notebook["metadata"].get("genbook", {})
    held = stored.get("digest") == digest(notebook)
    for cell in notebook["cells"]:
        printed = [output["data"] for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
        for holder, key in [(cell, "source"), *((data, "text/html") for data in printed)]:
            after = carry(before := joined(holder[key]), ours, owner, name)
            if after != before:
                changed = True
                holder[key] = after.splitlines(keepends=True) if isinstance(holder[key], list) else after
    if held:
        stored["digest"] = digest(notebook)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n" if changed else text


def set_repository(root, url):
    """Write the address `url` wherever ours stands under `root`; return the paths that changed."""
    owner, name = parse(url)
    root, changed = Path(root), []
    ours = patterns(*current(root))
    # _config.yml last: if anything stops the script, a second run still knows what it looks for
    for path in sorted(files(root), key=lambda path: path.name == "_config.yml"):
        before = path.read_text(encoding="utf-8")
        after = (carry_notebook if path.suffix == ".ipynb" else carry)(before, ours, owner, name)
        if after != before:
            temporary = path.with_name(f".{path.name}.new")
            try:
                temporary.write_text(after, encoding="utf-8", newline="\n")
                temporary.chmod(path.stat().st_mode)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            changed.append(path)
    return changed


if __name__ == "__main__":
    here = Path(__file__).resolve().parents[1]
    try:
        url = sys.argv[1] if len(sys.argv) > 1 else ""
        for path in set_repository(here, url) if url else []:
            print("changed", path.relative_to(here))
        now = current(here)
    except ValueError as error:
        sys.exit(f"set_repository: {error}")
    print("The repository is https://github.com/" + "/".join(now))
    stale = {path.relative_to(here) for path, *found in mentions(here) if tuple(found) != now}
    sys.exit("another address stands in: " + ", ".join(map(str, sorted(stale))) if stale else 0)
