"""The GPT: a mass that sums to 1, causal, its cache equal to no cache, GPT-2's format there and back."""

import itertools
import math

import pytest
import torch

from genbook.models.gpt import GPT


def small(vocabulary=5, context=12, seed=0, **options):
    """A model with weights large enough for every part to matter."""
    torch.manual_seed(seed)
    model = GPT(vocabulary, context, **{"width": 16, "layers": 2, "heads": 2, **options}).eval()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.3 * torch.randn_like(value))
    return model


def tokens(*shape, below=5, seed=0):
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(seed))


POSITIONS = pytest.mark.parametrize("rotary", [True, False], ids=["rotary", "learned"])


# ---- the mass ---------------------------------------------------------------------------------------------------
@POSITIONS
def test_the_probabilities_of_all_sequences_add_up_to_one(rotary):
    model = small(3, 5, rotary=rotary)
    everything = torch.tensor(list(itertools.product(range(3), repeat=5)))
    assert model.log_prob(everything).exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_the_token_before_everything_is_the_start():
    model = small(start=3)
    x = tokens(4, 6)
    after = model(torch.cat([torch.full((4, 1), 3), x[:, :-1]], 1)).log_softmax(-1)
    torch.testing.assert_close(model.token_log_prob(x), after.gather(2, x[..., None])[..., 0])
    torch.testing.assert_close(model.log_prob(x), model.token_log_prob(x).sum(1))
    assert model.loss(x).item() == pytest.approx(-model.log_prob(x).mean().item())
    assert not torch.allclose(model.log_prob(x), small(start=2).log_prob(x))


@POSITIONS
def test_no_token_knows_what_comes_later(rotary):
    model, x = small(rotary=rotary), tokens(3, 12)
    before = model(x)
    for place in range(12):
        changed = x.clone()
        changed[:, place] = (x[:, place] + 1) % 5
        moved = (model(changed) - before).abs().amax((0, 2)) > 1e-5
        assert moved.tolist() == [later >= place for later in range(12)]


@POSITIONS
def test_the_order_of_what_came_before_matters(rotary):
    model = small(rotary=rotary)
    found = model(torch.tensor([[1, 2, 3, 4], [2, 1, 3, 4]]))[:, -1]
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_one_table_serves_what_comes_in_and_what_goes_out():
    model = small(rotary=False)
    assert not any(tuple(v.shape) == (5, 16) for k, v in model.named_parameters() if k != "tokens.weight")
    scaled = GPT(50, 8, width=64, layers=8, heads=4)
    assert scaled.blocks[3].contract.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert scaled.blocks[3].attention.output.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert scaled.blocks[3].expand.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert scaled.loss(tokens(4, 8, below=50)).item() / 8 == pytest.approx(math.log(50), abs=0.05)


def test_dropout_acts_in_training_alone():
    model, x = small(dropout=0.5), tokens(2, 6)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


def test_a_gpt_learns_what_repeats():
    torch.manual_seed(0)
    model = GPT(6, 12, width=16, layers=2, heads=2, start=5)
    x = tokens(64, 1, seed=2).repeat(1, 12)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        model.loss(x).backward()
        optimiser.step()
    assert model.loss(x).item() == pytest.approx(math.log(5), abs=0.15)  # the first token is a guess, no other


# ---- reading and writing ----------------------------------------------------------------------------------------
@POSITIONS
def test_a_reader_says_what_the_model_says_at_once(rotary):
    model, x = small(rotary=rotary), tokens(3, 12)
    with torch.no_grad():
        read, whole = model.reader(), model(x)
        for part in x.split([3, 1, 1, 4, 1, 2], 1):
            said = read(part)
            assert said.shape == (3, 5)
        torch.testing.assert_close(said, whole[:, -1], rtol=1e-4, atol=1e-5)


def test_a_full_context_is_read_anew_from_half_a_context_back():
    model, x = small(context=6), tokens(2, 20)
    with torch.no_grad():
        read = model.reader()
        said = torch.stack([read(x[:, t : t + 1]) for t in range(20)], 1)
        torch.testing.assert_close(said[:, 5], model(x[:, :6])[:, -1], rtol=1e-4, atol=1e-5)
        for t, first in ((6, 4), (9, 4), (10, 8), (19, 16)):  # at 6, 10, 14, 18 three tokens are read anew
            torch.testing.assert_close(said[:, t], model(x[:, first : t + 1])[:, -1], rtol=1e-4, atol=1e-5)


