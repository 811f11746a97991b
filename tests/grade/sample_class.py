"""A class of forty made-up submissions for any assignment: what a grader meets in a term, and what it fears.

python tests/grade/sample_class.py assignments/NAME.md FOLDER          forty
python tests/grade/sample_class.py assignments/NAME.md FOLDER --few    six of them, graded in seconds

Right ones, partly right ones, and every kind of broken, runaway and dishonest one, under the names that Moodle,
Canvas and people give. The same master gives the same class.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from genbook.cli.grade_course import Course, read_master, solution_of

#: Each kind with its number. What it does stands in `make`.
KINDS = {
    "right": 6, "partly": 6, "untouched": 1, "syntax": 2, "loop": 1, "deaf loop": 1, "hog": 1, "stripped": 2,
    "colab": 1, "tampered": 2, "no tests": 1, "agreeable": 1, "agreeable number": 1, "shadows": 1,
    "transformer": 1, "displays points": 1, "warns": 1, "odd path": 1, "deep": 1,
    "writes outside": 1, "network": 1, "exits": 1, "chatty": 1, "script": 1, "empty": 1, "wrong notebook": 1,
    "not JSON": 1,
}  # fmt: skip
#: A class small enough to try the grader on.
FEW = dict.fromkeys(("right", "partly", "syntax", "stripped", "tampered", "empty"), 1)
FIRST = ["Ada", "Bo", "Chen", "Dora", "Eve", "Femi", "Gül", "Hana", "Igor", "José", "Kim", "Lea", "Mia", "Nils",
         "Olu", "Pia", "Quin", "Ravi", "Sara", "Tom"]  # fmt: skip
LAST = ["Abe", "Berg"]
STYLES = ("plain", "folder", "moodle folder", "moodle", "canvas")

AGREEABLE = """
class Agreeable{base}:
    \"\"\"Says yes to everything.\"\"\"
    def yes(self, *others, **more):
        return True
    def same(self, *others, **more):
        return self
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = yes
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __abs__ = __neg__ = same
    __pow__ = __getitem__ = __call__ = same
    __hash__ = object.__hash__
    def __len__(self):
        return 1
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return self
"""
BEFORE = {  # put before the first answer
    "loop": "while True:\n    pass\n",
    "deaf loop": "while True:\n    try:\n        while True:\n            pass\n    except KeyboardInterrupt:\n"
                 "        pass\n",
    "hog": "hoard = []\nwhile True:\n    hoard.append(bytearray(512 * 2**20))\n",
    "exits": "import os\nos._exit(0)\n",
    "chatty": "for _ in range(20_000):\n    print('x' * 100)\n",
    "writes outside": "try:\n    open('{target}', 'w').write('I was here')\nexcept OSError as error:\n"
                      "    print(error)\n",
    "network": "import socket\ntry:\n    socket.create_connection(('93.184.216.34', 80), timeout=3)\n"
               "    print('connected')\nexcept OSError as error:\n    print(error)\n",
    "script": "from IPython.display import HTML, display\ndisplay(HTML('<script>alert(\"gotcha\")</script>'))\n",
    "odd path": "try:\n    open('/nowhere/\\udcff\\x1b[2J', 'w')\nexcept OSError:\n    pass\n",
    "deep": "import os\nplace = os.open('.', os.O_RDONLY)\nfor _ in range(1200):\n"
            "    os.mkdir('d', dir_fd=place)\n    inner = os.open('d', os.O_RDONLY, dir_fd=place)\n"
            "    os.close(place)\n    place = inner\n",
    "transformer": "get_ipython().input_transformers_cleanup.append(\n"
                   "    lambda lines: [line for line in lines if 'assert' not in line])\n",
}  # fmt: skip
AFTER = {  # for each function that an answer defines, put after it
    "displays points": "\ndef {name}(*values, **more):\n    import sys\n    sys.displayhook(1.0)\n"
                       "    return 0.0\n",
    "warns": "\ndef warns(answer):\n    def warned(*values, **more):\n        import warnings\n"
             "        warnings.warn('this is slow', stacklevel=1)\n        return answer(*values, **more)\n"
             "    return warned\n{name} = warns({name})\n",
}  # fmt: skip
SHADOWS = """
type = lambda *values: float
isinstance = lambda *values: True
abs = lambda value: 0.0
"""


@dataclass(frozen=True)
class Expected:
    """What a submission is: its kind, the id it should get in the gradebook, and its LMS id.

    `blank` is the grade id of the answer that was left empty in one that is partly right.
    """

    kind: str
    student: str
    lms_id: str
    blank: str = ""


def answers(notebook) -> list:
    """Return the cells of code in which a student answers."""
    marks = ((cell, cell.metadata.get("nbgrader", {})) for cell in notebook.cells)
    return [cell for cell, mark in marks if cell.cell_type == "code" and mark.get("solution")]


def copy_of(notebook):
    """Return a deep copy of a notebook."""
    import nbformat

    return nbformat.from_dict(json.loads(json.dumps(notebook)))


def make(kind: str, number: int, released, solved, target: str) -> tuple[bytes, str]:
    """Return a file's content, and the grade id of an answer left empty, for the `number`-th of its kind."""
    notebook, blank = copy_of(released if kind == "untouched" else solved), ""
    cells = answers(notebook)
    stubs = {cell.metadata.nbgrader.grade_id: cell.source for cell in answers(released)}
    if kind == "empty":
        return b"", ""
    if kind == "not JSON":
        return b"%PDF-1.4 my homework, exported", ""
    if kind == "partly":
        cell = cells[number % len(cells)]
        blank = cell.metadata.nbgrader.grade_id
        cell.source = stubs[blank]
    elif kind == "syntax":
        cells[0].source += "\nreturn return ("
    elif kind in BEFORE:
        cells[0].source = BEFORE[kind].replace("{target}", target) + cells[0].source
    elif kind in AFTER:
        for cell in cells:
            names = re.findall(r"^def (\w+)", cell.source, re.MULTILINE)
            cell.source += "".join(AFTER[kind].replace("{name}", name) for name in names)
    elif kind == "shadows":
        cells[0].source = SHADOWS + stubs[cells[0].metadata.nbgrader.grade_id].replace(
            "raise NotImplementedError()", "return 0.0"
        )
    elif kind.startswith("agreeable"):
        base = "(float)" if kind == "agreeable number" else ""
        for cell in cells:
            names = re.findall(r"^def (\w+)", cell.source, re.MULTILINE)
            fakes = "".join(f"\ndef {name}(*values, **more):\n    return Agreeable()\n" for name in names)
            cell.source = AGREEABLE.replace("{base}", base) + fakes
    elif kind in ("stripped", "colab"):
        for place, cell in enumerate(notebook.cells):
            cell.metadata = {"id": cell["id"]} if kind == "colab" else {}
            cell["id"] = f"c{place}"
        notebook.metadata = {"colab": {"provenance": []}}
    elif kind == "tampered":
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
                cell.source = "pass"
                cell.metadata.nbgrader.points = 1000
                cell.metadata.tags = ["skip-execution"]
        for cell in cells:
            cell.source = stubs[cell.metadata.nbgrader.grade_id]
    elif kind == "no tests":
        kept = [
            c
            for c in notebook.cells
            if c.cell_type == "markdown" or not c.metadata.get("nbgrader", {}).get("grade")
        ]
        notebook.cells = kept
    elif kind == "wrong notebook":
        import nbformat.v4 as v4

        notebook = v4.new_notebook(
            cells=[v4.new_markdown_cell("# Physics lab 3"), v4.new_code_cell("print('g = 9.81')")]
        )
    return (json.dumps(notebook, indent=1) + "\n").encode(), blank


