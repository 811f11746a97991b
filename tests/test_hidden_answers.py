"""The hidden answers of every chapter run, after the chapter's own cells, and their asserts hold."""

import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = re.findall(r"file: chapters/(\w+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
ANSWER = re.compile(r"```python \.noeval\n(.*?)```", re.DOTALL)


def pieces(path):
    """Yield (is_answer, source) in the order of the page: the code cells, and the code inside hidden answers."""
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "code":
            yield False, cell.source
        else:
            yield from ((True, code) for code in ANSWER.findall(cell.source))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # a chapter runs in a notebook, where figures may be many
@pytest.mark.parametrize("name", CHAPTERS)
def test_hidden_answers_run(name, tmp_path, monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell
    from matplotlib import pyplot as plt

    monkeypatch.chdir(tmp_path)
    page = list(pieces(ROOT / "chapters" / f"{name}.md"))
    shell = InteractiveShell()
    for answer, source in page:
        result = shell.run_cell(source, silent=True)
        kind = "a hidden answer" if answer else "a cell"
        assert result.success, (
            f"{kind} of {name} fails:\n{source}\n{result.error_in_exec or result.error_before_exec}"
        )
        plt.close("all")
