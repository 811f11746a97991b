"""Runs one submission: repaired, sanitised and executed by nbgrader's `Autograde`, its kernel behind walls.

Each submission has a process of its own, which holds a copy of the gradebook and drives a kernel that it started
through `grade_sandbox`. The process is forked from a server that has imported nbgrader, for that takes longer than
most submissions. Its result is a folder: the executed notebook and `result.json`; the gradebook itself is
written by the parent alone.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat.notebooknode import NotebookNode
from nbformat.v4 import new_code_cell, new_output
from nbgrader.converters import Autograde
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_solution

from genbook.cli.grade_course import needs_nbgrader
from genbook.cli.grade_repair import Unusable, repair

__all__ = ["Job", "Limits", "grade_one", "walls_stand"]

SANDBOX = Path(__file__).with_name("grade_sandbox.py")
MOST_OUTPUT, MOST_SHOWN = 200_000, 5_000_000  # characters a cell: printed; in pictures and values
LEFT_OUT = "\n[more was put out here; it was left out]\n"
MOST_PROCESSES = 64
SECRETS = (".ssh", ".aws", ".gnupg", ".config", ".kube", ".docker", ".netrc", ".git-credentials", ".pypirc")
#: Where services keep sockets, which would answer a submission too: the desktop's, Docker's, the keys' agent.
SOCKETS = ("/run", "/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir())
MOST_NOTES = 1_000_000  # characters
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH")
#: What tests lean on. A callable of this name among a student's own would answer in its place.
LEANT_ON = [
    "abs", "all", "any", "bool", "callable", "complex", "float", "getattr", "hasattr", "int", "isinstance",
    "issubclass", "len", "list", "max", "min", "round", "str", "sum", "tuple", "type", "AssertionError",
]  # fmt: skip
MODULES_LEANT_ON = {"builtins": LEANT_ON, "math": ["isclose"], "numpy": ["allclose", "array_equal", "isclose"],
                    "torch": ["allclose", "equal", "is_tensor", "isclose"]}  # fmt: skip
GUARD = """assert False, ({token!r} + " ".join(
    [name for name in {names!r} if name in globals() and callable(globals()[name])]
    + [place + "." + name for place, names in {modules!r}.items() for name in names
       if getattr(getattr(__import__("sys").modules.get(place), name, None), "__module__", "") == "__main__"]))"""


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds a cell and in all, megabytes, and whether other machines."""

    cell_seconds: int = 30
    seconds: int = 120
    megabytes: int = 2048
    network: bool = False


@dataclass(frozen=True)
class Job:
    """One submission to run: the student, the assignment, the folders, the limits, and whether the walls stand."""

    student: str
    name: str
    submitted: str
    course: str
    folder: str
    hide: tuple[str, ...]
    fonts: tuple[str, ...]
    limits: Limits
    walls: bool
    registered: str = ""


def font_lists() -> list[str]:
    """Return matplotlib's cached lists of fonts; without one each kernel would search for fonts, for seconds."""
    import matplotlib as mpl

    return [str(path) for path in Path(mpl.get_cachedir()).glob("fontlist-*.json")]


def settings_of(job: Job) -> dict[str, Any]:
    """Return what `grade_sandbox` is told."""
    box = str(Path(job.folder, "box"))
    home = Path.home()
    names = ["/etc/resolv.conf"] if job.limits.network else []
    return {
        "folder": box,
        "notes": f"{box}/notes",
        "hide": [*job.hide, *(str(home / name) for name in SECRETS if (home / name).exists()), *sockets()],
        "keep": [*job.fonts, *names],
        "memory": job.limits.megabytes,
        "network": job.limits.network,
        "fonts": job.fonts,
        "walls": job.walls,
    }


def sockets() -> list[str]:
    """Return the places of sockets that this system has."""
    return [place for place in SOCKETS if place and Path(place).is_dir()]


