"""Byte pairs: cuts and merges worked out by hand, the round trip of any text, and files that are damaged."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genbook.data import byte_pairs, prose
from genbook.data.byte_pairs import PRINTABLE, BytePairs, words

TEXT = "ab ab abc bc"
LEARNT = BytePairs.train(TEXT, 300)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("", []),
        ("one two", ["one", " two"]),
        ("don't we'll I've", ["don", "'t", " we", "'ll", " I", "'ve"]),
        ("it's you're I'm I'd", ["it", "'s", " you", "'re", " I", "'m", " I", "'d"]),
        ("'S 'lamb''tis", ["'", "S", " '", "lamb", "''", "tis"]),
        ("x2 3.14!? (a_b)", ["x", "2", " 3", ".", "14", "!?", " (", "a", "_", "b", ")"]),
        ("a  b   \n\nc", ["a", " ", " b", "   \n", "\n", "c"]),
        ("end  \n", ["end", "  \n"]),
        ("\ta\t\tb", ["\t", "a", "\t", "\t", "b"]),
        ("a\u00a0b \u00a0c", ["a", "\u00a0", "b", " ", "\u00a0", "c"]),
        ("Größe Ωμέγα 日本語", ["Größe", " Ωμέγα", " 日本語"]),
        ("x² ½ Ⅷ ٣4", ["x", "²", " ½", " Ⅷ", " ٣4"]),
        ("😀😀 e\u0301a'ſ", ["😀😀", " e", "\u0301", "a", "'", "ſ"]),  # a sign that joins is no letter
        ("\x1cb \x85c", ["\x1c", "b", " ", "\x85", "c"]),  # a separator of files is no white space, a next line is
    ],
)
def test_words_are_cut_as_gpt2_cuts_them(text, cut):
    assert words(text) == cut


def test_the_bytes_stand_in_gpt2s_order_and_have_a_character_each():
    assert len(PRINTABLE) == len(set(PRINTABLE.values())) == 256
    order = [*b"!~", 0xA1, 0xAC, 0xAE, 0xFF, 0x00, 0x20, 0x7F, 0xA0, 0xAD]
    assert [list(PRINTABLE).index(byte) for byte in order] == [0, 93, 94, 105, 106, 187, 188, 220, 221, 254, 255]
    assert [PRINTABLE[byte] for byte in order] == [*"!~¡¬®ÿĀĠġłŃ"]
    fresh = BytePairs.train("", 256)
    assert len(fresh) == 256 and fresh.encode("a é") == [64, 220, 127, 102]


def test_merges_worked_out_by_hand():
    """Words "ab", " ab", " abc", " bc".

    ab stands three times; then " " + "ab" twice; then three pairs stand once, of which b (65) + c (66) goes first,
    then " " (220) + bc (258), then " ab" (257) + c; and every word is whole.
    """
    assert LEARNT.merges == [(64, 65), (220, 256), (65, 66), (220, 258), (257, 66)]
    assert [LEARNT.bytes_of(number) for number in range(256, len(LEARNT))] == [
        b"ab",
        b" ab",
        b"bc",
        b" bc",
        b" abc",
    ]
    assert len(LEARNT) == 261  # not 300: there is nothing left to merge
    assert BytePairs.train(TEXT, 258).merges == LEARNT.merges[:2]


def test_a_pair_is_counted_wherever_it_stands_and_each_time_that_its_word_does():
    assert BytePairs.train("zzz ab", 257).merges == [
        (89, 89)
    ]  # twice in zzz; else ab, of smaller numbers, would win
    assert BytePairs.train("ba ba", 257).merges == [(65, 64)]
    assert BytePairs.train("ab cd cd", 257).merges == [(66, 67)]
    assert BytePairs.train("zzzz", 300).merges == [(89, 89), (256, 256)]
    assert BytePairs.train("zzzzz", 258).merges == [(89, 89), (256, 89)]  # zz zz z: both stand once, 89 < 256


def test_a_pair_that_lost_its_places_is_not_merged():
    """bc stands twice at first, but every time after an a; once ab is merged there is no bc."""
    learnt = BytePairs.train("abc abc ab", 300)
    assert [learnt.bytes_of(n) for n in range(256, len(learnt))] == [b"ab", b" ab", b"abc", b" abc"]


def test_the_merge_learnt_first_is_made_first_and_from_left_to_right():
    assert LEARNT.encode("abc") == [256, 66]  # not a, bc: ab was learnt before bc
    assert LEARNT.encode(" abc bc ab") == [260, 259, 257]
    assert LEARNT.pieces(LEARNT.encode("abcab")) == ["ab", "c", "ab"]
    assert BytePairs.train("zzzz", 257).encode("zzzzz") == [256, 256, 89]


def test_a_character_of_several_bytes_may_be_cut():
    numbers = LEARNT.encode("aé")
    assert LEARNT.pieces(numbers) == ["a", "\ufffd", "\ufffd"] and LEARNT.decode(numbers) == "aé"
    assert b"".join(LEARNT.bytes_of(n) for n in numbers) == "aé".encode()
    assert LEARNT.decode(numbers[:2]) == "a\ufffd"
    learnt = BytePairs.train("é é", 257)
    assert learnt.pieces(learnt.encode("é")) == ["é"]


@pytest.mark.parametrize("row", [np.array, torch.tensor, tuple, iter])
def test_rows_of_every_kind_are_decoded(row):
    assert LEARNT.decode(row([260, 259])) == " abc bc"
    assert LEARNT.decode([]) == ""


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text("ab c'\n\té²😀", max_size=40))
def test_any_text_comes_back(text):
    assert "".join(words(text)) == text
    for tokenizer in (LEARNT, BytePairs.train(text, 270)):
        numbers = tokenizer.encode(text)
        assert tokenizer.decode(numbers) == text
        assert all(0 <= number < len(tokenizer) for number in numbers)


def test_prose_gets_shorter_with_every_symbol_learnt():
    train, validation = prose.split()
    learnt = BytePairs.train(train, 1024)
    assert len(learnt) == 1024
    numbers = learnt.encode(validation)
    assert learnt.decode(numbers) == validation
    assert 2.4 < len(validation.encode()) / len(numbers) < 3.4  # bytes in a token, on text that it has not seen
    assert learnt.pieces(learnt.encode("The statement returns"))[0] == "The"
    smaller = BytePairs.train(train, 512)
    assert learnt.merges[:256] == smaller.merges and len(smaller.encode(validation)) > len(numbers)


def test_a_word_that_was_seen_before_is_cut_alike(monkeypatch):
    monkeypatch.setattr(byte_pairs, "CACHED_WORDS", 2)
    tokenizer = BytePairs(LEARNT._tokens, LEARNT.merges)
    for _ in range(3):
        for text in ("abc ab", " bc", "c c abc"):
            assert tokenizer.encode(text) == LEARNT.encode(text)
            assert len(tokenizer._cache) <= 2
    first = tokenizer.encode("abc")
    first.append(0)  # what is handed out is the caller's
    assert tokenizer.encode("abc") == [256, 66]


def test_files_have_hugging_faces_format_and_come_back(tmp_path):
    LEARNT.save(tmp_path / "new" / "folder")
    vocabulary = json.loads((tmp_path / "new" / "folder" / "vocab.json").read_text(encoding="utf-8"))
    assert vocabulary["!"] == 0 and vocabulary["Ġ"] == 220 and vocabulary["Ġabc"] == 260 and len(vocabulary) == 261
    lines = (tmp_path / "new" / "folder" / "merges.txt").read_text(encoding="utf-8").split("\n")
    assert lines == ["#version: 0.2", "a b", "Ġ ab", "b c", "Ġ bc", "Ġab c", ""]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["merges.txt", "vocab.json"]
    again = BytePairs.load(tmp_path / "new" / "folder")
    assert again.merges == LEARNT.merges and len(again) == len(LEARNT)
    assert all(again.bytes_of(n) == LEARNT.bytes_of(n) for n in range(len(LEARNT)))
    again.save(str(tmp_path / "new" / "folder"))  # over the old ones


def files(folder, vocabulary=None, merges=None):
    """The files of `LEARNT`, or others in their place."""
    LEARNT.save(folder)
    if vocabulary is not None:
        text = vocabulary if isinstance(vocabulary, str) else json.dumps(vocabulary)
        (folder / "vocab.json").write_text(text, encoding="utf-8")
    if merges is not None:
        (folder / "merges.txt").write_text(merges, encoding="utf-8")
    return folder


BYTES = {character: number for number, character in enumerate(PRINTABLE.values())}


def test_numbers_may_stand_in_any_order_and_some_tokens_need_no_merge(tmp_path):
    """As in other tokenizers of this format: the bytes come last, and a special token is among them."""
    vocabulary = {"<|end|>": 0, "##": 1} | {character: number + 2 for character, number in BYTES.items()}
    loaded = BytePairs.load(files(tmp_path, vocabulary, "# #\n\n"))  # no first line that tells a version
    assert loaded.merges == [(4, 4)] and loaded.encode("###") == [1, 4]
    assert loaded.bytes_of(0) == b"<|end|>" and 0 not in loaded.encode("<|end|>")
    assert loaded.decode([0, 1]) == "<|end|>##"


@pytest.mark.parametrize(
    ("vocabulary", "merges", "message"),
    [
        ("{", None, r"vocab\.json is no vocabulary of byte pairs: JSONDecodeError"),
        ([1, 2], None, r"vocab\.json is no vocabulary of byte pairs: AttributeError"),
        (BYTES | {"ab": 257}, None, r"vocab\.json is no vocabulary .*: ValueError\('its numbers are not 0, 1, 2"),
        (BYTES | {"ab": 255}, None, r"vocab\.json is no vocabulary .*: ValueError\('its numbers are not 0, 1, 2"),
        (BYTES | {"ab": "256"}, None, r"vocab\.json is no vocabulary of byte pairs: TypeError"),
        (BYTES | {"a b": 256}, None, r"vocab\.json is no vocabulary of byte pairs: KeyError\(' '\)"),
        ({"a": 0, "!": 1}, None, r"vocab\.json lacks 254 of the 256 single bytes, the first b'\\x00'"),
        (None, "#version: 0.2\na b\na z\n", r"merges\.txt, line 3: 'a z' is no pair of tokens that gives a token"),
        (None, "ab\n", r"merges\.txt, line 1: 'ab' is no pair"),
        (None, "a b\n#version: 0.2\n", r"merges\.txt, line 2: '#version: 0\.2' is no pair"),
    ],
)
def test_damaged_files_give_one_clear_error(tmp_path, vocabulary, merges, message):
    with pytest.raises(ValueError, match=message):
        BytePairs.load(files(tmp_path, vocabulary, merges))


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_a_missing_file_is_named(tmp_path, name):
    (files(tmp_path) / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        BytePairs.load(tmp_path)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: BytePairs.train(b"abc", 300), TypeError, "text must be a str, got bytes"),
        (lambda: BytePairs.train("abc", 255), ValueError, "size must be at least 256, got 255"),
        (lambda: BytePairs.train("abc", 300.0), TypeError, r"size must be a whole number, got 300\.0"),
        (lambda: LEARNT.encode(["abc"]), TypeError, "text must be a str, got list"),
        (lambda: LEARNT.encode("abc\ud800"), ValueError, r"text holds '\\ud800', half of a pair of surrogates"),
        (lambda: LEARNT.decode(5), TypeError, "ids must be a row of whole numbers, got 5"),
        (lambda: LEARNT.decode(torch.tensor(5)), TypeError, "ids must be a row of whole numbers, got tensor"),
        (lambda: LEARNT.decode("abc"), TypeError, "each of ids must be a whole number, got 'a'"),
        (lambda: LEARNT.decode([[1, 2]]), TypeError, r"each of ids must be a whole number, got \[1, 2\]"),
        (lambda: LEARNT.decode([1.0]), TypeError, r"each of ids must be a whole number, got 1\.0"),
        (lambda: LEARNT.pieces([0, -1]), ValueError, "each of ids must be at least 0, got -1"),
        (lambda: LEARNT.bytes_of(261), ValueError, "ids must be below 261, the size of the vocabulary, got 261"),
    ],
)
def test_bad_input_gives_one_clear_error(call, error, message):
    with pytest.raises(error, match=message):
        call()
