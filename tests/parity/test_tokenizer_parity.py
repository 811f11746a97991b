"""Our byte pairs against the `tokenizers` library: the same words, merges and numbers, in files that both read."""

import json
import random
import unicodedata

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genbook.data import prose
from genbook.data.byte_pairs import PRINTABLE, BytePairs, words

TRAIN, VALIDATION = prose.split()
SIZES = [512, 1024, 2048]
AWKWARD = [
    "",
    " ",
    "don't we'll I've you're it's I'm I'd 'S 'LL ''s can''t",
    "  two   three\n\n\nlines \t tabs\t\tend   ",
    "x = 3.14159; y_2 = {'a': [1, 22, 333]}  # a comment",
    "naïve café Ångström Straße Ωμέγα привет 日本語 한국어 עברית العربية हिन्दी",
    "e\u0301 n\u0303 \u200d\u200b\ufeff \u00ad soft",
    "😀 👩\u200d👩\u200d👧 🇩🇪 🏳️\u200d🌈!!",
    "² ½ Ⅷ ٣٤ 一二三 𝟘𝟙 ①",
    "a\u00a0b\u2003c\u3000 d\x85e\x1cf\x00g\r\nh",
    "<|endoftext|> #version: 0.2 Ġ Ċ ġ",
    "zzzzzzzzzzzzz" * 9 + "?" * 50,
]


def blank(vocabulary=None, merges=None):
    """A tokenizer of theirs as GPT-2's is built: byte pairs over its words, no special tokens."""
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def taught(text, size):
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=[], show_progress=False
    )
    tokenizer = blank()
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


@pytest.fixture(scope="module", params=SIZES)
def pair(request):
    """Ours and theirs, both taught the training characters of prose."""
    return BytePairs.train(TRAIN, request.param), taught(TRAIN, request.param)


def test_the_characters_of_bytes_are_theirs():
    assert sorted(PRINTABLE.values()) == sorted(pre_tokenizers.ByteLevel.alphabet())


def test_merges_learnt_on_prose_are_theirs(pair):
    ours, theirs = pair
    model = json.loads(theirs.to_str())["model"]
    printed = ["".join(PRINTABLE[byte] for byte in ours.bytes_of(number)) for number in range(len(ours))]
    assert model["vocab"] == {text: number for number, text in enumerate(printed)}
    assert [tuple(merge) for merge in model["merges"]] == [(printed[a], printed[b]) for a, b in ours.merges]
    assert len(ours) == theirs.get_vocab_size() == len(ours.merges) + 256


def test_numbers_of_prose_are_theirs(pair):
    ours, theirs = pair
    for text in (TRAIN, VALIDATION):
        numbers = ours.encode(text)
        assert numbers == theirs.encode(text).ids
        assert ours.decode(numbers) == theirs.decode(numbers) == text


@pytest.mark.parametrize("text", AWKWARD)
def test_numbers_of_awkward_texts_are_theirs(pair, text):
    ours, theirs = pair
    numbers = ours.encode(text)
    assert numbers == theirs.encode(text).ids
    assert ours.decode(numbers) == theirs.decode(numbers) == text
    assert ours.decode(numbers[1:]) == theirs.decode(numbers[1:])  # it may begin within a character


def test_small_texts_are_learnt_to_the_end_as_they_learn_them():
    """Two letters in short words: ties everywhere, runs of one letter, and a text that runs out of pairs."""
    draw = random.Random(0)
    for _ in range(200):
        lengths = [draw.randint(1, 9) for _ in range(draw.randint(1, 30))]
        text = " ".join("".join(draw.choices("ab", k=length)) for length in lengths)
        ours, model = BytePairs.train(text, 290), json.loads(taught(text, 290).to_str())["model"]
        assert list(model["vocab"].values()) == list(range(len(ours)))
        numbers = model["vocab"]
        assert [(numbers[left], numbers[right]) for left, right in model["merges"]] == ours.merges


def test_words_of_all_scripts_are_theirs():
    """Characters of Unicode up to 3.2, which every version of Python and of theirs knows alike."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    known = [chr(n) for n in range(0x30000) if unicodedata.ucd_3_2_0.category(chr(n)) not in {"Cn", "Cs", "Co"}]
    same = [c for c in known if unicodedata.category(c)[0] == unicodedata.ucd_3_2_0.category(c)[0]]
    assert len(same) > 0.99 * len(known) > 80_000
    draw = random.Random(0)
    text = "".join(c + draw.choice(["", "", "a", "1", "'s", " ", "!", "\n"]) for c in draw.sample(same, 20_000))
    theirs = [text[start:end] for _, (start, end) in cut(text)]
    assert words(text) == theirs


def test_files_are_read_by_both(pair, tmp_path):
    ours, theirs = pair
    (tmp_path / "theirs").mkdir()
    theirs.model.save(str(tmp_path / "theirs"))
    loaded = BytePairs.load(tmp_path / "theirs")
    assert loaded.merges == ours.merges and loaded.encode(VALIDATION) == ours.encode(VALIDATION)
    ours.save(tmp_path / "ours")
    read = models.BPE.from_file(str(tmp_path / "ours" / "vocab.json"), str(tmp_path / "ours" / "merges.txt"))
    tokenizer = blank()
    tokenizer.model = read
    assert tokenizer.encode(VALIDATION).ids == ours.encode(VALIDATION)
    assert json.loads(tokenizer.to_str())["model"]["merges"] == json.loads(theirs.to_str())["model"]["merges"]