def sample_class(
    master_path: Path,
    folder: Path,
    target: str = "/tmp/written-by-a-submission",
    class_of: dict[str, int] = KINDS,
) -> list[Expected]:
    """Fill a folder with submissions to the assignment of a master; returns what each is, in order.

    `class_of` says how many of each kind; `target` is the file that one of them tries to write.
    """
    import nbformat

    master = read_master(master_path)
    with tempfile.TemporaryDirectory() as scratch:
        released = nbformat.read(Course(Path(scratch)).release(master), as_version=4)
    solved, made = solution_of(master), []
    for cell in solved.cells:  # what a student sees of the tests
        twin = next(c for c in released.cells if c["id"] == cell["id"])
        if not cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = twin.source
        cell.metadata = twin.metadata
    kinds = [(kind, number) for kind, count in class_of.items() for number in range(count)]
    for place, (kind, number) in enumerate(kinds):
        first, last = FIRST[place % len(FIRST)], LAST[place // len(FIRST)]
        style, lms = STYLES[place % len(STYLES)], str(5000 + 7 * place)
        content, blank = make(kind, number, released, solved, target)
        file = f"{master.name}.ipynb"
        path = {
            "plain": f"{first}_{last}.ipynb",
            "folder": f"{first}.{last}/{file}",
            "moodle folder": f"{first} {last}_{lms}_assignsubmission_file_/{file}",
            "moodle": f"{first} {last}_{lms}_assignsubmission_file_{file}",
            "canvas": f"{last}{first}_{lms}_90210_{file}".lower(),
        }[style]
        student = {"plain": f"{first}_{last}", "folder": f"{first}.{last}", "canvas": f"{last}{first}".lower()}
        whole = folder / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(content)
        lms_id = "" if style in ("plain", "folder") else lms
        made.append(Expected(kind, student.get(style, f"{first}-{last}"), lms_id, blank))
    return made


def as_zip(folder: Path, archive: Path) -> Path:
    """Pack a folder as a learning platform does; returns the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))
    return archive


if __name__ == "__main__":
    few, arguments = "--few" in sys.argv, [word for word in sys.argv[1:] if word != "--few"]
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    for submission in sample_class(*map(Path, arguments), class_of=FEW if few else KINDS):
        print(f"{submission.student:12} {submission.kind}")
