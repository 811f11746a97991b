"""Print constraints.txt: every package of this environment at its version, torch without its build tag."""

from importlib.metadata import distributions

LEAVE = {"genbook", "pip", "setuptools", "wheel"}
print("# The lock of our own build and tests (the package itself has ranges, see pyproject.toml).")
print("# Made by `make lock`. Where this torch would bring CUDA, set TORCH_INDEX_URL (CONTRIBUTING.md).")
found = {d.metadata["Name"].lower().replace("_", "-"): d.version.split("+")[0] for d in distributions()}
print("\n".join(f"{name}=={version}" for name, version in sorted(found.items()) if name not in LEAVE))
