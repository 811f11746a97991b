r"""GPT: a transformer that reads a sequence from left to right and says what comes next.

Sources: Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*, section 2.3: normalisation
before each part and once at the end, the weights that write into the residual stream scaled by $1/\sqrt{2 \cdot
\mathrm{layers}}$ at the start. One table for the tokens that come in and those that go out: Press & Wolf (2017),
arXiv:1608.05859. Rotary positions: Su et al. (2021), arXiv:2104.09864.

Simplified: no dropout of the attention weights themselves, which would cost a third of the time of a step; one
token, `start`, stands before every sequence, so that its first token has a probability too; a sequence longer
than the context is read anew from half a context back whenever the context is full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from genbook.checks import check_count, check_tokens
from genbook.nn.attention import Cache, MultiHeadAttention
from genbook.samplers.tokens import generate

__all__ = ["GPT", "Block"]

#: What GPT-2 has in Hugging Face's configurations, and this family knows no other way of.
GPT2_ONLY = {"activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "scale_attn_weights": True}
GPT2_ONLY |= {"scale_attn_by_inverse_layer_idx": False, "tie_word_embeddings": True}


class Block(nn.Module):
    """Attention, and a network with one hidden layer, each after a normalisation and beside the identity."""

    def __init__(self, width: int, heads: int, *, hidden: int, rotary: bool, dropout: float) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads, causal=True, rotary=rotary)
        self.expand, self.contract = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return the places of `x`, `(n, T, width)`, after they have looked back and each has computed."""
        x = x + self.dropout(self.attention(self.first_norm(x), cache=cache))
        return x + self.dropout(self.contract(gelu(self.expand(self.second_norm(x)), approximate="tanh")))


