"""Strings to copy, to reverse or to sort: sequences whose every probability is known.

A row is a task, a string of letters, an equals sign, the answer, and padding up to the length of the longest
row. Task, length and letters are drawn uniformly and cannot be predicted; the answer follows from them and costs
nothing.
"""

from __future__ import annotations

import math
from string import ascii_lowercase

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_tokens

__all__ = ["StringTasks"]


class StringTasks:
    """Tokens 0 to `letters - 1` are letters; `copy`, `reverse`, `sort`, `equals` and `padding` follow.

    Strings have `shortest` to `longest` letters; a row has `2 * longest + 2` places.
    """

    def __init__(self, letters: int = 16, shortest: int = 3, longest: int = 12) -> None:
        self.letters = check_count(letters, name="letters", least=2)
        if letters > len(ascii_lowercase):
            raise ValueError(f"letters must be at most {len(ascii_lowercase)}, got {letters}")
        self.shortest = check_count(shortest, name="shortest")
        self.longest = check_count(longest, name="longest", least=shortest)
        self.copy, self.reverse, self.sort, self.equals, self.padding = range(letters, letters + 5)
        self.vocabulary, self.places = letters + 5, 2 * longest + 2

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Draw `n` rows, `(n, places)` int64."""
        task = torch.randint(self.copy, self.equals, (check_count(n), 1), generator=generator)
        length = torch.randint(self.shortest, self.longest + 1, (n, 1), generator=generator)
        string = torch.randint(self.letters, (n, self.longest), generator=generator)
        return self.rows(task, length, string)

    def rows(self, task: Tensor, length: Tensor, string: Tensor) -> Tensor:
        """Return the rows, with answers, of tasks `(n, 1)` on the first `length` `(n, 1)` letters of `string`."""
        place = torch.arange(self.longest)
        inside = place < length
        string = string.masked_fill(~inside, self.padding)
        turned = string.gather(1, (length - 1 - place) % self.longest).masked_fill(~inside, self.padding)
        answer = torch.where(
            task == self.copy, string, torch.where(task == self.reverse, turned, string.sort(1)[0])
        )
        rows = torch.full((len(task), self.places + self.longest), self.padding)
        rows[:, :1], rows[:, 1 : self.longest + 1] = task, string
        rows.scatter_(1, length + 1, self.equals)
        rows.scatter_(1, length + 2 + place, answer)
        return rows[:, : self.places]

    def lengths(self, x: Tensor) -> Tensor:
        """Return how many letters the string of each row has, `(n,)`: the place of the equals sign less one."""
        return (check_tokens(x, self.vocabulary) == self.equals).int().argmax(1) - 1

    def right(self, x: Tensor) -> Tensor:
        """Return which rows end in the whole right answer and nothing else, `(n,)` bool."""
        length = self.lengths(x).clamp_min(0)[:, None]
        string = x[:, 1 : self.longest + 1].clamp_max(self.letters - 1)
        return (self.rows(x[:, :1], length, string) == x).all(1) & self._well_posed(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each row, in nats, `(n,)`: minus infinity for a wrong answer."""
        choices = math.log(3) + math.log(self.longest - self.shortest + 1)
        exact = -choices - self.lengths(x) * math.log(self.letters)
        return torch.where(self.right(x), exact, -math.inf)

    def entropy(self) -> float:
        """Return the mean of `-log_prob` over all rows: no model can need fewer nats."""
        choices = math.log(3) + math.log(self.longest - self.shortest + 1)
        return choices + (self.shortest + self.longest) / 2 * math.log(self.letters)

    def text(self, x: Tensor) -> list[str]:
        """Return each row as a reader would write it, as "reverse abc = cba"."""
        words = [*ascii_lowercase[: self.letters], "copy ", "reverse ", "sort ", " = ", ""]
        return ["".join(words[token] for token in row) for row in check_tokens(x, self.vocabulary).tolist()]

    def _well_posed(self, x: Tensor) -> Tensor:
        length = self.lengths(x)
        task = (x[:, 0] >= self.copy) & (x[:, 0] <= self.sort)
        letters = (x[:, 1:] < self.letters) | (torch.arange(1, x.shape[1]) > length[:, None])
        return task & letters.all(1) & (length >= self.shortest) & (length <= self.longest)
