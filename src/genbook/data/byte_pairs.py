r"""Byte pairs: words are cut into pieces of bytes, and the pieces are learnt from text.

Sources: Sennrich, Haddow and Birch (2016), "Neural machine translation of rare words with subword units",
arXiv:1508.07909, algorithm 1 (learning the merges); Radford et al. (2019), "Language models are unsupervised
multitask learners", section 2.2 (bytes are the first symbols; text is cut into words before, so that no piece
reaches over the end of a word). Merges and numbers equal those of the `tokenizers` library, and GPT-2's own files
load here.

Simplified: `encode` looks for no special tokens (that of GPT-2 has a number, which only `decode` uses); the time
to cut one word grows with its length times the merges that it takes.
"""

from __future__ import annotations

import heapq
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from genbook.checks import check_count
from genbook.data._files import atomic_write

__all__ = ["BytePairs", "words"]

#: GPT-2's pattern of words, for ASCII: an ending like 's; letters, digits or signs, with at most one space
#: before; or white space, without its last character where a word follows.
PATTERN = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
VISIBLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
#: GPT-2's order of the bytes, and the character that stands for each in its files: itself if it can be seen.
PRINTABLE = {byte: chr(byte) for byte in VISIBLE} | {
    byte: chr(256 + k) for k, byte in enumerate(sorted(set(range(256)) - set(VISIBLE)))
}
BYTES = {character: byte for byte, character in PRINTABLE.items()}
CACHED_WORDS = 100_000

Pair = tuple[int, int]