def walls_stand() -> str:
    """Return "" where this system lets a kernel be walled off, else the reason why not."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "work").mkdir()
        settings = {
            "folder": scratch,
            "notes": "",
            "hide": sockets(),
            "memory": 512,
            "network": False,
            "walls": True,
        }
        command = [sys.executable, str(SANDBOX), json.dumps(settings | {"fonts": []}), "--probe"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired as error:
            return f"they were not up after {error.timeout:.0f} s"
    return "" if answer.returncode == 0 else (answer.stdout or answer.stderr or "it ended without a word").strip()


class WalledKernelManager(AsyncKernelManager):
    """Starts the kernel through `grade_sandbox`; talks to it by files where the system can."""

    settings: dict[str, Any]

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Return the command: this Python, whatever kernel the submission names."""
        connection = ["-f", os.path.realpath(self.connection_file)]
        return [sys.executable, str(SANDBOX), json.dumps(self.settings), *connection, *(extra_arguments or [])]


class Watch(threading.Thread):
    """Ends a kernel whose process tree takes more memory or processes than allowed, or that takes too long.

    Behind walls the file of notes is all that it can write to the disk, so that has a limit, too.
    """

    def __init__(self, pid: int, limits: Limits, notes: Path | None = None) -> None:
        super().__init__(daemon=True)
        self.notes = notes
        self.pid, self.limits, self.reason, self.ended = pid, limits, "", threading.Event()
        self.end = time.monotonic() + limits.seconds

    def run(self) -> None:
        """Look four times a second."""
        while not self.ended.wait(0.25):
            self.reason = self.too_much()
            if self.reason:
                for process in self.tree():
                    with suppress(psutil.Error):
                        process.kill()
                return

    def tree(self) -> list[psutil.Process]:
        """Return the kernel's process and all below it."""
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def too_much(self) -> str:
        """Return what was too much, or ""."""
        if time.monotonic() > self.end:
            return f"stopped after {self.limits.seconds} s in all"
        with suppress(OSError):
            if self.notes and os.lstat(self.notes).st_size > MOST_NOTES:
                return "stopped: it wrote into the grader's own notes"
        tree, used = self.tree(), 0
        for process in tree:
            try:
                used += process.memory_info().rss
            except psutil.Error:
                continue
        if used > 1.25 * self.limits.megabytes * 2**20:
            return f"stopped: it took {used / 2**20:.0f} MB of memory; allowed are {self.limits.megabytes}"
        return f"stopped: it had started {len(tree)} processes" if len(tree) > MOST_PROCESSES else ""