def test_draws_follow_the_model():
    model, n = small(3, 4), 20_000
    drawn = model.sample(n, length=3, generator=torch.Generator().manual_seed(0))
    everything = torch.tensor(list(itertools.product(range(3), repeat=3)))
    due = n * model.log_prob(everything).exp()
    seen = (drawn @ torch.tensor([9, 3, 1])).bincount(minlength=27)
    assert ((seen - due).square() / due).sum().item() < 54.1  # chi-square, 26 degrees of freedom, p = 0.001


def test_a_prompt_is_gone_on_from_and_rules_hold():
    model, prompt = small(), torch.tensor([1, 4, 2])
    last = model(torch.cat([torch.tensor([0]), prompt])[None])[0, -1]
    drawn = model.sample(20_000, length=1, prompt=prompt, generator=torch.Generator().manual_seed(1))
    assert drawn.shape == (20_000, 1)
    shares = drawn[:, 0].bincount(minlength=5) / 20_000
    torch.testing.assert_close(shares, last.softmax(0).detach(), rtol=0, atol=0.015)
    forbidden = model.sample(500, length=8, rules=(lambda z: z.index_fill(-1, torch.tensor([2, 3]), -math.inf),))
    assert forbidden.shape == (500, 8) and not bool(((forbidden == 2) | (forbidden == 3)).any())
    assert model.sample(2).shape == (2, 12) and model.sample(1, length=30).shape == (1, 30)


# ---- GPT-2's format ---------------------------------------------------------------------------------------------
def test_gpt2s_format_there_and_back_keeps_every_number():
    model = small(rotary=False, hidden=24, start=4)
    state, config = model.to_gpt2()
    assert state["transformer.h.1.attn.c_attn.weight"].shape == (16, 48)
    assert config["n_inner"] == 24 and config["bos_token_id"] == 4
    back, x = GPT.from_gpt2(state, config).eval(), tokens(2, 7)
    assert torch.equal(back(x), model(x)) and torch.equal(back.log_prob(x), model.log_prob(x))
    bare = {
        name.removeprefix("transformer."): value for name, value in state.items()
    }  # as the published files have it
    assert torch.equal(GPT.from_gpt2(bare, config).eval()(x), model(x))


def test_what_gpt2s_format_does_not_cover_is_refused():
    with pytest.raises(ValueError, match="GPT-2 adds learnt positions: rotary must be False"):
        small().to_gpt2()
    state, config = small(rotary=False).to_gpt2()
    for key, other in (
        ("activation_function", "relu"),
        ("layer_norm_epsilon", 1e-6),
        ("scale_attn_weights", False),
        ("scale_attn_by_inverse_layer_idx", True),
        ("tie_word_embeddings", False),
    ):
        with pytest.raises(ValueError, match=f"{key} must be .*, got {other!r}"):
            GPT.from_gpt2(state, config | {key: other})
    del state["transformer.ln_f.bias"]
    with pytest.raises(KeyError, match=r"ln_f\.bias"):
        GPT.from_gpt2(state, config)


# ---- bad input --------------------------------------------------------------------------------------------------
def test_bad_input_is_refused():
    model = small()
    with pytest.raises(ValueError, match=r"x must have shape \(n, T\), got \(4,\)"):
        model.log_prob(tokens(4))
    with pytest.raises(TypeError, match=r"x must be an int64 tensor, got a torch\.float32 tensor"):
        model.log_prob(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="x must hold whole numbers from 0 to 4, got 1 to 5"):
        model.log_prob(torch.tensor([[1, 5]]))
    with pytest.raises(ValueError, match="prompt must hold whole numbers from 0 to 4, got -1 to -1"):
        model.sample(1, prompt=torch.tensor([-1]))
    with pytest.raises(ValueError, match="the context has 12 places, got 13 tokens"):
        model.log_prob(tokens(1, 13))
    with pytest.raises(ValueError, match="start must be a token from 0 to 4, got 5"):
        GPT(5, 8, start=5)
    with pytest.raises(ValueError, match="heads must divide the width 16, got 3"):
        GPT(5, 8, width=16, heads=3)
