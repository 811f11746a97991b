"""A submission is put in order before it is graded: nothing that its file says of itself is believed."""

from __future__ import annotations

import copy
import json

import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

from genbook.cli import grade_repair  # noqa: E402
from genbook.cli.grade_repair import Unusable, read, repair  # noqa: E402

CELL = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [], "execution_count": None}


def as_bytes(notebook):
    return json.dumps(notebook).encode()


def repaired(parts, notebook):
    """Return the cells of a repaired submission by grade id, and the remarks."""
    result, remarks = repair(as_bytes(notebook), parts.released, parts.source, "means")
    marks = ((cell.metadata.get("nbgrader", {}).get("grade_id"), cell) for cell in result.cells)
    return {key: cell for key, cell in marks if key}, remarks


def cell_of(notebook, grade_id):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def is_whole(parts, cells):
    """Check that a repaired submission has all graded cells, with the release's marks."""
    wanted = {k: c for c in parts.released.cells if (k := c.metadata.get("nbgrader", {}).get("grade_id"))}
    assert set(cells) == set(wanted)
    for key, cell in cells.items():
        assert dict(cell.metadata["nbgrader"]) == dict(wanted[key].metadata["nbgrader"])
        assert (cell["id"], cell.cell_type) == (wanted[key]["id"], wanted[key].cell_type)


# ---- files that are no submission -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n\t ", "the file is empty"),
        (b"%PDF-1.4 my homework", "not JSON at line 1"),
        (b"\xff\xfe\x00", "it is not text"),
        (b'{\n "cells": [,]}', "not JSON at line 2"),
        (b"[" * 200_000, "not a notebook"),
        (b'{"cells": ' + b"9" * 5000 + b"}", "not a notebook"),
        (b"[1, 2]", "it has no cells"),
        (b'{"answers": 42}', "it has no cells"),
        (b'{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "damaged"),
        (b'{"cells": [3], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "damaged"),
        (b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "no cells"),
        (as_bytes({"cells": [CELL] * 1001, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}), "1001 cells"),
        (
            as_bytes({"cells": [CELL | {"source": 5}], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}),
            "damaged",
        ),
    ],
)
def test_what_cannot_be_graded_has_a_reason(content, reason):
    with pytest.raises(Unusable, match=reason) as caught:
        read(content)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_the_notebook_of_another_assignment_is_refused(parts):
    other = copy.deepcopy(parts.solved)
    other.metadata["genbook"] = {"assignment": "medians"}
    with pytest.raises(Unusable, match="assignment 'medians', not of 'means'"):
        repaired(parts, other)
    physics = {"cells": [CELL], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    with pytest.raises(Unusable, match="hardly any of its text"):
        repaired(parts, physics)


@pytest.mark.parametrize("metadata", [None, [], "x", 7])
def test_metadata_of_a_wrong_kind_do_not_matter(parts, metadata):
    odd = json.loads(json.dumps(parts.solved))
    odd["metadata"] = metadata
    for cell in odd["cells"]:
        cell["metadata"] = metadata
    cells, _ = repaired(parts, odd)
    is_whole(parts, cells)
    assert cells["mean"].source == cell_of(parts.solved, "mean").source


# ---- what editors and students do to a notebook -----------------------------------------------------------------
def test_an_untouched_release_needs_no_repair(parts):
    cells, remarks = repaired(parts, parts.released)
    is_whole(parts, cells)
    assert remarks == []


def test_nothing_of_a_cell_but_its_text_is_kept(parts):
    marked = copy.deepcopy(parts.solved)
    for cell in marked.cells:
        cell.metadata |= {"tags": ["skip-execution", "raises-exception"], "deletable": False}
        if cell.cell_type == "code":
            cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "full marks"}]
    cells, remarks = repaired(parts, marked)
    is_whole(parts, cells)
    assert remarks == []
    assert all(set(cell.metadata) == {"nbgrader"} and not cell.get("outputs") for cell in cells.values())


