"""Say at once, and clearly, when this Python is too old or too new for the book."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    here = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"The book needs Python 3.11, 3.12 or 3.13; this is {here}. Try: make PYTHON=python3.12 book")
