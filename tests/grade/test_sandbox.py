"""What a submission is kept from: by walls where there are namespaces, else by Python's audit events."""

from __future__ import annotations

import ast
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile

import pytest

for tool in ("nbgrader", "jupytext"):
    pytest.importorskip(tool, reason=f"needs {tool}: make lab installs it, or  pip install 'genbook[grade,test]'")

import nbformat.v4 as v4  # noqa: E402
from nbgrader.utils import determine_grade  # noqa: E402

from genbook.cli import grade_class, grade_run, grade_sandbox  # noqa: E402
from genbook.cli.grade_course import CourseError  # noqa: E402
from genbook.cli.grade_run import Limits, Watch, walls_stand  # noqa: E402

WALLS = walls_stand() == ""
#: Without namespaces the audit events are tested twice, and what only walls can do is said to be out of reach.
WAYS = ["audit", "walls" if WALLS else "audit, for this system has no namespaces"]
START = """
import json, os, socket, sys
from genbook.cli import grade_sandbox
settings, way = json.loads(sys.argv[1]), sys.argv[2]
if way == "walls":
    grade_sandbox.separate(settings)
    grade_sandbox.seal(settings)
else:
    grade_sandbox.watch(settings, os.open(settings["notes"], os.O_WRONLY | os.O_APPEND | os.O_CREAT))
def tried(action):
    try:
        return repr(action())
    except OSError as error:
        return type(error).__name__
def read(path):
    with open(path) as file:
        return file.read()
def write(path):
    with open(path, "w") as file:
        return file.write("mine")
def connect(host):
    with socket.socket() as plug:
        plug.settimeout(2)
        plug.connect((host, 9))
"""


@pytest.fixture
def behind(tmp_path):
    """A function that runs expressions behind walls or audit events and returns what each gave, by its text."""

    def run(way, *expressions, **changed):
        folder = tmp_path / "box"
        (folder / "work").mkdir(parents=True, exist_ok=True)
        settings = {"folder": str(folder), "notes": f"{folder}/notes", "hide": [], "network": False, **changed}
        code = START + "print(json.dumps({e: tried(lambda: eval(e)) for e in json.loads(sys.argv[3])}))"
        command = [sys.executable, "-c", code, json.dumps(settings), way, json.dumps(expressions)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_written_outside_the_own_folder(tmp_path, behind, way):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    answers = behind(
        way,
        f"write('{outside}/new')",
        f"write('{outside}/kept')",
        f"os.remove('{outside}/kept')",
        f"os.mkdir('{outside}/folder')",
        f"os.rename('{outside}/kept', '{outside}/gone')",
        f"write('{tmp_path}/box/work/own')",
        f"read('{outside}/kept')",
    )
    *refused, own, seen = answers.values()
    assert all(answer in ("PermissionError", "OSError") for answer in refused), answers
    assert (own, seen) == ("4", "'kept'")
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


@pytest.mark.parametrize("way", WAYS)
def test_other_machines_are_out_of_reach_and_this_one_is_not(behind, way):
    answers = behind(way, "connect('192.0.2.1')", "connect('127.0.0.1')", "socket.gethostbyname('example.org')")
    far, near, name = answers.values()
    # a closed port of this machine answers, so its network works; behind walls there is no way to another
    assert near == "ConnectionRefusedError"
    assert far == ("OSError" if way == "walls" else "ConnectionRefusedError")
    assert name in ("gaierror", "ConnectionRefusedError")


@pytest.mark.parametrize("way", WAYS)
def test_what_is_hidden_looks_empty_behind_walls_only(tmp_path, behind, way):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "answers").write_text("42")
    (tmp_path / "password").write_text("1234")
    hide = [str(secret), str(tmp_path / "password"), str(tmp_path / "nothing")]
    answers = behind(way, f"os.listdir('{secret}')", f"read('{tmp_path}/password')", hide=hide)
    assert list(answers.values()) == (["[]", "''"] if way == "walls" else ["['answers']", "'1234'"])
    assert (secret / "answers").read_text() == "42"


@pytest.mark.parametrize("way", WAYS)
def test_the_own_folder_is_there_although_it_lies_in_a_hidden_one(tmp_path, behind, way):
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "notebook").write_text("mine")
    answers = behind(way, f"write('{tmp_path}/box/work/own')", hide=[str(tmp_path)])
    assert list(answers.values()) == ["4"]
    assert (tmp_path / "others" / "notebook").read_text() == "mine"