class WalledExecute(Execute):
    """nbgrader's `Execute` with the kernel behind walls, a guard before each test, and partial results.

    The guard is a cell that must fail. Where it does not, or where something tests lean on was replaced, the tests
    cannot be believed, and the test's points are withheld. When the kernel dies, what ran before keeps its points.
    """

    def __init__(self, job: Job, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.job, self.remarks, self.token = job, [], secrets.token_hex(8) + " "
        self.timeout, self.enabled = job.limits.cell_seconds, True
        self.watch: Watch | None = None
        self.stopped, self.printed, self.shown = "", 0, 0

    def create_kernel_manager(self) -> Any:
        """Return the manager of a kernel behind walls."""
        box = Path(self.job.folder, "box")
        (box / "work").mkdir(parents=True, exist_ok=True)
        manager = WalledKernelManager(kernel_name="python3", connection_file=str(box / "kernel.json"))
        if sys.platform != "win32":
            manager.transport, manager.ip = "ipc", str(box / "k")
        manager.settings = settings_of(self.job)
        self.km = manager
        return manager

    async def async_start_new_kernel(self, **keywords: Any) -> None:
        """Start the kernel with a bare environment, its own output thrown away, and a watch on it."""
        environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PIP_NO_INDEX": "1"}
        environment |= {"PYTHONUTF8": "1", "NBGRADER_EXECUTION": "autograde", "PYTHONHASHSEED": "0"}
        environment["GENBOOK_STUDENT_ID"] = self.job.registered  # the concept tests ask for it
        box = Path(self.job.folder, "box")
        keywords |= {
            "env": environment,
            "cwd": str(box),
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        await super().async_start_new_kernel(**keywords)
        self.watch = Watch(self.km.provisioner.process.pid, self.job.limits, box / "notes")
        self.watch.start()

    start_new_kernel = run_sync(async_start_new_kernel)

    def guarded(self, notebook: NotebookNode) -> None:
        """Put a guard before each cell of tests."""
        source = GUARD.format(token=self.token, names=LEANT_ON, modules=MODULES_LEANT_ON)
        cells = []
        for cell in notebook.cells:
            if cell.cell_type == "code" and is_grade(cell) and not is_solution(cell):
                cells.append(new_code_cell(source, metadata={"guard": True}))
            cells.append(cell)
        notebook.cells = cells

    def preprocess(self, nb: NotebookNode, resources: Any, km: Any = None) -> tuple[NotebookNode, Any]:
        """Execute all cells that can be; never raises for what a submission does."""
        self.guarded(nb)
        self.reached = 0
        try:
            super().preprocess(nb, resources, km)
        except Exception as error:  # whatever a submission brings about is its result
            reason = self.watch.reason if self.watch else ""
            self.stopped = reason or self.explain(error)
            self.remarks.append(self.stopped)
            for cell in nb.cells[self.reached :]:
                if cell.cell_type == "code":
                    cell.outputs = [failure("NotRun", self.stopped)]
        finally:
            if self.watch:
                self.watch.ended.set()
            self.withhold(nb)
        return nb, resources

    def explain(self, error: Exception) -> str:
        """Return in one line why the execution ended early."""
        if isinstance(error, DeadKernelError):
            return "the kernel ended: the code stopped Python itself, or ran out of memory"
        if isinstance(error, CellTimeoutError):
            return f"stopped after {self.timeout} s: the code did not heed the interrupt"
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Execute one cell and count it."""
        self.reached, self.printed, self.shown = index, 0, 0
        cell, resources = super().preprocess_cell(cell, resources, index)
        self.reached = index + 1
        return cell, resources

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Take a cell's output until it is too much."""
        content, room = msg["content"], MOST_OUTPUT - self.printed
        if msg["msg_type"] == "stream":
            self.printed += len(content["text"])
            if room <= 0:
                return None
            if len(content["text"]) > room:
                content["text"] = content["text"][:room] + LEFT_OUT
        elif msg["msg_type"] == "error":
            content["evalue"] = content["evalue"][:MOST_OUTPUT]
            content["traceback"] = [line[:MOST_OUTPUT] for line in content["traceback"][:100]]
        elif "data" in content:
            self.shown += len(json.dumps(content["data"], default=str))
            if self.shown > MOST_SHOWN:
                content["data"] = {"text/plain": LEFT_OUT.strip()}
        return super().process_message(msg, cell, cell_index)

    def withhold(self, notebook: NotebookNode) -> None:
        """Take the guards out, and the points of tests whose guard was got around; settle what tests put out."""
        cells, replaced, before = [], None, None
        for cell in notebook.cells:
            if cell.metadata.get("guard"):
                before = cell
                continue
            errors = [o for o in cell.get("outputs", []) if o.output_type == "error"]
            self.describe(cell, errors)
            if before is not None:
                settle(cell, bool(errors))
            if before is not None and not errors:
                replaced = self.replaced(before)
                if replaced is not None:
                    cell.outputs = [failure("PointsWithheld", f"these tests cannot be believed: {replaced}")]
                    self.remarks.append(f"{cell.metadata.nbgrader.grade_id}: points withheld, {replaced}")
            before = None
            cells.append(cell)
        notebook.cells = cells

    def replaced(self, guard: NotebookNode) -> str | None:
        """Return what a guard found wrong, or None."""
        values = [o.evalue for o in guard.get("outputs", []) if o.output_type == "error"]
        found = next((value for value in values if value.startswith(self.token)), None)
        if found is None:
            return "a cell that must fail did not fail, so the machinery of the tests was changed"
        names = found.removeprefix(self.token).strip()
        return f"the submission replaced {names}" if names else None

    def describe(self, cell: NotebookNode, errors: list[NotebookNode]) -> None:
        """Remark on a cell that was cut at a limit."""
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "a cell")
        for error in errors:
            if error.ename == "CellTimeoutError":
                self.remarks.append(f"{name}: stopped after {self.timeout} s")
            elif error.ename == "MemoryError" or "allocate memory" in error.evalue:
                self.remarks.append(f"{name}: asked for more than {self.job.limits.megabytes} MB of memory")


def settle(cell: NotebookNode, failed: bool) -> None:
    """Leave in a test's outputs what nbgrader may read points from, for it takes the first that it meets.

    A value that an answer displayed while it was tested counts for nothing beside an error, and can only lower the
    points beside the test's own. A warning costs nothing: nbgrader would give 0 for any word on stderr.
    """
    values = [o for o in cell.outputs if o.output_type == "execute_result"]
    points = [(value, o) for o in values if (value := as_points(o, cell.metadata.nbgrader.points)) is not None]
    kept = min(points, key=lambda pair: pair[0])[1] if points and not failed else None
    cell.outputs = [o for o in cell.outputs if o.output_type != "execute_result" or o is kept]
    for output in cell.outputs:
        if output.output_type == "stream":
            output.name = "stdout"


def as_points(output: NotebookNode, most: float) -> float | None:
    """Return a displayed value where it is a number from 0 to `most`, else None."""
    try:
        value = float(output.data["text/plain"])
    except (KeyError, TypeError, ValueError):
        return None
    return value if 0 <= value <= most else None


def failure(kind: str, message: str) -> NotebookNode:
    """Return the output of a cell that failed."""
    return new_output("error", ename=kind, evalue=message, traceback=[f"{kind}: {message}"])


def refused(job: Job) -> list[str]:
    """Return what the walls refused, as the kernel noted it; a submission could write there too."""
    path, found = Path(job.folder, "box", "notes"), []
    if path.exists() and not path.is_symlink():
        with open(path, "rb") as notes:
            for line in notes.read(20_000).decode(errors="replace").splitlines()[:20]:
                try:
                    found.append(f"refused: {str(json.loads(line))[:200]}")
                except ValueError:
                    continue
    return found


def private_course(job: Job, notebook: Any) -> CourseDirectory:
    """Return a course of one student in the job's folder, with a copy of the gradebook."""
    root = Path(job.folder, "course")
    target = root / "submitted" / job.student / job.name
    target.mkdir(parents=True)
    beside = Path(job.submitted).with_name("beside")
    if beside.is_dir():
        shutil.copytree(beside, Path(job.folder, "box", "beside"))
    nbformat.write(notebook, target / f"{job.name}.ipynb")
    shutil.copy(Path(job.course, "gradebook.db"), root / "gradebook.db")
    return CourseDirectory(root=str(root), assignment_id=job.name, student_id=job.student)


def autograde(job: Job, released: Any, source: Any) -> dict[str, Any]:
    """Repair and run one submission; returns `reason` ("" where it ran), `remarks` and the notebook's path."""
    try:
        notebook, remarks = repair(Path(job.submitted).read_bytes(), released, source, job.name)
    except Unusable as error:
        return {"reason": str(error), "remarks": [], "notebook": ""}
    course = private_course(job, notebook)
    log = logging.Logger("genbook-grade", logging.WARNING)
    log.addHandler(logging.FileHandler(Path(job.folder, "log.txt")))
    execute = WalledExecute(job, parent=None, log=log)
    converter = Autograde(coursedir=course, log=log)
    converter.autograde_preprocessors = [execute if p is Execute else p for p in converter.autograde_preprocessors]
    converter.start()
    result = Path(course.root, "autograded", job.student, job.name, f"{job.name}.ipynb")
    return {"reason": "", "remarks": remarks + execute.remarks + refused(job), "notebook": str(result)}


def grade_one(job: Job) -> None:
    """Grade one submission in this process and write `result.json` into the job's folder."""
    start = time.monotonic()
    os.setsid() if hasattr(os, "setsid") else None
    needs_nbgrader()
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log.txt", "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        steps = (Path(job.course, step, job.name, f"{job.name}.ipynb") for step in ("release", "source"))
        result = autograde(job, *(nbformat.read(path, as_version=4) for path in steps))
    except Exception as error:
        detail = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
        last = detail[-1][:300] if detail else ""
        result = {"reason": f"nbgrader stopped: {type(error).__name__}: {str(error)[:300]} {last}".strip()}
    result = {"remarks": [], "notebook": ""} | result | {"seconds": round(time.monotonic() - start, 2)}
    (folder / "result.new").write_text(json.dumps(result))
    os.replace(folder / "result.new", folder / "result.json")
