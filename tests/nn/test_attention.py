"""Attention: by hand, causal by perturbation, its cache, its positions; torch's own stands in tests/parity."""

import math

import pytest
import torch
from torch import nn

from genbook.nn.attention import Cache, MultiHeadAttention, attend, causal_mask, rotate, sinusoidal


def normals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(width=8, heads=2, seed=0, **options):
    torch.manual_seed(seed)
    return MultiHeadAttention(width, heads, **options).eval()


# ---- the soft look-up -------------------------------------------------------------------------------------------
def test_one_look_up_worked_out_by_hand():
    """Scores 0 and ln 3 (after the root of 4): weights 1/4 and 3/4."""
    q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    k = torch.tensor([[0.0, 1.0, 1.0, 1.0], [math.log(3), 5.0, 0.0, 0.0]])
    v = torch.tensor([[0.0, 4.0, 1.0], [8.0, 0.0, 1.0]])
    out, weights = attend(q, k, v)
    assert weights[0].tolist() == pytest.approx([0.25, 0.75])
    assert out[0].tolist() == pytest.approx([6.0, 1.0, 1.0])


def test_a_masked_place_has_no_weight_and_no_influence():
    q, k, v = normals(3, 5, 4)
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[:, 2] = False
    out, weights = attend(q, k, v, mask)
    assert bool((weights[:, 2] == 0).all()) and torch.allclose(weights.sum(-1), torch.ones(5))
    k[2], v[2] = 1e3, -1e3
    assert torch.equal(out, attend(q, k, v, mask)[0])


def test_scores_are_divided_by_the_root_of_the_width_of_a_head():
    """Scores of normal queries and keys then have variance 1 for every width."""
    for d in (4, 64, 1024):
        q, k = normals(2, 200, d, seed=d)
        weights = attend(q, k, k)[1]
        scores = weights.log() - weights.log().mean(-1, keepdim=True)
        assert scores.var().item() == pytest.approx(1.0, abs=0.1)


def test_bad_shapes_and_masks_are_refused():
    q, k, v = normals(3, 5, 4)
    with pytest.raises(ValueError, match=r"q must be \(…, T, d\), k \(…, S, d\) and v"):
        attend(q, k[:, :3], v)
    with pytest.raises(ValueError, match=r"q must be \(…, T, d\), k \(…, S, d\) and v"):
        attend(q, k, v[:3])
    with pytest.raises(ValueError, match=r"mask must hold true where a place may look, got torch\.float32"):
        attend(q, k, v, torch.zeros(5, 5))
    with pytest.raises(ValueError, match="mask leaves a place that may look nowhere"):
        attend(q, k, v, torch.zeros(5, 5, dtype=torch.bool))


def test_the_causal_mask_looks_back_and_at_itself():
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