@pytest.mark.skipif(not WALLS, reason="this system has no namespaces")
def test_behind_walls_there_is_no_device_to_another_machine(behind):
    devices, routes, *_ = behind("walls", "read('/proc/net/dev')", "read('/proc/net/route')").values()
    names = {line.split(":")[0].strip() for line in ast.literal_eval(devices).splitlines()[2:]}
    # some kernels put a tunnel that leads nowhere into every new network
    assert names - {"tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0"} == {"lo"}
    assert len(ast.literal_eval(routes).splitlines()) <= 1, "a header, and no way out"


@pytest.mark.skipif(not WALLS, reason="this system has no namespaces")
def test_behind_walls_the_disk_cannot_be_filled_through_the_own_folder(tmp_path, behind):
    answers = behind("walls", f"write('{tmp_path}/box/new')", f"write('{tmp_path}/box/work/own')")
    assert list(answers.values()) == ["OSError", "4"]
    assert not (tmp_path / "box" / "new").exists()


@pytest.mark.skipif(not WALLS, reason="this system has no namespaces")
def test_of_a_hidden_folder_only_what_python_needs_is_there(tmp_path, behind):
    for name in ("venv", "venv/lib", "submitted", "venv-of-another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("mine")
    answers = behind(
        "walls",
        f"sorted(os.listdir('{tmp_path}'))",
        f"read('{tmp_path}/venv/lib/file')",
        f"read('{tmp_path}/venv-of-another/file')",
        f"os.listdir('{tmp_path}/submitted')",
        hide=[str(tmp_path / "submitted"), str(tmp_path)],
        keep=[str(tmp_path / name) for name in ("venv", "venv/lib", "venv-of-another/file")],
    )
    assert list(answers.values()) == [
        "['box', 'venv', 'venv-of-another']",
        "'mine'",
        "'mine'",
        "FileNotFoundError",
    ]
    answers = behind("walls", f"os.listdir('{tmp_path}/venv/lib')", hide=[str(tmp_path / "venv" / "lib")])
    assert list(answers.values()) == ["[]"]


@pytest.mark.skipif(not WALLS, reason="this system has no namespaces")
def test_a_service_of_this_machine_cannot_be_spoken_to(behind):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.socket(socket.AF_UNIX) as service:
        service.bind(f"{folder}/service")
        service.listen()
        speak = f"socket.socket(socket.AF_UNIX).connect('{folder}/service')"
        hide = grade_run.sockets()
        assert list(behind("walls", speak, hide=hide).values()) == ["FileNotFoundError"]
        assert list(behind("walls", speak).values()) == ["None"], "else nothing is tested"
    assert {"/run", "/tmp"} <= set(hide)
    job = grade_run.Job("bo", "means", "", "", "/x", ("/course",), ("/fonts",), Limits(), True)
    assert {"/run", "/tmp", "/course"} <= set(grade_run.settings_of(job)["hide"])
    assert grade_run.settings_of(job)["keep"] == ["/fonts"]


def test_what_was_refused_is_noted_once_and_not_without_end(tmp_path, behind):
    behind("audit", *(f"write('{tmp_path}/file{n}')" for n in range(40)), f"write('{tmp_path}/file0')")
    notes = [json.loads(line) for line in (tmp_path / "box" / "notes").read_text().splitlines()]
    assert notes == [f"write {tmp_path}/file{n}" for n in range(grade_sandbox.MOST_NOTES)]


def test_the_network_is_there_for_those_who_ask_for_it(behind):
    way = WAYS[1].split(",")[0]
    answers = behind(way, "len(socket.if_nameindex()) > 0", "connect('127.0.0.1')", network=True)
    assert list(answers.values()) == ["True", "ConnectionRefusedError"]


def test_memory_and_files_are_limited(tmp_path):
    if sys.platform == "win32":
        pytest.skip("Windows has no such limits; memory is watched from outside")
    code = (
        "import sys; from genbook.cli import grade_sandbox as s\n"
        "s.limit({'memory': 300})\n"
        "try:\n    bytearray(400 * 2**20)\nexcept MemoryError:\n    print('memory')\n"
        f"s.LARGEST_FILE = 1\ns.limit({{'memory': 300}})\n"
        f"large = {str(tmp_path / 'large')!r}\n"
        "try:\n    open(large, 'wb').write(b'x' * 2**21)\nexcept OSError:\n    print('file')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    said = done.stdout.split()
    assert "file" in said and (tmp_path / "large").stat().st_size <= 2**20
    assert "memory" in said or sys.platform == "darwin"


def test_the_probe_says_whether_walls_stand_and_changes_nothing(tmp_path):
    why_not = walls_stand()
    assert isinstance(why_not, str) and "\n" not in why_not
    if sys.platform.startswith("linux"):
        assert os.access(tmp_path, os.W_OK) and os.getuid() == os.stat(tmp_path).st_uid
    else:
        assert why_not


def test_a_probe_without_an_answer_is_a_reason(monkeypatch):
    def never(*_, timeout, **__):
        raise subprocess.TimeoutExpired("probe", timeout)

    monkeypatch.setattr(grade_run.subprocess, "run", never)
    assert walls_stand() == "they were not up after 60 s"


# ---- the watch from outside -------------------------------------------------------------------------------------
def watched(code, limits):
    """Run a program under the watch; returns the reason for which it was ended, and its exit status."""
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    watch = Watch(process.pid, limits)
    watch.start()
    try:
        status = process.wait(timeout=120)
    finally:
        process.kill()
        watch.ended.set()
        watch.join()
    return watch.reason, status


def test_a_program_within_its_limits_is_left_alone():
    assert watched("import time; time.sleep(1)", Limits()) == ("", 0)


HOARD = "hoard = b'x' * 400_000_000\n"
SLEEP = "import os, time\n{}time.sleep(300)\n"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (SLEEP.format(""), "stopped after 2 s in all"),
        (SLEEP.format(HOARD), "MB of memory; allowed are 100"),
        (SLEEP.format("if os.fork() == 0:\n    " + HOARD), "MB of memory; allowed are 100"),
        (SLEEP.format("for _ in range(99):\n    if not os.fork():\n        break\n"), "it had started"),
    ],
)
def test_a_program_beyond_its_limits_is_ended(code, reason):
    if "fork" in code and not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    # many processes add up: the limit of memory is out of their way
    megabytes = 100 if "hoard" in code else 100_000
    said, status = watched(code, Limits(seconds=2 if "after" in reason else 90, megabytes=megabytes))
    assert reason in said and status != 0, "it would have slept for five minutes and ended with 0"