def words(text: str) -> list[str]:
    r"""Cut a text into words as GPT-2 does; joined they are the text again.

    GPT-2's pattern asks for the letters (`\p{L}`) and numbers (`\p{N}`) of all scripts, which `re` cannot do. So
    the cuts are made in a stand-in, where an ASCII character of the same kind (letter, number, white space,
    other) takes the place of each one outside ASCII: they are GPT-2's for every script, as far as this Python's
    version of Unicode knows it. Raises TypeError where `text` is no string, ValueError where it holds half of a
    pair of surrogates, which UTF-8 cannot write.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    if text.isascii():
        return PATTERN.findall(text)
    stand_in = text.translate({ord(c): _kind(c) for c in set(text) if not c.isascii()})
    return [text[match.start() : match.end()] for match in PATTERN.finditer(stand_in)]


class BytePairs:
    """A vocabulary of byte strings, and the merges by which words are put together from it.

    Made by `BytePairs.train` or `BytePairs.load`. `merges` are pairs of token numbers in the order in which they
    were learnt; a pair gives the token whose bytes are those of both. In a tokenizer trained here, as in GPT-2's,
    the single bytes have the numbers 0 to 255, those that can be seen first: `!` is 0.
    """

    def __init__(self, tokens: Sequence[bytes], merges: Iterable[Pair]) -> None:
        self._tokens = list(tokens)
        numbers = {token: number for number, token in enumerate(self._tokens)}
        self._first = [numbers[bytes([byte])] for byte in range(256)]
        self.merges = list(merges)
        self._rank = {pair: rank for rank, pair in enumerate(self.merges)}
        self._joined = {(a, b): numbers[self._tokens[a] + self._tokens[b]] for a, b in self.merges}
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def train(cls, text: str, size: int) -> BytePairs:
        """Learn a vocabulary of `size` tokens: first the 256 bytes, then the most frequent pair, again and again.

        A pair is counted inside words, wherever it stands (twice in `aaa`). Of equally frequent pairs that with
        the smaller left number goes first, then that with the smaller right one. A text that runs out of pairs
        gives fewer tokens: ask `len`. Raises TypeError where `text` is no string or `size` no whole number,
        ValueError for a size under 256, and what `words` raises.
        """
        check_count(size, name="size", least=256)
        counted = Counter(words(text))
        tokens, merges = [bytes([byte]) for byte in PRINTABLE], []
        number = {byte: number for number, byte in enumerate(PRINTABLE)}
        spelled = [[number[byte] for byte in word.encode()] for word in counted]
        often = list(counted.values())
        pairs: Counter[Pair] = Counter()
        where: defaultdict[Pair, set[int]] = defaultdict(set)  # the words that hold a pair, or held it once
        for index, symbols in enumerate(spelled):
            for pair in pairwise(symbols):
                pairs[pair] += often[index]
                where[pair].add(index)
        heap = [(-count, pair) for pair, count in pairs.items()]
        heapq.heapify(heap)
        while len(tokens) < size and heap:
            count, pair = heapq.heappop(heap)
            if -count != pairs[pair]:  # other merges took some away since
                if pairs[pair]:
                    heapq.heappush(heap, (-pairs[pair], pair))
                continue
            new, born = len(tokens), set()
            tokens.append(tokens[pair[0]] + tokens[pair[1]])
            merges.append(pair)
            for index in where.pop(pair):
                for old in pairwise(spelled[index]):
                    pairs[old] -= often[index]
                spelled[index] = _join(spelled[index], pair, new)
                for fresh in pairwise(spelled[index]):
                    pairs[fresh] += often[index]
                    if new in fresh:
                        where[fresh].add(index)
                        born.add(fresh)
            for fresh in born:
                heapq.heappush(heap, (-pairs[fresh], fresh))
        return cls(tokens, merges)

    def __len__(self) -> int:
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a text: in each word the merge learnt first is made first.

        Raises what `words` raises.
        """
        numbers: list[int] = []
        for word in words(text):
            if word not in self._cache:
                if len(self._cache) >= CACHED_WORDS:
                    self._cache.clear()
                self._cache[word] = self._cut(word)
            numbers += self._cache[word]
        return numbers

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens in a row; bytes that are no UTF-8 become the sign of replacement, U+FFFD.

        `decode(encode(text))` is `text`. `ids` is a list, an array or a tensor of whole numbers, in one
        dimension. Raises TypeError for anything else, ValueError for a number that is no token.
        """
        return b"".join(self._bytes(ids)).decode("utf-8", errors="replace")

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the text of each token alone, part of a character as U+FFFD. Raises what `decode` raises."""
        return [piece.decode("utf-8", errors="replace") for piece in self._bytes(ids)]

    def bytes_of(self, id: int) -> bytes:
        """Return the bytes of one token. Raises what `decode` raises."""
        return self._bytes([id])[0]

    def save(self, folder: Path | str) -> None:
        """Write `vocab.json` and `merges.txt`, in Hugging Face's format, to a folder, which is made if need be."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        printed = ["".join(PRINTABLE[byte] for byte in token) for token in self._tokens]
        lines = ["#version: 0.2", *(f"{printed[a]} {printed[b]}" for a, b in self.merges), ""]
        with atomic_write(folder / "merges.txt") as file:
            file.write("\n".join(lines).encode())
        with atomic_write(folder / "vocab.json") as file:
            numbers = {text: number for number, text in enumerate(printed)}
            file.write(json.dumps(numbers, ensure_ascii=False).encode())

    @classmethod
    def load(cls, folder: Path | str) -> BytePairs:
        """Read a tokenizer from the `vocab.json` and `merges.txt` of a folder: ours, or GPT-2's own.

        Raises FileNotFoundError where one is missing, ValueError, which names the file, where it is no such file,
        where numbers are missing or doubled, or where a merge speaks of tokens that the vocabulary has not.
        """
        path = Path(folder) / "vocab.json"
        try:
            vocabulary = json.loads(path.read_text(encoding="utf-8"))
            texts = sorted(vocabulary, key=vocabulary.get)
            tokens = [bytes(BYTES[character] for character in text) for text in texts]
            if [vocabulary[text] for text in texts] != list(range(len(texts))):
                raise ValueError("its numbers are not 0, 1, 2 … each once")
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"{path} is no vocabulary of byte pairs: {error!r}") from error
        if missing := {bytes([byte]) for byte in range(256)} - set(tokens):
            raise ValueError(f"{path} lacks {len(missing)} of the 256 single bytes, the first {min(missing)!r}")
        path, merges = Path(folder) / "merges.txt", []
        for row, line in enumerate(path.read_text(encoding="utf-8", errors="replace").split("\n"), 1):
            if not line or (row == 1 and line.startswith("#version")):
                continue
            left, _, right = line.partition(" ")
            if not {left, right, left + right} <= vocabulary.keys():
                raise ValueError(f"{path}, line {row}: {line!r} is no pair of tokens that gives a token")
            merges.append((vocabulary[left], vocabulary[right]))
        return cls(tokens, merges)

    def _cut(self, word: str) -> list[int]:
        """Return the tokens of one word."""
        symbols, last = [self._first[byte] for byte in word.encode()], len(self._rank)
        while len(symbols) > 1:
            best = min(pairwise(symbols), key=lambda pair: self._rank.get(pair, last))
            if best not in self._rank:
                break
            symbols = _join(symbols, best, self._joined[best])
        return symbols

    def _bytes(self, ids: Iterable[int]) -> list[bytes]:
        """Return the bytes of each token."""
        numbers = ids.tolist() if hasattr(ids, "tolist") else ids
        if not isinstance(numbers, Iterable):
            raise TypeError(f"ids must be a row of whole numbers, got {ids!r}")
        numbers = [check_count(number, name="each of ids", least=0) for number in numbers]
        if numbers and max(numbers) >= len(self):
            raise ValueError(f"ids must be below {len(self)}, the size of the vocabulary, got {max(numbers)}")
        return [self._tokens[number] for number in numbers]


def _join(symbols: list[int], pair: Pair, new: int) -> list[int]:
    """Return the symbols with `new` in place of each `pair`, found from left to right."""
    joined: list[int] = []
    for symbol in symbols:
        if joined and joined[-1] == pair[0] and symbol == pair[1]:
            joined[-1] = new
        else:
            joined.append(symbol)
    return joined


def _kind(character: str) -> str:
    """Return the ASCII character that stands in for one outside ASCII; capital A, for 'ſ is no ending 's."""
    if (category := unicodedata.category(character)) == "Cs":
        raise ValueError(f"text holds {character!r}, half of a pair of surrogates, which UTF-8 cannot write")
    return "\t" if character.isspace() else {"L": "A", "N": "0"}.get(category[0], "!")
