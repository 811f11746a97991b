"""Starts the kernel of one submission behind walls: limits on memory and files, no network, no writing elsewhere.

Run as a script by `genbook.cli.grade_run`, with nothing of the package imported. Where Linux allows user
namespaces (5.12 or later; no rights needed), the kernel gets a network with nothing but the loopback, a file
system that is read-only outside its own folder `work`, empty places where the gradebook, the other submissions and
the sockets of services lie, and its own process numbers, so that all it started ends with it. Elsewhere Python's
audit events refuse writing and the network; code can get around those if it means to. Both ways write what was
refused into `notes`, one line each.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

__all__ = ["main"]

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MOUNT_SETATTR, AT_RECURSIVE, MOUNT_ATTR_RDONLY, AT_FDCWD = 442, 0x8000, 1, -100
PR_SET_PDEATHSIG, SIOCSIFFLAGS, IFF_UP_AND_RUNNING = 1, 0x8914, 0x41
MEGABYTE = 2**20
LARGEST_FILE, LARGEST_FOLDER = 256, 512  # megabytes
INSIDE_USER = 1000  # any number but 0: a user 0 would keep the rights to take the walls down
MOST_NOTES = 20
#: Audit events that change the file system, with the places of the paths among their arguments.
CHANGES = {
    "os.chmod": (0,), "os.chown": (0,), "os.link": (1,), "os.mkdir": (0,), "os.remove": (0,), "os.rename": (0, 1),
    "os.rmdir": (0,), "os.symlink": (1,), "os.truncate": (0,), "os.utime": (0,),
}  # fmt: skip


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library; raises OSError where it returns −1."""
    library = ctypes.CDLL(None, use_errno=True)
    converted = [value.encode() if isinstance(value, str) else value for value in arguments]
    result = getattr(library, name)(*converted)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def read_only(path: str, on: bool, flags: int = AT_RECURSIVE) -> None:
    """Make a mount, and all below it, read-only or writable."""
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY if on else 0, 0 if on else MOUNT_ATTR_RDONLY, 0, 0)
    call("syscall", MOUNT_SETATTR, AT_FDCWD, path, flags, attributes, len(attributes))


def needed(settings: dict[str, Any]) -> list[str]:
    """Return the paths without which the kernel cannot start, as written and resolved, none inside another."""
    places = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.executable, str(Path(__file__).parents[1])]
    places += [*sys.path, *os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep), *settings.get("keep", [])]
    kept: list[str] = []
    whole = {path for place in places if place for path in (os.path.abspath(place), os.path.realpath(place))}
    for path in sorted(whole):
        if os.path.exists(path) and not any(path.startswith(outer + os.sep) for outer in kept):
            kept.append(path)
    return kept


def hide(place: str, kept: list[str]) -> None:
    """Mount something empty over a place, and put back what is kept of it."""
    if os.path.isfile(place):
        call("mount", "/dev/null", place, None, MS_BIND, None)
    if not os.path.isdir(place):
        return
    inside = [(path, os.open(path, os.O_PATH)) for path in kept if path.startswith(place + os.sep)]
    call("mount", "tmpfs", place, "tmpfs", 0, "size=1m")
    for path, handle in inside:
        source = f"/proc/self/fd/{handle}"
        if os.path.isdir(source):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).touch()
        call("mount", source, path, None, MS_BIND | MS_REC, None)
        os.close(handle)


def separate(settings: dict[str, Any]) -> None:
    """Leave the network, file system and process numbers of the machine; raises OSError where not allowed."""
    user, group = os.getuid(), os.getgid()
    network = 0 if settings["network"] else CLONE_NEWNET
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | network)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{INSIDE_USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{INSIDE_USER} {group} 1")
    if network:
        loopback = call("socket", 2, 2, 0)
        call("ioctl", loopback, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP_AND_RUNNING))
        os.close(loopback)
    call("mount", "none", "/", None, MS_REC | MS_PRIVATE, None)
    folder = settings["folder"]
    own = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    kept = needed(settings)
    for place in sorted({os.path.realpath(place) for place in settings["hide"]}):  # the outer before the inner
        hide(place, kept)
    os.makedirs(folder, exist_ok=True)  # it may lie in a place that is empty now
    call("mount", f"/proc/self/fd/{own}", folder, None, MS_BIND | MS_REC, None)
    os.close(own)
    read_only("/", True)
    read_only(folder, False)
    for place, size in ((f"{folder}/work", LARGEST_FOLDER), ("/dev/shm", LARGEST_FOLDER)):
        call("mount", "tmpfs", place, "tmpfs", 0, f"size={size}m,mode=1777")


def seal(settings: dict[str, Any]) -> None:
    """Make the own folder read-only, all but `work`, once the kernel made its sockets: it lies on the disk."""
    read_only(settings["folder"], True, 0)


