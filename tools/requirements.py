"""Print the requirements of some extras of pyproject.toml (`core` is the package's own), one a line."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
table = {"core": project["dependencies"], **project["optional-dependencies"]}


def resolve(name):
    """Return the requirements of one extra, with `genbook[other]` replaced by what `other` holds."""
    for requirement in table[name]:
        if requirement.startswith("genbook["):
            yield from resolve(requirement.removeprefix("genbook[").rstrip("]"))
        else:
            yield requirement


print("\n".join(dict.fromkeys(r for extra in sys.argv[1:] for r in resolve(extra))))
if "test" in sys.argv:  # what an editable install without build isolation needs
    print("hatchling\neditables")