# ---- heads ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"causal": True, "rotary": True}, {"rotary": True}])
def test_the_layer_is_its_weights_applied_to_its_values(options):
    one, x = layer(**options), normals(3, 6, 8)
    weights = one.weights(x)
    values = one.key_value(x)[..., 8:].unflatten(-1, (2, 4)).transpose(1, 2)
    due = one.output((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(one(x), due, rtol=1e-5, atol=1e-6)
    assert weights.shape == (3, 2, 6, 6) and torch.allclose(weights.sum(-1), torch.ones(3, 2, 6))


def test_each_head_sees_its_own_part_of_the_width():
    """Two heads equal two layers of one head each, on the two halves of the projections."""
    one, x = layer(), normals(1, 5, 8)
    q, (k, v) = one.query(x), one.key_value(x).chunk(2, -1)
    parts = [attend(q[..., s], k[..., s], v[..., s])[0] for s in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(one(x), one.output(torch.cat(parts, -1)), rtol=1e-5, atol=1e-6)


def test_nothing_that_comes_later_changes_what_came_before():
    x = normals(2, 7, 8)
    for options in ({"causal": True}, {"causal": True, "rotary": True}):
        one = layer(**options)
        before = one(x)
        for place in range(7):
            changed = x.clone()
            changed[:, place] += 1.0
            moved = (one(changed) - before).abs().amax((0, 2)) > 1e-6
            assert moved.tolist() == [later >= place for later in range(7)]
    free = layer()
    changed = x.clone()
    changed[:, -1] += 1.0
    assert bool(((free(changed) - free(x)).abs().amax((0, 2)) > 1e-6).all())


def test_a_mask_is_joined_to_the_causal_one():
    one, x = layer(causal=True), normals(1, 4, 8)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[3, 1] = False
    weights = one.weights(x, mask=mask)
    assert bool((weights[0, :, 3, 1] == 0).all()) and bool((weights[0, :, 0, 1:] == 0).all())
    changed = x.clone()
    changed[0, 1] += 1.0
    difference = (one(changed, mask=mask) - one(x, mask=mask)).abs().amax(2)[0] > 1e-6
    assert difference.tolist() == [False, True, True, False]


def test_memory_of_another_width_is_looked_at_and_its_order_does_not_matter():
    one, x, memory = layer(memory_width=3), normals(2, 4, 8), normals(2, 6, 3, seed=1)
    out = one(x, memory)
    assert out.shape == (2, 4, 8) and one.weights(x, memory).shape == (2, 2, 4, 6)
    torch.testing.assert_close(out, one(x, memory[:, torch.tensor([3, 1, 5, 0, 2, 4])]), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(out, one(x, memory + 1))


def test_without_positions_permuted_places_give_permuted_outputs_and_with_them_not():
    order, x = torch.tensor([2, 0, 3, 1]), normals(1, 4, 8)
    plain, turned = layer(), layer(rotary=True)
    torch.testing.assert_close(plain(x[:, order]), plain(x)[:, order], rtol=1e-5, atol=1e-6)
    assert (turned(x[:, order]) - turned(x)[:, order]).abs().max() > 1e-3


def test_dropout_acts_in_training_alone():
    one, x = layer(dropout=0.5), normals(1, 6, 8)
    assert torch.equal(one(x), one(x))
    one.train()
    assert not torch.equal(one(x), one(x))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads must divide the width 8, got 3"):
        MultiHeadAttention(8, 3)


# ---- positions --------------------------------------------------------------------------------------------------
def test_sinusoids_are_those_of_the_paper():
    table = sinusoidal(50, 8)
    assert table[0].tolist() == [0, 1] * 4
    for t, i in ((3, 0), (49, 1), (17, 3)):
        angle = t / 10_000 ** (2 * i / 8)
        assert table[t, 2 * i : 2 * i + 2].tolist() == pytest.approx([math.sin(angle), math.cos(angle)], abs=1e-5)
    with pytest.raises(ValueError, match="width must be even, got 7"):
        sinusoidal(3, 7)


def test_rotated_products_depend_on_the_distance_alone():
    q, k = normals(2, 1, 8).double()
    products = torch.stack(
        [(rotate(q, t) * rotate(k, s)).sum() for t, s in ((5, 3), (12, 10), (102, 100), (5, 4), (3, 5))]
    )
    assert products[1].item() == pytest.approx(products[0].item(), abs=1e-5)
    assert products[2].item() == pytest.approx(products[0].item(), abs=1e-5)
    assert abs(products[3] - products[0]) > 1e-3 and abs(products[4] - products[0]) > 1e-3


def test_rotation_turns_pairs_by_the_papers_angles_and_keeps_lengths():
    x = torch.tensor([[1.0, 2.0, 0.0, 0.0]]).expand(4, 4)
    turned = rotate(x)
    for t in range(4):
        for i, length in ((0, 1.0), (1, 2.0)):
            angle = t / 10_000 ** (2 * i / 4)
            found = turned[t, i].item(), turned[t, i + 2].item()
            assert found == pytest.approx((length * math.cos(angle), length * math.sin(angle)), abs=1e-6)
    assert torch.equal(rotate(x)[2:], rotate(x[2:], 2))
    with pytest.raises(ValueError, match="x must have an even last dimension, got 3"):
        rotate(torch.zeros(2, 3))


# ---- the cache --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("pieces", [[1] * 9, [4, 1, 1, 3], [9]])
def test_places_that_come_in_pieces_give_what_they_give_together(rotary, pieces):
    one, x, cache = layer(causal=True, rotary=rotary), normals(2, 9, 8), Cache()
    found = torch.cat([one(part, cache=cache) for part in x.split(pieces, 1)], 1)
    torch.testing.assert_close(found, one(x), rtol=1e-5, atol=1e-6)
    assert cache.length == 9


def test_the_room_of_a_cache_grows_and_loses_nothing():
    cache, k, v = Cache(), *normals(2, 1, 2, 300, 4)
    for start in range(0, 300, 25):
        found = cache.extend(k[:, :, start : start + 25], v[:, :, start : start + 25])
        assert torch.equal(found[0], k[:, :, : start + 25]) and torch.equal(found[1], v[:, :, : start + 25])


# ---- what a head can be set to do -------------------------------------------------------------------------------
def test_a_head_can_copy_the_token_before():
    """Positions as one-hot vectors: the query asks for the place before, and the value is the token."""
    places, tokens = torch.eye(6), nn.functional.one_hot(torch.tensor([3, 1, 4, 1, 5, 0]), 6).float()
    weights = attend(50 * places.roll(-1, 1), places, tokens, causal_mask(6))[0]
    assert torch.allclose(weights[1:], tokens[:-1], atol=1e-4)
