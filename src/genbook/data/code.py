"""Code: the source of the standard library's top-level modules, read from the installed Python.

The modules are a stated list, the same for every supported Python; their text differs a little between versions
and is never copied into the book. Left out are private modules, packages, modules that one of Python 3.11 to 3.13
does not have as a single file, and the two jokes (`this` and `antigravity`).
"""

from __future__ import annotations

import sysconfig
import tokenize
from pathlib import Path

__all__ = ["MODULES", "load"]

_NAMES = """
abc argparse ast base64 bdb bisect bz2 cProfile calendar cmd code codecs codeop colorsys compileall
configparser contextlib contextvars copy copyreg csv dataclasses datetime decimal difflib dis
doctest enum filecmp fileinput fnmatch fractions ftplib functools genericpath getopt getpass gettext
glob graphlib gzip hashlib heapq hmac imaplib inspect io ipaddress keyword linecache locale lzma
mailbox mimetypes modulefinder netrc ntpath nturl2path numbers opcode operator optparse os pdb
pickle pickletools pkgutil platform plistlib poplib posixpath pprint profile pstats pty py_compile
pyclbr pydoc queue quopri random reprlib rlcompleter runpy sched secrets selectors shelve shlex
shutil signal site smtplib socket socketserver ssl stat statistics string stringprep struct
subprocess symtable tabnanny tarfile tempfile textwrap threading timeit token tokenize trace
traceback tracemalloc tty turtle types typing uuid warnings wave weakref webbrowser zipapp zipimport
"""
MODULES: tuple[str, ...] = tuple(_NAMES.split())


def load() -> dict[str, str]:
    """Return the source of each module in `MODULES`, by name, in that order.

    Raises FileNotFoundError where this Python came without the sources of its standard library.
    """
    folder = Path(sysconfig.get_path("stdlib"))
    sources = {}
    for name in MODULES:
        try:
            with tokenize.open(folder / f"{name}.py") as file:  # honours a coding line
                sources[name] = file.read()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"this Python has no source for the module {name!r} in {folder}: "
                "use a Python that was installed with the .py files of its standard library"
            ) from error
    return sources
