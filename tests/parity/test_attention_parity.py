"""Attention against PyTorch's own: the same weights in, the same numbers out, to 1e-6."""

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from genbook.nn.attention import MultiHeadAttention, attend, causal_mask


def normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("causal", [False, True])
def test_attend_equals_torchs_function(causal):
    q, k, v = normals(2, 4, 33, 16), normals(2, 4, 33, 16, seed=1), normals(2, 4, 33, 16, seed=2)
    found, _ = attend(q, k, v, causal_mask(33) if causal else None)
    truth = scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("causal", "memory_width"), [(False, None), (True, None), (False, 5)])
def test_the_layer_equals_torchs_with_the_same_weights(causal, memory_width):
    torch.manual_seed(0)
    ours = MultiHeadAttention(12, 3, causal=causal, memory_width=memory_width).eval()
    inputs = memory_width or 12
    theirs = nn.MultiheadAttention(12, 3, kdim=memory_width, vdim=memory_width, batch_first=True).eval()
    key, value = ours.key_value.weight.chunk(2)
    with torch.no_grad():
        if memory_width is None:
            theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, key, value]))
        else:
            theirs.q_proj_weight.copy_(ours.query.weight)
            theirs.k_proj_weight.copy_(key)
            theirs.v_proj_weight.copy_(value)
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
        x, memory = normals(2, 7, 12), None if memory_width is None else normals(2, 9, inputs, seed=1)
        source = x if memory is None else memory
        mask = ~causal_mask(7) if causal else None
        truth, weights = theirs(x, source, source, attn_mask=mask, average_attn_weights=False)
        torch.testing.assert_close(ours(x, memory), truth, rtol=0, atol=1e-6)
        torch.testing.assert_close(ours.weights(x, memory), weights, rtol=0, atol=1e-6)