def test_notes_without_end_are_ended(tmp_path):
    (tmp_path / "notes").write_bytes(b"x" * (grade_run.MOST_NOTES + 1))
    assert "notes" in Watch(os.getpid(), Limits(), tmp_path / "notes").too_much()
    assert Watch(os.getpid(), Limits(megabytes=100_000), tmp_path / "none").too_much() == ""


# ---- what is left of a submission, and what it cannot end -------------------------------------------------------
def outputs_of(*parts):
    """Return the cell of a test worth 3 points with outputs: a number shown, an error, or a word on a stream."""
    made = []
    for part in parts:
        if part == "error":
            made.append(v4.new_output("error", ename="AssertionError", evalue="", traceback=[]))
        elif part in ("stdout", "stderr"):
            made.append(v4.new_output("stream", name=part, text="a word"))
        else:
            made.append(v4.new_output("execute_result", data={"text/plain": part}))
    mark = {"grade": True, "solution": False, "locked": True, "points": 3, "grade_id": "tests"}
    return v4.new_code_cell("", outputs=made, metadata={"nbgrader": mark})


@pytest.mark.parametrize(
    ("parts", "points"),
    [
        (("3.0", "error"), 0),
        (("stderr", "3.0", "error"), 0),
        (("1.0",), 1),
        (("0.0",), 0),
        (("3.0", "1.0"), 1),
        (("1.0", "3.0"), 1),
        (("99", "1.0"), 1),
        (("-1", "nan", "1.0"), 1),
        (("stderr", "2"), 2),
        (("stderr",), 3),
        (("stdout",), 3),
        (("'fine'",), 3),
        ((), 3),
    ],
)
def test_points_are_read_from_the_tests_own_outputs(parts, points):
    cell = outputs_of(*parts)
    grade_run.settle(cell, "error" in parts)
    assert determine_grade(cell) == (points, 3)