class GPT(nn.Module):
    r"""The mass function $P(x) = \prod_t P(x_t \mid x_{<t})$ on sequences of at most `context` tokens.

    - `vocabulary`: how many tokens there are; `context`: how many places the network sees
    - `width`, `layers`, `heads`, `hidden` (the hidden layer of a block; four widths unless told)
    - `rotary`: positions turn queries and keys; else a learnt vector is added at each place, as in GPT-2
    - `start`: the token that stands before every sequence; with `rotary` give one that texts do not hold, for
      turned queries and keys cannot tell one token of a kind from two

    Data are `(n, T)` int64. Raises ValueError for other data, for a `start` outside the vocabulary, and where
    heads do not divide the width.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        *,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        rotary: bool = True,
        dropout: float = 0.0,
        start: int = 0,
    ) -> None:
        super().__init__()
        self.vocabulary = check_count(vocabulary, name="vocabulary", least=2)
        self.context, self.start = check_count(context, name="context"), start
        if not 0 <= start < vocabulary:
            raise ValueError(f"start must be a token from 0 to {vocabulary - 1}, got {start}")
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = None if rotary else nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        options = {"hidden": hidden or 4 * width, "rotary": rotary, "dropout": dropout}
        self.blocks = nn.ModuleList(
            Block(width, heads, **options) for _ in range(check_count(layers, name="layers"))
        )
        self.norm = nn.LayerNorm(width)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)
            elif value.ndim == 2:
                writes = name.endswith(("output.weight", "contract.weight"))  # into the residual stream
                nn.init.normal_(value, std=0.02 / (2 * layers) ** 0.5 if writes else 0.02)

    def forward(self, tokens: Tensor, caches: Sequence[Cache] | None = None) -> Tensor:
        """Return the logits of what follows each of `tokens`, `(n, T, vocabulary)`.

        With one cache a layer the tokens go on from those that the caches have seen.
        """
        first = caches[0].length if caches else 0
        if first + tokens.shape[1] > self.context:
            raise ValueError(f"the context has {self.context} places, got {first + tokens.shape[1]} tokens")
        x = self.tokens(tokens)
        if self.places is not None:
            x = x + self.places.weight[first : first + tokens.shape[1]]
        x = self.dropout(x)
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            x = block(x, cache)
        return self.norm(x) @ self.tokens.weight.T

    def token_log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of every token given those before it, in nats, `(n, T)`."""
        check_tokens(x, self.vocabulary)
        before = torch.cat([x.new_full((len(x), 1), self.start), x[:, :-1]], 1)
        return -cross_entropy(self(before).transpose(1, 2), x, reduction="none")

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-probability of each sequence, in nats, `(n,)`: a mass over all sequences of T tokens."""
        return self.token_log_prob(x).sum(1)

    def loss(self, x: Tensor) -> Tensor:
        """Return the mean over the batch of `-log_prob`: nats a sequence."""
        return -self.log_prob(x).mean()

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        length: int | None = None,
        prompt: Tensor | None = None,
        rules: Sequence[Callable[[Tensor], Tensor]] = (),
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw `n` sequences of `length` tokens (one context unless told), `(n, length)`.

        With a `prompt`, `(T,)`, they go on from it. `rules` change the logits before each draw, in their order
        (see `genbook.samplers.tokens`).
        """
        begin = torch.tensor([self.start], device=self.tokens.weight.device)
        if prompt is not None:
            begin = torch.cat([begin, check_tokens(prompt[None], self.vocabulary, name="prompt")[0]])
        begin = begin.repeat(check_count(n), 1)
        return generate(self.reader(), begin, length or self.context, rules=rules, generator=generator)

    def reader(self) -> Callable[[Tensor], Tensor]:
        """Return a function that is told the next tokens, `(n, T)`, and returns the logits of what follows them.

        It keeps keys and values, so that a token is computed once until the context is full.
        """
        caches, seen = [Cache() for _ in self.blocks], torch.empty(0, 0, dtype=torch.int64)

        def read(tokens: Tensor) -> Tensor:
            nonlocal caches, seen
            seen = torch.cat([seen, tokens], 1) if seen.numel() else tokens
            if caches[0].length + tokens.shape[1] > self.context:
                caches, tokens = [Cache() for _ in self.blocks], seen[:, -max(self.context // 2, 1) :]
            return self(tokens, caches)[:, -1]

        return read

    @classmethod
    def from_gpt2(cls, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Self:
        """Build the model from the tensors and the configuration of a GPT-2 in Hugging Face's format.

        Raises ValueError for a configuration that this family does not cover, KeyError for a missing tensor.
        """
        for key, only in GPT2_ONLY.items():
            if config.get(key, only) != only:
                raise ValueError(f"{key} must be {only!r}, got {config[key]!r}")
        width = config["n_embd"]
        sizes = {"width": width, "layers": config["n_layer"], "heads": config["n_head"], "rotary": False}
        more = {"hidden": config.get("n_inner"), "start": config.get("bos_token_id", 0)}
        model = cls(config["vocab_size"], config["n_positions"], **sizes, **more)
        found = {name.removeprefix("transformer."): value for name, value in state.items()}
        ours = {}
        for theirs, names, turned in _gpt2_names(config["n_layer"]):
            value = found[theirs].T if turned else found[theirs]
            parts = (value[:width], value[width:]) if len(names) == 2 else (value,)
            ours |= {name: part.contiguous() for name, part in zip(names, parts, strict=True)}
        model.load_state_dict(ours)
        return model

    def to_gpt2(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors and the configuration as Hugging Face's GPT-2 has them; positions must be learnt."""
        if self.places is None:
            raise ValueError("GPT-2 adds learnt positions: rotary must be False")
        ours, theirs = self.state_dict(), {}
        for name, names, turned in _gpt2_names(len(self.blocks)):
            value = torch.cat([ours[one] for one in names])
            theirs[f"transformer.{name}"] = (value.T if turned else value).contiguous()
        first, said = self.blocks[0], {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
        sizes = {"vocab_size": self.vocabulary, "n_positions": self.context, "n_embd": self.tokens.weight.shape[1]}
        parts = {
            "n_layer": len(self.blocks),
            "n_head": first.attention.heads,
            "n_inner": first.expand.out_features,
        }
        ends = {"bos_token_id": self.start, "eos_token_id": self.start}
        config = said | {"activation_function": "gelu_new"} | sizes | parts | ends
        return theirs, config


def _gpt2_names(layers: int) -> list[tuple[str, tuple[str, ...], bool]]:
    """Return GPT-2's name of each tensor, ours, and whether it is a matrix that GPT-2 keeps turned over."""
    names = [("wte.weight", ("tokens.weight",), False), ("wpe.weight", ("places.weight",), False)]
    parts = {"attn.c_attn": ("attention.query", "attention.key_value"), "attn.c_proj": ("attention.output",)}
    parts |= {"mlp.c_fc": ("expand",), "mlp.c_proj": ("contract",)}
    parts |= {"ln_1": ("first_norm",), "ln_2": ("second_norm",)}
    for layer in range(layers):
        for theirs, ours in parts.items():
            for kind in ("weight", "bias"):
                turned = kind == "weight" and not theirs.startswith("ln")
                names.append(
                    (f"h.{layer}.{theirs}.{kind}", tuple(f"blocks.{layer}.{one}.{kind}" for one in ours), turned)
                )
    return names + [(f"ln_f.{kind}", (f"norm.{kind}",), False) for kind in ("weight", "bias")]
