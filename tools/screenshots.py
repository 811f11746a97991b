"""Photograph the built site, light and dark, wide and narrow, into `_build/screenshots`.

`python tools/screenshots.py [PAGE …]` with pages as `chapters/distributions`; without arguments every page.
`--site FOLDER` names another folder than `_build/html`, `--full` takes whole pages, not their first two screens.
"""

import argparse
import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that does not write a line for each request."""

    def log_message(self, *arguments):
        """Say nothing."""


def serve(folder):
    """Serve `folder` on a free port of this machine from a thread; return the server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def chromium():
    """Return the path of an installed Chromium or Chrome; raise FileNotFoundError if there is none."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    raise FileNotFoundError(
        "no chromium found: install it (apt-get install chromium) or put its path into CHROMIUM"
    )


def main():
    """Take the pictures that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "screenshots")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    found = sorted(p.relative_to(options.site).with_suffix("").as_posix() for p in options.site.rglob("*.html"))
    pages = options.pages or [page for page in found if not page.startswith("_") and page != "index"]
    options.out.mkdir(parents=True, exist_ok=True)
    server = serve(options.site)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for theme in ("light", "dark"):
            for width, height in ((1280, 1800), (390, 1600)):
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                page = context.new_page()
                for name in pages:
                    page.goto(f"http://127.0.0.1:{server.server_port}/{name}.html", wait_until="networkidle")
                    page.evaluate("window.MathJax?.startup?.promise")
                    target = options.out / f"{name.replace('/', '-')}-{theme}-{width}.png"
                    page.screenshot(path=target, full_page=options.full)
                    print(target)
                context.close()
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
