"""The stack of linear layers, against the same sum written out."""

import pytest
import torch
from torch import nn

from genbook.nn.mlp import mlp


def test_layers_and_activations_alternate_and_the_last_layer_is_bare():
    network = mlp([3, 5, 4, 2], activation=nn.Tanh)
    assert [type(layer) for layer in network] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert [(m.in_features, m.out_features) for m in network[::2]] == [(3, 5), (5, 4), (4, 2)]
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    first, second, third = network[::2]
    hidden = torch.tanh(x @ first.weight.T + first.bias)
    hidden = torch.tanh(hidden @ second.weight.T + second.bias)
    assert torch.allclose(network(x), hidden @ third.weight.T + third.bias, atol=1e-6)


def test_two_sizes_are_one_linear_layer():
    network = mlp([4, 1])
    assert [type(layer) for layer in network] == [nn.Linear]
    assert network(torch.zeros(7, 4)).shape == (7, 1)


def test_the_usual_activation_is_silu_and_each_place_has_its_own():
    network = mlp((2, 3, 3, 1))
    assert isinstance(network[1], nn.SiLU)
    assert network[1] is not network[3]
    learnt = mlp([2, 3, 3, 1], activation=nn.PReLU)
    assert len(list(learnt.parameters())) == 3 * 2 + 2


@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        ([3], ValueError, r"sizes must name inputs and outputs at least, got \[3\]"),
        ([], ValueError, r"sizes must name inputs and outputs at least, got \[\]"),
        ([2, 0, 1], ValueError, "each of sizes must be at least 1, got 0"),
        ([2, 3, -1], ValueError, "each of sizes must be at least 1, got -1"),
        ([2, 2.5, 1], TypeError, r"each of sizes must be a whole number, got 2\.5"),
    ],
)
def test_bad_sizes_are_refused_by_name(sizes, error, message):
    with pytest.raises(error, match=message):
        mlp(sizes)
