"""Photos: the three colour photographs that come with scikit-learn and matplotlib.

- "china": a Chinese temple, and "flower": a dahlia, 427×640 pixels each (scikit-learn)
- "grace_hopper": a portrait of Rear Admiral Grace Hopper, 600×512 pixels (matplotlib)

matplotlib is imported for its folder of sample data only, and only for its one photo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["NAMES", "load"]

NAMES = ("china", "flower", "grace_hopper")


def load(name: str) -> np.ndarray:
    """Return one photo as `(height, width, 3)` uint8; ValueError where `name` is not in `NAMES`.

    Raises FileNotFoundError where this matplotlib came without its sample data, as some packages of it do.
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(map(repr, NAMES))}, got {name!r}")
    if name != "grace_hopper":
        from sklearn.datasets import load_sample_image

        return np.array(load_sample_image(f"{name}.jpg"))
    import matplotlib
    from PIL import Image

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    if not path.is_file():
        raise FileNotFoundError(f"this matplotlib has no {path}: use the photo 'china' or 'flower'")
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))
