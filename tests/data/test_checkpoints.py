"""The shipped weights: each is the file of its card, and whatever is wrong with one is said in one clear error."""

import hashlib
import json
import re
import shutil

import pytest
from safetensors.torch import load_file

from genbook.data import checkpoints
from genbook.data._files import data_folder

SHIPPED = ("digit-classifier", "letter-classifier")


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped checkpoints, to be damaged."""
    return shutil.copytree(data_folder() / "checkpoints", tmp_path / "checkpoints")


def test_what_ships_is_listed_in_order():
    assert set(SHIPPED) <= set(checkpoints.names())
    assert checkpoints.names() == sorted(checkpoints.names())
    files = {file.name for file in (data_folder() / "checkpoints").iterdir() if not file.name.startswith(".")}
    assert files == {f"{name}.{ending}" for name in checkpoints.names() for ending in ("json", "safetensors")}


def test_every_checkpoint_is_the_file_of_its_card():
    for name in checkpoints.names():
        file, card = checkpoints.path(name), checkpoints.card(name)
        assert file == data_folder() / "checkpoints" / f"{name}.safetensors"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == card["sha256"]
        assert sum(value.numel() for value in load_file(file).values()) >= card["parameters"] > 0
        assert file.stat().st_size < 4_500_000, "data/ has 40 MB for the whole book"


def test_every_card_says_how_the_weights_came_about():
    for name in checkpoints.names():
        card = checkpoints.card(name)
        assert card["name"] == name and card["command"] == f"genbook train {name}"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", card["date"])
        assert card["what"] and card["load"] and card["seed"] >= 0
        assert card["steps"] >= 100 and card["seconds"] > 0 and card["threads"] >= 1
        assert {"cpu", "cores", "python", "torch", "numpy"} <= set(card["hardware"])
        assert card["metrics"]
        for measured in card["metrics"].values():
            assert set(measured) == {"value", "standard_error", "n"}
            assert measured["n"] >= 2 and measured["standard_error"] >= 0


def test_the_data_card_names_every_checkpoint():
    text = (data_folder() / "README.md").read_text(encoding="utf-8")
    for name in checkpoints.names():
        assert f"`{name}`" in text


@pytest.mark.parametrize("name", ["critic", "", "../glyphs", "letter-classifier.json", "Letter-classifier"])
def test_an_unknown_name_is_answered_with_the_known(name):
    for call in (checkpoints.card, checkpoints.path):
        with pytest.raises(ValueError, match=rf"no checkpoint is called '{name}'; there are: .*letter-classifier"):
            call(name)


def test_a_folder_without_checkpoints_says_so(tmp_path):
    assert checkpoints.names(tmp_path) == []
    with pytest.raises(ValueError, match="no checkpoint is called 'critic'; there are: none"):
        checkpoints.path("critic", tmp_path)


def test_a_changed_file_is_refused_with_both_digests(folder):
    file = folder / "letter-classifier.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    found, expected = hashlib.sha256(content).hexdigest(), checkpoints.card("letter-classifier")["sha256"]
    with pytest.raises(ValueError) as caught:
        checkpoints.path("letter-classifier", folder)
    message = str(caught.value)
    assert str(file) in message and f"expected SHA-256 {expected}, found {found}" in message
    assert "`genbook train letter-classifier` makes it anew" in message
    assert checkpoints.path("digit-classifier", folder) == folder / "digit-classifier.safetensors"


def test_missing_weights_are_named(folder):
    file = folder / "letter-classifier.safetensors"
    file.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        checkpoints.path("letter-classifier", folder)
    assert f"{file} is missing" in str(caught.value)
    assert "`genbook train letter-classifier` makes it anew" in str(caught.value)
    assert checkpoints.card("letter-classifier", folder)["name"] == "letter-classifier"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"3", json.dumps({"command": "x"}).encode(), b'{"sha256": "x"}']
)
def test_a_damaged_card_is_named(folder, content):
    file = folder / "letter-classifier.json"
    file.write_bytes(content)
    for call in (checkpoints.card, checkpoints.path):
        with pytest.raises(ValueError) as caught:
            call("letter-classifier", folder)
        assert f"{file} is no card of a checkpoint" in str(caught.value)
        assert "`genbook train letter-classifier` makes it" in str(caught.value)