class Ledger:
    """A course of which only the record is asked for; it takes no text that a file would not take."""

    def write_record(self, name, record):
        self.written = json.dumps(record, ensure_ascii=False).encode()


def test_words_of_a_submission_are_made_harmless():
    course, record = Ledger(), {"bo": {}}
    result = {"reason": "no \udcff\x1b[2J\nline", "remarks": ["refused: write /\ud800 \x07é"], "notebook": ""}
    said = grade_class.finish(course, "means", record, "bo", result, "mark", lambda *_: None)
    assert said == "no \\udcff[2J line"
    assert record["bo"]["run"]["remarks"] == ["refused: write /\\ud800 é"]
    assert b"udcff[2J line" in course.written


def test_a_gradebook_that_another_program_holds_is_a_reason_and_the_student_is_due_again():
    def locked(*_):
        raise RuntimeError("database is locked")

    course, record = Ledger(), {"bo": {}}
    result = {"reason": "", "remarks": [], "notebook": "x"}
    said = grade_class.finish(course, "means", record, "bo", result, "mark", locked)
    assert said == "its points could not be stored: database is locked"
    assert (record["bo"]["run"]["reason"], record["bo"]["run"]["fingerprint"]) == (said, "")


def test_what_fails_for_one_student_is_that_students_reason(tmp_path):
    (tmp_path / "result.json").write_text("{")
    course, record = Ledger(), {"bo": {}}
    found = functools.partial(grade_class.result_of, tmp_path / "result.json", "")
    said = grade_class.conclude(course, "means", record, "bo", found, "mark", lambda *_: None)
    assert said.startswith("the grader failed on it: JSONDecodeError: ")
    assert record["bo"]["run"] == {"reason": said, "remarks": [], "seconds": "", "fingerprint": ""}


@pytest.mark.skipif(os.name != "posix", reason="elsewhere paths cannot be that long")
def test_a_folder_goes_however_deep_it_is(tmp_path):
    (tmp_path / "box").mkdir()
    place = os.open(tmp_path / "box", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=place)
        inner = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    (tmp_path / "box" / "closed" / "within").mkdir(parents=True)
    (tmp_path / "box" / "closed").chmod(0)
    try:
        grade_class.remove(str(tmp_path / "box"))
        assert not (tmp_path / "box").exists()
    finally:  # pytest could not delete it either
        subprocess.run(["rm", "-rf", str(tmp_path / "box")], check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
def test_a_temporary_folder_too_long_for_sockets_is_said_before_the_run(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with (
        pytest.raises(CourseError, match=r"too long a path .*; set TMPDIR to a shorter one"),
        grade_class.scratch_folder(40),
    ):
        raise AssertionError("the run began")
    assert not list(long.iterdir())
    monkeypatch.setattr(tempfile, "tempdir", None)
    with grade_class.scratch_folder(40) as scratch:
        assert os.path.isdir(scratch)
    assert not os.path.exists(scratch)


def test_a_folder_that_holds_python_is_hidden_and_python_itself_is_not(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "course" / "venv"))
    course = (tmp_path / "course").resolve()
    assert grade_class.hideable(course, tmp_path) == [str(course), str(tmp_path.resolve())]
    assert capsys.readouterr().err == ""
    assert grade_class.hideable(course / "venv") == []
    assert f"{course / 'venv'} cannot be hidden from submissions" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "kind"), [("darwin", "spawn"), ("linux", "forkserver")])
def test_macos_does_not_fork(monkeypatch, system, kind):
    asked = []
    monkeypatch.setattr(sys, "platform", system)
    methods = ["fork", "spawn", "forkserver"]
    monkeypatch.setattr(grade_class.multiprocessing, "get_all_start_methods", lambda: methods)
    monkeypatch.setattr(grade_class.multiprocessing, "get_context", lambda kind: asked.append(kind) or Context())
    assert list(grade_class.run_all([], 1, 1)) == [] and asked == [kind]


class Context:
    """A way to start processes that starts none."""

    def set_forkserver_preload(self, names):
        """Take the names."""
