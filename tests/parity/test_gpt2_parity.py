"""Our GPT against `transformers`' GPT-2: the same files, logits and text, in both directions."""

import json
from functools import partial

import pytest
import torch
import transformers
from safetensors.torch import save_file

from genbook.cli.gpt2 import load_gpt2, save_gpt2
from genbook.models.gpt import GPT
from genbook.samplers.tokens import temperature

if not transformers.is_torch_available():
    pytest.skip("this version of transformers needs a later version of torch", allow_module_level=True)

from transformers import GPT2Config, GPT2LMHeadModel

VOCABULARY, CONTEXT = 97, 32


def tokens(*shape, seed=0):
    return torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def disturb(model):
    """Make every parameter matter: fresh ones have biases of 0, gains of 1 and attention that is all but flat."""
    for value in model.parameters():
        value.add_(0.1 * torch.randn_like(value))
    return model.eval()


def their_model(**options):
    """A random GPT-2 of theirs."""
    known = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_embd": 64, "n_layer": 2, "n_head": 4}
    special = {"bos_token_id": 96, "eos_token_id": 96, "attn_implementation": "eager"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return disturb(GPT2LMHeadModel(GPT2Config(**known | special | options)))


def our_model(**options):
    """A random GPT of ours that has GPT-2's parts."""
    known = {"width": 64, "layers": 2, "heads": 4, "rotary": False, "start": 96}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return disturb(GPT(VOCABULARY, CONTEXT, **known | options))


@torch.no_grad()
def equal(ours, theirs, places=CONTEXT):
    """The same logits at every place, for sequences of every kind of length."""
    for length in (1, 7, places):
        x = tokens(5, length, seed=length)
        found, due = ours(x), theirs(x).logits
        assert found.shape == (5, length, VOCABULARY) and due.std() > 0.1
        torch.testing.assert_close(found, due, rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"n_inner": 40}, {"n_layer": 3, "n_head": 1}], ids=str)
def test_their_saved_model_gives_the_same_logits_here(tmp_path, options):
    theirs = their_model(**options)
    theirs.save_pretrained(tmp_path)
    ours = load_gpt2(tmp_path)
    equal(ours, theirs)
    assert ours.start == 96
    assert sum(value.numel() for value in ours.parameters()) == theirs.num_parameters()


@pytest.mark.parametrize("options", [{}, {"hidden": 40}, {"layers": 3, "heads": 1}], ids=str)
def test_our_saved_model_gives_the_same_logits_there(tmp_path, options):
    ours = our_model(**options)
    save_gpt2(ours, tmp_path)
    theirs, report = GPT2LMHeadModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    equal(ours, theirs.eval())
    assert theirs.config.bos_token_id == 96


def test_there_and_back_keeps_every_number(tmp_path):
    theirs = their_model()
    theirs.save_pretrained(tmp_path)
    save_gpt2(load_gpt2(tmp_path), tmp_path)
    back = GPT2LMHeadModel.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(back[name], value) for name, value in theirs.state_dict().items())


def test_the_body_without_its_head_loads_too(tmp_path):
    """The published files name their tensors so, and hold masks as well, which are no weights."""
    theirs = their_model()
    state = {name: value.clone() for name, value in theirs.transformer.state_dict().items()}
    state["h.0.attn.bias"] = torch.ones(1, 1, CONTEXT, CONTEXT).tril()
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(theirs.config.to_dict(), default=str), encoding="utf-8")
    equal(load_gpt2(tmp_path), theirs)


@torch.no_grad()
def test_the_loss_and_the_text_are_theirs():
    theirs = their_model()
    ours = GPT.from_gpt2(theirs.state_dict(), theirs.config.to_dict()).eval()
    x = tokens(3, 20)
    whole = torch.cat([torch.full((3, 1), 96), x], 1)  # they start where they are told to: at our start
    assert ours.loss(x).item() == pytest.approx(20 * theirs(whole, labels=whole).loss.item(), rel=1e-5)
    prompt = torch.cat([torch.tensor([[96]]), x[:1]], 1)
    options = {"attention_mask": torch.ones_like(prompt), "pad_token_id": 96, "eos_token_id": None}
    due = theirs.generate(prompt, do_sample=False, max_new_tokens=11, **options)[:, prompt.shape[1] :]
    assert torch.equal(ours.sample(1, length=11, prompt=x[0], rules=[partial(temperature, value=0)]), due)
