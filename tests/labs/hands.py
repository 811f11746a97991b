"""What tests of several labs do alike: open one, tab through it, name a control, compare with PyTorch."""

from __future__ import annotations

import torch


def opened(visit, file, **options):
    """Open a lab, hand it over, and hold it to have ended without an error; for `yield from` in a fixture."""
    one = visit(**options)
    one.open(file)
    yield one
    assert one.faults == []


def drawn(here, act, now, more="true"):
    """Do something, and wait until the page, which counts in `now`.drawn, shows what follows, and `more` is so."""
    before = here.page.evaluate(f"{now}.drawn")
    act()
    here.until(f"{now}.drawn > {before} && {more}")
    here.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def tab_to(page, expression, limit=80):
    """Press Tab until `expression` of the focused element `e` is true."""
    for _ in range(limit):
        page.keyboard.press("Tab")
        if page.evaluate(f"() => {{ const e = document.activeElement; return Boolean({expression}); }}"):
            return
    raise AssertionError(f"{limit} tabs did not reach: {expression}")


def labelled(text):
    """The expression that says whether the control `e` has this label."""
    return f'e.labels && e.labels[0] && e.labels[0].textContent.trim().startsWith("{text}")'


def close(found, truth, tolerance=1e-6):
    """Hold numbers of JavaScript equal to a tensor."""
    found = torch.as_tensor(found, dtype=torch.float64)
    torch.testing.assert_close(found, truth.detach().double(), rtol=tolerance, atol=tolerance)
