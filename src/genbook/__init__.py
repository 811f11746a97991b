"""The tested library behind the book *How Generative AI Works*.

Import what you need from its room: ``from genbook.models.mixture import GaussianMixture``. This file
re-exports nothing, so that every import says where a thing lives.
"""

__version__ = "0.1.0"
