"""Prose: the help texts of Python itself, some 465,000 characters or more of English on every machine with Python.

The text is `pydoc_data.topics`, the Python language reference as `help("topics")` shows it. It is read from the
installed Python and never copied into the book, so it differs a little between versions of Python (465,048
characters in 3.11.7, 492,233 in 3.12.1, 510,664 in 3.13.0): numbers measured on it carry a tolerance.
"""

from __future__ import annotations

from genbook.data._files import data_folder
from genbook.data.byte_pairs import BytePairs

__all__ = ["load", "split", "tokenizer"]

TRAIN_SHARE = 0.9


def load() -> str:
    r"""Return the whole text: the topics in the sorted order of their names, joined by "\n"."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def split(text: str | None = None) -> tuple[str, str]:
    """Return the first 90 % and the last 10 % of the characters of `text`, by default of the prose.

    The cut is not random: a shuffled text would put half of a sentence on each side. Raises TypeError where `text`
    is no string, ValueError where it is too short to be cut (under 10 characters).
    """
    text = load() if text is None else text
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    if len(text) < 10:
        raise ValueError(f"text must have at least 10 characters to be split, got {len(text)}")
    cut = int(TRAIN_SHARE * len(text))
    return text[:cut], text[cut:]


def tokenizer() -> BytePairs:
    """Return the tokenizer that ships: 511 byte pairs learnt from the first part of the text, Python 3.11.7's."""
    return BytePairs.load(data_folder() / "tokenizers" / "prose")
