"""Puts a submitted notebook in order before nbgrader sees it: nothing a student's file says of itself is believed.

Of the submission only the text of its cells is kept, and the pictures pasted into texts. Each graded or locked
cell of the release is looked for in it, by nbgrader's own mark, by cell id, or by text and order; the release's
metadata are attached to what was found, and what is missing is put back. nbgrader's `OverwriteCells` then restores
the text of the tests, hidden ones included.
"""

from __future__ import annotations

import json
import re
import warnings
from difflib import SequenceMatcher
from typing import Any

__all__ = ["Unusable", "repair"]

LEAST_KNOWN = 0.2  # of the release's text; with less it is another notebook
LIKE_ENOUGH = 0.6  # for tests and text
IN_ITS_PLACE = 0.3  # for an answer: where it stands says more than how it reads
MOST_CELLS = 1000
MOST_NAMED = 5  # cells in a remark
MOST_PICTURES = 4 * 2**20  # characters of all pictures that were pasted into a notebook's texts
PICTURES = ("image/png", "image/jpeg")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
NAMES = re.compile(r"^(?:def|class)\s+(\w+)|^(\w+)\s*=", re.MULTILINE)


class Unusable(Exception):
    """A file that cannot be graded; the message is the reason that student and instructor read."""


def plain(source: str) -> str:
    """Return a text without what editors change by themselves: space at the ends of lines and of the whole."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def read(content: bytes) -> Any:
    """Return the notebook in a file's bytes, as version 4; raises Unusable with the reason."""
    import nbformat

    if not content.strip():
        raise Unusable("the file is empty")
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, RecursionError) as error:
        raise Unusable("the file is not a notebook: it is not text that a notebook can be made of") from error
    except json.JSONDecodeError as error:
        raise Unusable(f"the file is not a notebook: not JSON at line {error.lineno} ({error.msg})") from error
    except ValueError as error:
        raise Unusable(f"the file is not a notebook: {error}") from error
    if not isinstance(found, dict) or not ("cells" in found or "worksheets" in found):
        raise Unusable("the file is JSON, but not a notebook: it has no cells")
    cells = found.get("cells")
    for part in (found, *(cells if isinstance(cells, list) else [])):
        if isinstance(part, dict) and not isinstance(part.get("metadata"), dict):
            part["metadata"] = {}
        if isinstance(part, dict) and "attachments" in part:
            added = part["attachments"] if isinstance(part["attachments"], dict) else {}
            part["attachments"] = {name: kinds for name, kinds in added.items() if isinstance(kinds, dict)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of ids that are missing
            notebook = nbformat.reads(json.dumps(found), as_version=4)
        cells = [fresh(cell.cell_type, cell.source) for cell in notebook.cells]
    except Exception as error:
        raise Unusable(f"the notebook is damaged: {type(error).__name__}: {str(error)[:200]}") from error
    if not cells:
        raise Unusable("the notebook has no cells")
    if len(cells) > MOST_CELLS:
        raise Unusable(f"the notebook has {len(cells)} cells; at most {MOST_CELLS} are graded")
    return notebook


def fresh(kind: str, source: Any) -> Any:
    """Return a new cell with nothing but its text."""
    import nbformat.v4 as v4

    if not isinstance(source, str):
        raise TypeError(f"a cell's source must be text, got {type(source).__name__}")
    make = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell}.get(kind, v4.new_raw_cell)
    return make(source)


def pasted(cell: Any, room: int) -> dict[str, dict[str, str]]:
    """Return the pictures pasted into a cell that are PNG or JPEG, at most `room` characters of them."""
    found: dict[str, dict[str, str]] = {}
    attachments = cell.get("attachments")
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        for kind, data in kinds.items() if isinstance(kinds, dict) else ():
            if kind in PICTURES and isinstance(data, str) and len(data) <= room and BASE64.fullmatch(data):
                found[name] = {kind: data}
                room -= len(data)
                break
    return found


def own_id(cell: Any) -> str | None:
    """Return the grade id of a cell, or None."""
    mark = cell.metadata.get("nbgrader")
    key = mark.get("grade_id") if isinstance(mark, dict) else None
    return key if isinstance(key, str) else None


def ids_of(cell: Any) -> set[str]:
    """Return the ids under which a cell may be known: its own, and the one Colab keeps in the metadata."""
    return {key for key in (cell.get("id"), cell.metadata.get("id")) if isinstance(key, str)}


def likeness(released: Any, cell: Any) -> float:
    """Return how much a submitted cell looks like one of the release, from 0 to 1."""
    ours, theirs = plain(released.source), plain(cell.source)
    if released.cell_type != cell.cell_type:
        return 0.0
    if ours == theirs:
        return 1.0
    matcher = SequenceMatcher(None, ours, theirs[: 4 * len(ours) + 200], autojunk=False)
    ratio = matcher.ratio() if matcher.quick_ratio() > IN_ITS_PLACE else 0.0
    if not released.metadata.get("nbgrader", {}).get("solution"):
        return ratio if ratio >= LIKE_ENOUGH else 0.0
    asked = {a or b for a, b in NAMES.findall(ours)}
    answered = asked & {a or b for a, b in NAMES.findall(theirs)}
    return max(ratio, IN_ITS_PLACE, 0.95 * len(answered) / len(asked) if asked else 0.0)