def test_pasted_pictures_are_kept_and_nothing_else_that_is_pasted(parts, monkeypatch):
    monkeypatch.setattr(grade_repair, "MOST_PICTURES", 100)
    marked = json.loads(json.dumps(parts.solved))
    words = next(c for c in marked["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "words")
    words["attachments"] = {
        "good.png": {"image/png": "iVBORw0KGgo="},
        "photo.jpg": {"image/jpeg": ["/9j/", "4AA="]},
        "big.png": {"image/png": "A" * 101},
        "page.svg": {"image/svg+xml": "<svg onload='alert(1)'/>"},
        "script.png": {"image/png": '"><script>alert(1)</script>'},
        "odd": 7,
    }
    own = {"cell_type": "markdown", "id": "own", "metadata": {}, "source": "![a](attachment:a.png)"}
    marked["cells"].append(own | {"attachments": {"a.png": {"image/png": "AAAA"}}})
    result, _ = repair(as_bytes(marked), parts.released, parts.source, "means")
    assert cell_of(result, "words").attachments == {
        "good.png": {"image/png": "iVBORw0KGgo="},
        "photo.jpg": {"image/jpeg": "/9j/4AA="},
    }
    assert result.cells[-1].attachments == {"a.png": {"image/png": "AAAA"}}
    assert not any(cell.get("attachments") for cell in result.cells[:-1] if cell is not cell_of(result, "words"))
    words["attachments"] = ["odd"]
    cells, _ = repaired(parts, marked)
    assert "attachments" not in cells["words"]


@pytest.mark.parametrize("kept", ["ids", "ids in the metadata, as Colab keeps them", "nothing", "old format"])
def test_lost_marks_are_attached_again(parts, kept):
    bare = json.loads(json.dumps(parts.solved))
    bare["metadata"] = {}
    for place, cell in enumerate(bare["cells"]):
        cell["metadata"] = {"id": cell["id"]} if kept.startswith("ids in") else {}
        if kept == "old format":
            del cell["id"]
        elif kept != "ids":
            cell["id"] = f"c{place}"
    bare["nbformat_minor"] = 4 if kept == "old format" else 5
    cells, remarks = repaired(parts, bare)
    is_whole(parts, cells)
    for key in ("mean", "spread", "words"):
        assert cells[key].source == cell_of(parts.solved, key).source
    assert remarks == ["nbgrader's marks were missing on 5 cells and were attached again"]


def test_lost_marks_are_found_among_a_students_own_cells(parts):
    bare = copy.deepcopy(parts.solved)
    extra = [{**CELL, "id": f"own{n}", "source": f"print({n}, 'trying something out')"} for n in range(9)]
    cells = [c for pair in zip(bare.cells, extra, strict=False) for c in pair] + bare.cells[len(extra) :]
    for place, cell in enumerate(cells):
        cell["metadata"], cell["id"] = {}, f"c{place}"
    bare = json.loads(json.dumps(bare)) | {"cells": json.loads(json.dumps(cells)), "metadata": {}}
    found, _ = repaired(parts, bare)
    is_whole(parts, found)
    for key in ("mean", "spread", "words"):
        assert found[key].source == cell_of(parts.solved, key).source


def test_changed_tests_are_restored_and_noted(parts):
    tampered = copy.deepcopy(parts.solved)
    cell = cell_of(tampered, "mean-tests")
    cell.source = "pass"
    cell.metadata.nbgrader.points = 1000
    cells, remarks = repaired(parts, tampered)
    is_whole(parts, cells)
    assert remarks == ["changed, and restored: mean-tests"]


def test_many_changes_make_one_remark(parts):
    empty = copy.deepcopy(parts.solved)
    empty.cells = [cell for cell in empty.cells if "nbgrader" not in cell.metadata]
    repair_of = repair(as_bytes(empty), parts.released, parts.source, "means")
    assert repair_of[1] == ["missing, and put back: mean, mean-tests, spread, spread-tests, words"]
    released, source = copy.deepcopy(parts.released), copy.deepcopy(parts.source)
    for notebook in (released, source):
        for number in range(3):
            extra = copy.deepcopy(cell_of(parts.released, "spread-tests"))
            extra.metadata.nbgrader.grade_id = extra["id"] = f"extra-{number}"
            notebook.cells.append(extra)
    _, remarks = repair(as_bytes(empty), released, source, "means")
    assert remarks == ["missing, and put back: mean, mean-tests, spread, spread-tests, words and 3 more"]


def test_missing_cells_are_put_back_in_their_place(parts):
    cut = copy.deepcopy(parts.solved)
    cut.cells = [c for c in cut.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "spread-tests"]
    result, remarks = repair(as_bytes(cut), parts.released, parts.source, "means")
    order = [k for c in result.cells if (k := c.metadata.get("nbgrader", {}).get("grade_id"))]
    assert order == ["mean", "mean-tests", "spread", "spread-tests", "words"]
    assert remarks == ["missing, and put back: spread-tests"]


def test_of_a_cell_that_stands_twice_the_last_counts(parts):
    twice = copy.deepcopy(parts.solved)
    place = twice.cells.index(cell_of(twice, "mean"))
    first = copy.deepcopy(twice.cells[place])
    first.source, first["id"] = "def my_mean(x):\n    return 0.0", "first-try"
    twice.cells.insert(place, first)
    result, remarks = repair(as_bytes(twice), parts.released, parts.source, "means")
    assert remarks == ["mean stands 2 times in the notebook; the last counts"]
    assert cell_of(result, "mean").source == cell_of(parts.solved, "mean").source
    assert sum(cell.source == first.source for cell in result.cells) == 1, "the first try still runs before"


def test_a_long_notebook_without_marks_is_repaired_in_seconds(parts):
    import time

    bare = json.loads(json.dumps(parts.solved))
    long = CELL | {"source": "\n".join(f"value_{n} = compute({n}) + other({n})" for n in range(60))}
    bare["cells"] = [cell | {"metadata": {}, "id": f"c{n}"} for n, cell in enumerate(bare["cells"])]
    bare["cells"][3:3] = [long | {"id": f"own{n}"} for n in range(400)]
    start = time.process_time()
    cells, _ = repaired(parts, bare)
    assert time.process_time() - start < 20
    assert cells["mean"].source == cell_of(parts.solved, "mean").source
