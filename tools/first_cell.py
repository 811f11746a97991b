"""The first code cell of every chapter, kept in one place; tests/test_repository.py finds it in each of them."""

FIRST_CELL = """\
# In Colab this installs the book's package; anywhere else it does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("genbook") is None:
    %pip install --quiet "genbook @ git+https://github.com/how-generative-ai-works/book"
"""

if __name__ == "__main__":
    print(FIRST_CELL, end="")
