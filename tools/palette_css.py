"""Write `_static/palette.css`, the colours of `src/genbook/viz/palette.json` as CSS variables for light and dark.

`python tools/palette_css.py` writes the file; `--check` only tells, by its exit status, whether it is up to date.
"""

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "genbook" / "viz" / "palette.json"
TARGET = ROOT / "_static" / "palette.css"


def render(palette):
    """Return the style sheet for a palette `{meaning: {"light": …, "dark": …, "meaning": …}}`."""

    def block(selector, shade):
        lines = [f"  --book-{name}: {entry[shade]}; /* {entry['meaning']} */" for name, entry in palette.items()]
        return "\n".join([selector + " {", *lines, "}"])

    return "\n".join(
        [
            "/* Made by tools/palette_css.py from src/genbook/viz/palette.json. Change the colours there. */",
            block(':root,\nhtml[data-theme="light"]', "light"),
            block('html[data-theme="dark"]', "dark"),
            "",
        ]
    )


def main(arguments):
    """Write the style sheet, or with `--check` return 1 if it differs from the palette."""
    text = render(json.loads(SOURCE.read_text(encoding="utf-8")))
    if "--check" in arguments:
        return int(not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text)
    new = TARGET.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
