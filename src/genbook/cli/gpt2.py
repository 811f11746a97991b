"""GPT-2 in Hugging Face's format: a folder with `config.json` and `model.safetensors`.

Where the network allows it, the published weights (124 million parameters) load by the same code: put the two
files of the model `openai-community/gpt2`, and its `vocab.json` and `merges.txt`, into a folder.
`genbook.data.byte_pairs` reads the last two.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save

from genbook.cli.files import write_together
from genbook.models.gpt import GPT

__all__ = ["load_gpt2", "save_gpt2"]


def load_gpt2(folder: str | Path) -> GPT:
    """Return the model that lies in `folder`, in `eval()`.

    Raises FileNotFoundError where one of the two files is missing, ValueError for a model of another kind.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"no {name} in {folder}")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") != "gpt2":
        raise ValueError(f"model_type must be gpt2, {folder / 'config.json'} has {config.get('model_type')!r}")
    return GPT.from_gpt2(load_file(folder / "model.safetensors"), config).eval()


def save_gpt2(model: GPT, folder: str | Path) -> Path:
    """Write a model with learnt positions into `folder`, so that `transformers` loads it; returns the folder."""
    state, config = model.to_gpt2()
    folder = Path(folder)
    tensors = save({name: value.detach().cpu() for name, value in state.items()}, metadata={"format": "pt"})
    described = json.dumps(config, indent=2) + "\n"
    write_together({folder / "model.safetensors": tensors, folder / "config.json": described.encode()})
    return folder
