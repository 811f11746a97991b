r"""Hidden Markov models: a chain of states that nobody sees, and a token drawn at each.

Sources: Baum, Petrie, Soules & Weiss, *A Maximization Technique …*, Annals of Mathematical Statistics 41 (1970);
Viterbi, IEEE Trans. Information Theory 13 (1967); Rabiner, *A Tutorial on Hidden Markov Models …*, Proc. IEEE 77
(1989), section III, whose $\pi$, $A$ and $B$ are `start`, `move` and `emit` here, as logarithms throughout:
products of many chances underflow.

Simplified: tokens from a finite vocabulary; all sequences of a batch have one length.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Generator, Tensor

from genbook.checks import check_count, check_positive, check_tokens
from genbook.prob.noise import choose

__all__ = ["HiddenMarkov", "backward", "forward", "improved"]


class HiddenMarkov:
    r"""The mass function $P(x) = \sum_z \pi_{z_1} B_{z_1 x_1} \prod_{t>1} A_{z_{t-1} z_t} B_{z_t x_t}$.

    It has `states` hidden states and tokens below `vocabulary`. The tables are log-probabilities in float64:
    `start` `(S,)`, `move` `(S, S)` from the row to the column, `emit` `(S, vocabulary)`; `fit` learns them,
    `set_tables` gives them. Data are `(n, T)` int64. Raises TypeError or ValueError for bad arguments.
    """

    def __init__(self, states: int, vocabulary: int) -> None:
        self.states = check_count(states, name="states")
        self.vocabulary = check_count(vocabulary, name="vocabulary", least=2)
        self.start = self.move = self.emit = None
        self.length = 100
        self.history = torch.zeros(0, 0, dtype=torch.float64)  # nats a token, (rounds, starts)

    def set_tables(self, start: Tensor, move: Tensor, emit: Tensor) -> Self:
        """Take tables of probabilities: `start` `(S,)`, `move` `(S, S)` and `emit` `(S, vocabulary)`; rows sum to
        1.
        """
        shapes = (self.states,), (self.states, self.states), (self.states, self.vocabulary)
        for name, table, shape in zip(("start", "move", "emit"), (start, move, emit), shapes, strict=True):
            if tuple(table.shape) != shape:
                raise ValueError(f"{name} must have shape {shape}, got {tuple(table.shape)}")
            if not bool((table >= 0).all()) or float((table.sum(-1) - 1).abs().max()) > 1e-5:
                raise ValueError(f"{name} must hold probabilities whose rows sum to 1")
            setattr(self, name, (table.double() / table.double().sum(-1, keepdim=True)).log())
        return self

    def fit(
        self,
        x: Tensor,
        *,
        rounds: int = 100,
        starts: int = 1,
        tolerance: float = 1e-6,
        generator: Generator | None = None,
    ) -> Self:
        """Learn from `x`, `(n, T)`, by at most `rounds` of EM (Baum-Welch) from several random starts; the
        likeliest stays.

        All starts learn side by side; they end when none gains `tolerance` nats a token any more. `history`,
        `(rounds, starts)`, holds the log-likelihoods in nats a token before each round. A token that was not met
        gets probability 0.
        """
        x = check_tokens(x, self.vocabulary)
        rounds, starts = check_count(rounds, name="rounds"), check_count(starts, name="starts")
        check_positive(tolerance, name="tolerance", zero=True)
        shapes = (self.states,), (self.states, self.states), (self.states, self.vocabulary)
        uniform = (torch.rand(starts, *shape, generator=generator, dtype=torch.float64) for shape in shapes)
        tables = [normalised(-u.clamp_min(1e-300).log()) for u in uniform]  # flat Dirichlet distributions
        history: list[Tensor] = []
        for _ in range(rounds):
            kept = tables
            value, tables = improved(x, *tables)
            history.append(value / x.numel())
            if len(history) > 1 and bool((history[-1] - history[-2] < tolerance).all()):
                break
        best = int(history[-1].argmax())
        self.start, self.move, self.emit = (table[best] for table in kept)
        self.history, self.length = torch.stack(history), x.shape[1]
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each sequence of `x`, `(n, T)`, all paths summed, in nats, `(n,)`
        float64.
        """
        return forward(self.start, self.move, self._emitted(x))[:, -1].logsumexp(1)

    def posterior(self, x: Tensor) -> Tensor:
        """Return the probability of each state at each place, given the whole sequence, `(n, T, S)`."""
        emitted = self._emitted(x)
        return (forward(self.start, self.move, emitted) + backward(self.move, emitted)).softmax(2)

    def viterbi(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the likeliest path, `(n, T)`, and the log-probability of it and `x` together, `(n,)`.

        It is one path, and need not be the string of the states that are likeliest one by one.
        """
        emitted = self._emitted(x)
        best, came_from = self.start + emitted[:, 0], []
        for t in range(1, x.shape[1]):
            best, origin = (best[:, :, None] + self.move).max(1)
            best = best + emitted[:, t]
            came_from.append(origin)
        value, state = best.max(1)
        path = [state]
        for origin in reversed(came_from):
            path.append(origin.gather(1, path[-1][:, None])[:, 0])
        return torch.stack(path[::-1], 1), value

    def sample(self, n: int, *, length: int | None = None, generator: Generator | None = None) -> Tensor:
        """Draw `n` sequences, `(n, length)` int64, as long as those learnt from unless told (100 before any)."""
        check_count(n), self._ready()
        length = self.length if length is None else check_count(length, name="length")
        state = choose(self.start.expand(n, -1), generator=generator)
        drawn = []
        for _ in range(length):
            drawn.append(choose(self.emit[state], generator=generator))
            state = choose(self.move[state], generator=generator)
        return torch.stack(drawn, 1)

    def _emitted(self, x: Tensor) -> Tensor:
        """Return log B at the tokens of `x`, `(n, T, S)`."""
        self._ready()
        return self.emit.T[check_tokens(x, self.vocabulary)]

    def _ready(self) -> None:
        if self.start is None:
            raise RuntimeError("this HiddenMarkov has no tables yet: call fit or set_tables first")


# ---- the recursions: tables and log B at the tokens may have more dimensions in front ---------------------------
def normalised(counts: Tensor) -> Tensor:
    """Return the logarithms of rows that sum to 1."""
    return (counts / counts.sum(-1, keepdim=True)).log()


def forward(start: Tensor, move: Tensor, emitted: Tensor) -> Tensor:
    """Return log P(x_1 … x_t, z_t), `(…, n, T, S)` as `emitted` (Rabiner, equations 19 and 20)."""
    at = [start[..., None, :] + emitted[..., 0, :]]
    for t in range(1, emitted.shape[-2]):
        at.append((at[-1][..., :, None] + move[..., None, :, :]).logsumexp(-2) + emitted[..., t, :])
    return torch.stack(at, -2)


def backward(move: Tensor, emitted: Tensor) -> Tensor:
    """Return log P(x_{t+1} … x_T | z_t), `(…, n, T, S)` as `emitted` (Rabiner, equations 24 and 25)."""
    at = [torch.zeros_like(emitted[..., 0, :])]
    for t in range(emitted.shape[-2] - 1, 0, -1):
        at.append((move[..., None, :, :] + (emitted[..., t, :] + at[-1])[..., None, :]).logsumexp(-1))
    return torch.stack(at[::-1], -2)


def improved(x: Tensor, start: Tensor, move: Tensor, emit: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the log-likelihood of `x` under each of R machines, `(R,)`, and their tables after one round of EM.

    The tables have R in front. New tables are expected counts, divided (Rabiner, equations 40); a state that is
    never left keeps its row.
    """
    emitted = emit.mT[:, x]  # (R, n, T, S)
    ahead, behind = forward(start, move, emitted), backward(move, emitted)
    total = ahead[..., -1, :].logsumexp(-1)  # (R, n)
    place = (ahead + behind - total[..., None, None]).exp()
    rest = emitted[..., 1:, :] + behind[..., 1:, :] - total[..., None, None]
    pairs = (ahead[..., :-1, :, None] + move[:, None, None] + rest[..., None, :]).exp().sum((1, 2))
    met = torch.zeros(len(start), emit.shape[2], emit.shape[1], dtype=torch.float64)
    met.index_add_(1, x.flatten(), place.flatten(1, 2))
    tables = []
    for counts, old in ((place[:, :, 0].sum(1), start), (pairs, move), (met.mT, emit)):
        tables.append(torch.where(counts.sum(-1, keepdim=True) > 0, normalised(counts), old))
    return total.sum(1), tables