def limit(settings: dict[str, Any]) -> None:
    """Set the limits that this system knows; `grade_run` watches the memory of the whole tree besides."""
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {
        "RLIMIT_DATA": settings["memory"] * MEGABYTE,
        "RLIMIT_FSIZE": LARGEST_FILE * MEGABYTE,
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        number = getattr(resource, name)
        most = resource.getrlimit(number)[1]
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(number, (value, value))


def watch(settings: dict[str, Any], notes: int) -> None:
    """Refuse, by Python's audit events, writing outside the folder and calls to other machines; note each."""
    folders = [os.path.realpath(settings["folder"]), "/dev", "/proc"]
    seen: set[str] = set()

    def refuse(what: str, kind: type[OSError]) -> None:
        if what not in seen and len(seen) < MOST_NOTES:
            seen.add(what)
            os.write(notes, (json.dumps(what[:200]) + "\n").encode())
        raise kind(f"not allowed while grading: {what}")

    def check_path(verb: str, path: Any) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            whole = os.path.realpath(os.fsdecode(path))
            if not any(whole == folder or whole.startswith(folder + os.sep) for folder in folders):
                refuse(f"{verb} {whole}", PermissionError)

    def check_host(verb: str, host: Any) -> None:
        host = host.decode(errors="replace") if isinstance(host, bytes) else host
        if isinstance(host, str) and host not in ("", "localhost", "::1") and not host.startswith("127."):
            refuse(f"{verb} {host}", ConnectionRefusedError)

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            flags = arguments[2]
            if isinstance(flags, int) and flags & (
                os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            ):
                check_path("write", arguments[0])
        elif event in CHANGES:
            for place in CHANGES[event]:
                check_path(event.removeprefix("os."), arguments[place])
        elif event.startswith("socket.") and not settings["network"]:
            if event in ("socket.getaddrinfo", "socket.gethostbyname"):
                check_host("look up", arguments[0])
            elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
                check_host("connect to", arguments[1][0])

    sys.addaudithook(hook)


def furnish(settings: dict[str, Any]) -> None:
    """Make the folder's home and temporary folder, put fonts and the student's data in place, and go to it."""
    work = Path(settings["folder"], "work")
    fonts = work / "home" / ".matplotlib"
    for folder in (fonts, work / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    for path in settings["fonts"]:
        shutil.copy(path, fonts)
    beside = Path(settings["folder"], "beside")
    if beside.is_dir():
        shutil.copytree(beside, work, dirs_exist_ok=True)
    os.chdir(work)
    os.environ |= {"HOME": str(work / "home"), "MPLCONFIGDIR": str(fonts), "TMPDIR": str(work / "tmp")}


def run_kernel(settings: dict[str, Any], arguments: list[str]) -> None:
    """Become the kernel; behind walls, wait for the seal before anything of the submission can run."""
    notes, door = settings.get("handles") or (notes_of(settings), None)
    furnish(settings)
    limit(settings)
    sys.path[0] = ""
    sys.argv = ["ipykernel_launcher", *arguments]
    from ipykernel import kernelapp

    watch(settings, notes)
    kernel = kernelapp.IPKernelApp.instance()
    kernel.initialize()
    if door is not None:
        os.write(door, b"ready")
        if os.read(door, 10) != b"sealed":
            raise SystemExit(1)
        os.close(door)
    kernel.start()


def notes_of(settings: dict[str, Any]) -> int:
    """Open the file of notes; returns its number."""
    return os.open(settings["notes"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def wait_for(child: int) -> int:
    """Wait for a child, deaf to interrupts, which are meant for the kernel; returns its exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256


def main(arguments: list[str]) -> int:
    """Start the kernel (`SETTINGS -f FILE …`) or say what the system allows (`SETTINGS --probe`)."""
    settings, rest = json.loads(arguments[0]), arguments[1:]
    probe, notes = rest == ["--probe"], -1
    try:
        if not sys.platform.startswith("linux"):
            raise OSError("this system has no namespaces")
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if not probe:
            notes = notes_of(settings)  # before the folder is sealed
        separate(settings)
        if probe:
            seal(settings)
    except (OSError, AttributeError) as error:
        if probe:
            sys.stdout.write(str(error))
            return 1
        if settings["walls"]:  # the probe said that they stand
            sys.stderr.write(f"the walls could not be put up: {error}\n")
            return 1
        run_kernel(settings, rest)
        return 0
    child = os.fork()
    if child:
        return wait_for(child)
    call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.environ.pop("JPY_PARENT_PID", None)  # a number of the other side
    try:
        call("mount", "proc", "/proc", "proc", 0, None)
    except OSError:
        sys.stderr.write("/proc shows the processes outside\n")  # inside most containers
    here, there = socket.socketpair()
    kernel = os.fork()
    if kernel:
        there.close()
        if here.recv(10) == b"ready":
            seal(settings)
            here.send(b"sealed")
        here.close()
        os._exit(wait_for(kernel))
    if not probe:
        # a new program, so that the rights over the walls are lost
        for handle in (notes, there.fileno()):
            os.set_inheritable(handle, True)
        settings |= {"inside": True, "handles": (notes, there.fileno())}
        os.execv(sys.executable, [sys.executable, __file__, json.dumps(settings), *rest])
    os._exit(0)


if __name__ == "__main__":
    if json.loads(sys.argv[1]).get("inside"):
        run_kernel(json.loads(sys.argv[1]), sys.argv[2:])
    else:
        raise SystemExit(main(sys.argv[1:]))
