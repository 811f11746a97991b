"""The built site, a server for it on this machine, and a real browser with the network cut."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "_build" / "fresh" / "_build" / "html"
BUILD = "jupyter-book build . -n -W --keep-going --all --path-output _build/fresh"
sys.path.insert(0, str(ROOT / "tools"))


def missing(reason):
    """Skip at a reader's machine; in CI a missing tool is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def site_pages():
    """Return the addresses of all pages of the site, without the redirect at its root and the labs."""
    found = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return [page for page in found if not page.startswith(("_", "labs/")) and page != "index.html"]


def pytest_generate_tests(metafunc):
    """Give each test that asks for an `address` every page of the site."""
    if "address" in metafunc.fixturenames:
        metafunc.parametrize("address", site_pages() or ["(no site)"])


@pytest.fixture(scope="session")
def site():
    """The folder of the built site."""
    if not (SITE / "index.html").exists():
        missing(f"no site in {SITE.relative_to(ROOT)}; build it with:  {BUILD}")
    return SITE


@pytest.fixture(scope="session")
def server(site):
    """The address of a server of the site on this machine."""
    screenshots = pytest.importorskip("screenshots", reason="playwright is missing: make test installs it")
    running = screenshots.serve(site)
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="session")
def browser(server):
    """A headless Chromium."""
    import screenshots
    from playwright.sync_api import sync_playwright

    try:
        path = screenshots.chromium()
    except FileNotFoundError as error:
        missing(str(error))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


class Visit:
    """One page in the browser with the network cut, and everything that went wrong on the way."""

    def __init__(self, browser, server, **options):
        self.server, self.faults = server, []
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.context.route("**/*", self._cut)
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("requestfailed", lambda request: self.faults.append(f"request failed: {request.url}"))
        self.page.on("response", self._response)

    def _cut(self, route):
        if route.request.url.startswith(self.server + "/"):
            route.continue_()
        else:
            self.faults.append(f"a request left this machine: {route.request.url}")
            route.abort()

    def _console(self, message):
        if message.type == "error":
            self.faults.append(f"console: {message.text}")

    def _response(self, response):
        if response.status >= 400:
            self.faults.append(f"status {response.status}: {response.url}")

    def open(self, address):
        """Go to a page and wait until its formulas are set and its fonts loaded."""
        self.page.goto(f"{self.server}/{address}", wait_until="load")
        self.page.evaluate(
            "Promise.all([window.MathJax?.startup?.promise, document.fonts.ready]).then(() => null)"
        )
        self.page.wait_for_timeout(250)  # book.js marks what scrolls 120 ms after that
        return self.page


@pytest.fixture
def visit(browser, server):
    """A function that opens the browser for one visit: `visit(color_scheme="dark").open("pages/index.html")`."""
    visits = []

    def begin(**options):
        visits.append(Visit(browser, server, **options))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()


def pytest_terminal_summary(terminalreporter):
    """Say how many pages were looked at."""
    reports = terminalreporter.stats.get("passed", [])
    nodes = [report.nodeid for report in reports if "tests/site/" in report.nodeid]
    pages = [page for page in site_pages() if any(f"[{page}" in node for node in nodes)]
    if pages:
        terminalreporter.write_line(f"site: {len(pages)} of {len(site_pages())} pages checked in a real browser")
