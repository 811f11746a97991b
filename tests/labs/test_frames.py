"""A lab in a notebook: what is stored is short, what is seen is the built file, alone in its frame."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import types

import nbformat
import pytest

from genbook.cli.labs import LABS
from genbook.labs import frames as module
from genbook.labs import show
from genbook.labs.frames import built, names

WIDGET = "application/vnd.jupyter.widget-view+json"


def inside(frame):
    """The source of a frame."""
    return html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1])


@pytest.fixture
def displayed(monkeypatch):
    """What `display` was given: (data, metadata) pairs."""
    import IPython.display

    shown = []
    monkeypatch.setattr(
        IPython.display, "display", lambda data, metadata=None, raw=False: shown.append((data, metadata or {}))
    )
    return shown


def short_enough(outputs):
    return len(json.dumps(outputs)) < 2000 and "srcdoc" not in json.dumps(outputs)


def test_the_notebook_stores_a_link_and_shows_the_file(tiny, tmp_path):
    """Run a real kernel: outputs before and after the cleaning of `make execute`, and the widget's state."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing: make test installs it")
    import notebooks  # tools/

    call = f"from genbook import labs\nlabs.show('tiny', folder={str(tiny.parent)!r}, height=500)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(call)])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = notebook.cells[0].outputs
    assert short_enough(outputs)
    link, view = (output.data for output in outputs)
    assert 'data-lab="tiny" data-height="500"' in link["text/html"] and WIDGET in view

    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    frame = states[view[WIDGET]["model_id"]]["state"]["value"]
    assert inside(frame) == tiny.read_text(encoding="utf-8")

    notebooks.clean(notebook)
    assert [list(output.data) for output in notebook.cells[0].outputs] == [["text/html", "text/plain"]]
    assert len(nbformat.writes(notebook)) < 2000
    assert "srcdoc" not in nbformat.writes(notebook)


def test_the_widget_shows_the_file(tiny, displayed):
    import ipywidgets

    show("tiny", folder=tiny.parent)._ipython_display_()
    (link, _), (view, metadata) = displayed
    assert link["text/plain"] == view["text/plain"] == repr(show("tiny", folder=tiny.parent))
    assert short_enough([link, view]) and metadata == {}
    instances = getattr(
        ipywidgets.widgets.widget, "_instances", None
    )  # of ipywidgets 8; 7 keeps them in the class
    frame = (ipywidgets.Widget.widgets if instances is None else instances)[view[WIDGET]["model_id"]].value
    assert inside(frame) == tiny.read_text(encoding="utf-8")


def test_without_ipywidgets_the_frame_is_marked(tiny, displayed, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    show("tiny", folder=tiny.parent)._ipython_display_()
    (_, first), (frame, second) = displayed
    assert (first, second) == ({}, {"genbook": "lab-frame"})
    assert inside(frame["text/html"]) == tiny.read_text(encoding="utf-8")
    assert "<script" not in frame["text/html"]  # all of it stands escaped in the frame's attribute


@pytest.mark.parametrize("answer", ["shown", "no place", TimeoutError("nobody answers")])
def test_colab_is_given_the_frame_without_storing_it(answer, tiny, displayed, monkeypatch):
    asked = []

    def eval_js(script, timeout_sec=None):
        asked.append(script)
        if isinstance(answer, Exception):
            raise answer
        return answer

    output = types.SimpleNamespace(eval_js=eval_js)
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(output=output))
    monkeypatch.setitem(sys.modules, "google", types.SimpleNamespace(colab=sys.modules["google.colab"]))
    show("tiny", folder=tiny.parent)._ipython_display_()
    place = re.search(r'<div id="(genbook-lab-\w+)">', displayed[0][0]["text/html"])[1]
    frame = json.loads(re.search(r"place\.innerHTML = (\".*\"); return", asked[0])[1])
    assert json.dumps(place) in asked[0] and inside(frame) == tiny.read_text(encoding="utf-8")
    assert [WIDGET in data for data, _ in displayed] == ([False] if answer == "shown" else [False, True])
    assert short_enough([data for data, _ in displayed])


def test_what_colab_is_asked_to_run_fills_the_place(tiny, chromium):
    asked = []
    output = types.SimpleNamespace(eval_js=lambda script, timeout_sec: asked.append(script) or "shown")
    assert module._fill(output, "here", show("tiny", folder=tiny.parent).frame())
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.set_content('<p>a cell</p><div id="here"></div>')
    assert page.evaluate(asked[0]) == "shown"
    page.frame_locator("#here iframe").locator("html[data-ready=yes]").wait_for()
    context.close()


def test_the_frame_runs_the_lab_and_lets_it_nowhere(tiny, chromium):
    context = chromium.new_context(offline=True)
    page, faults = context.new_page(), []
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_content(f"<title>a notebook</title>{show('tiny', folder=tiny.parent, height=300).frame()}")
    frame = page.query_selector("iframe").content_frame()
    frame.wait_for_selector("html[data-ready=yes]")
    assert frame.evaluate("innerHeight") == 300
    work = "(async () => { const w = GB.worker((GB) => (x) => x + 1); return [w.threaded, await w.call(1)]; })()"
    assert frame.evaluate(work) == [True, 2]
    assert not faults
    reach = "(() => { try { return parent.document.title; } catch (error) { return error.name; } })()"
    assert frame.evaluate(reach) == "SecurityError"
    context.close()


def test_show_is_light():
    code = "import sys, genbook.labs.frames; print({'torch', 'ipywidgets', 'IPython'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


def test_names_are_those_of_the_files(tiny):
    assert names(tiny.parent) == ["tiny"] and built("tiny", tiny.parent) == tiny
    assert set(names()) == set(LABS)


@pytest.mark.parametrize("height", [0, 99, 7.5, True, "720"])
def test_a_height_that_is_none_is_refused(height, tiny):
    with pytest.raises(ValueError, match="height must be a whole number of at least 100 pixels"):
        show("tiny", height=height, folder=tiny.parent)


def test_an_unknown_lab_is_refused(tiny):
    with pytest.raises(ValueError, match="no lab is called 'magic'; there are: tiny"):
        show("magic", folder=tiny.parent)