def align(released: list[Any], cells: list[Any]) -> dict[int, int]:
    """Return which submitted cell stands for which released one: in order, with the largest sum of likenesses."""
    score = [[likeness(r, c) for c in cells] for r in released]
    best = [[0.0] * (len(cells) + 1) for _ in range(len(released) + 1)]
    for i in range(len(released) - 1, -1, -1):
        for j in range(len(cells) - 1, -1, -1):
            paired = score[i][j] + best[i + 1][j + 1] if score[i][j] else 0.0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], paired)
    pairs, i, j = {}, 0, 0
    while i < len(released) and j < len(cells):
        if score[i][j] and best[i][j] == score[i][j] + best[i + 1][j + 1]:
            pairs[i] = j
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def match(released: list[Any], cells: list[Any]) -> tuple[dict[int, int], list[str]]:
    """Return which submitted cell stands for which released one, and remarks on how they were found."""
    pairs: dict[int, int] = {}
    remarks = []
    for i, wanted in enumerate(released):
        key = own_id(wanted)
        marked = [j for j, cell in enumerate(cells) if key and own_id(cell) == key]
        if len(marked) > 1:
            remarks.append(f"{key} stands {len(marked)} times in the notebook; the last counts")
        if marked:
            pairs[i] = marked[-1]
    marked_before = len(pairs)
    for i, wanted in enumerate(released):
        taken = set(pairs.values())
        named = [j for j, cell in enumerate(cells) if j not in taken and wanted.get("id") in ids_of(cell)]
        if i not in pairs and named:
            pairs[i] = named[-1]
    graded = [i for i, wanted in enumerate(released) if own_id(wanted)]
    if any(i not in pairs for i in graded):
        left = [i for i in range(len(released)) if i not in pairs]
        free = [j for j in range(len(cells)) if j not in set(pairs.values())]
        found = align([released[i] for i in left], [cells[j] for j in free])
        pairs |= {left[a]: free[b] for a, b in found.items()}
    attached = sum(i in pairs for i in graded) - marked_before
    if attached > 0:
        remarks.append(f"nbgrader's marks were missing on {attached} cells and were attached again")
    return pairs, remarks


def check_that_it_is(name: str, notebook: Any, released: Any) -> None:
    """Raise Unusable where a notebook is not that of assignment `name`."""
    about = notebook.metadata.get("genbook")
    said = about.get("assignment") if isinstance(about, dict) else None
    if isinstance(said, str) and said != name:
        raise Unusable(f"this is the notebook of the assignment {said!r}, not of {name!r}")
    fixed = [cell for cell in released.cells if not cell.metadata.get("nbgrader", {}).get("solution")]
    texts = {plain(cell.source) for cell in notebook.cells}
    known = sum(plain(cell.source) in texts for cell in fixed) / max(1, len(fixed))
    if said != name and known < LEAST_KNOWN:
        raise Unusable(f"this is not the notebook of the assignment {name!r}: hardly any of its text is in it")


def repair(content: bytes, released: Any, source: Any, name: str) -> tuple[Any, list[str]]:
    """Return the submission as a notebook that nbgrader can grade, and remarks for the instructor.

    `content` is the file, `released` the notebook that students got, `source` the one with the hidden tests, which
    `OverwriteCells` puts in. Raises Unusable with the reason for a file
    that is empty, no notebook, damaged, or the notebook of something else.
    """
    notebook = read(content)
    check_that_it_is(name, notebook, released)
    pairs, remarks = match(released.cells, notebook.cells)
    submitted = [fresh(cell.cell_type, cell.source) for cell in notebook.cells]
    room = MOST_PICTURES
    for cell, old in zip(submitted, notebook.cells, strict=True):
        pictures = pasted(old, room) if cell.cell_type == "markdown" else {}
        room -= sum(len(data) for kinds in pictures.values() for data in kinds.values())
        if pictures:
            cell["attachments"] = pictures
    cells, place, changed, missing = list(submitted), {}, [], []
    whole = {own_id(cell): plain(cell.source) for cell in source.cells}

    def spot(wanted: Any) -> int:
        return next(number for number, cell in enumerate(cells) if cell is wanted)

    for i, wanted in enumerate(released.cells):
        if not own_id(wanted):
            continue
        key, mark = own_id(wanted), dict(wanted.metadata["nbgrader"])
        if i in pairs:
            old = submitted[pairs[i]]
            place[i] = fresh(wanted.cell_type, old.source)
            if "attachments" in old and wanted.cell_type == "markdown":
                place[i]["attachments"] = old["attachments"]
            cells[spot(old)] = place[i]
            if not mark["solution"] and plain(old.source) not in (plain(wanted.source), whole[key]):
                changed.append(key)
        else:
            before = list(place.values())
            place[i] = fresh(wanted.cell_type, wanted.source)
            cells.insert(spot(before[-1]) + 1 if before else 0, place[i])
            missing.append(key)
        place[i].metadata["nbgrader"] = mark
        place[i]["id"] = wanted["id"]
    for what, keys in (("changed, and restored", changed), ("missing, and put back", missing)):
        more = f" and {len(keys) - MOST_NAMED} more" if len(keys) > MOST_NAMED else ""
        remarks += [f"{what}: {', '.join(keys[:MOST_NAMED])}{more}"] if keys else []
    notebook.cells = cells
    notebook.metadata = released.metadata
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(cells):
        cell["id"] = cell["id"] if own_id(cell) else f"cell-{number}"
    return notebook, remarks
