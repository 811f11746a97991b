"""Our losses and our spectral norm against PyTorch's own: the same weights in, the same numbers out."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from torch.nn.utils import parametrizations, spectral_norm

from genbook.models.gan import MINIMAX, NON_SATURATING, gradient_penalty, r1
from genbook.models.gan import spectral_norm as our_spectral_norm
from genbook.nn.mlp import mlp


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("game", [MINIMAX, NON_SATURATING])
def test_the_critics_loss_is_the_binary_cross_entropy_with_logits(game):
    real, fake = 4 * torch.randn(2, 300, 1, generator=generator(), dtype=torch.float64)
    real.requires_grad_(), fake.requires_grad_()
    theirs = binary_cross_entropy_with_logits(real, torch.ones_like(real))
    theirs = theirs + binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    ours = game.critic(real, fake)
    assert torch.allclose(ours, theirs)
    pairs = zip(torch.autograd.grad(ours, (real, fake)), torch.autograd.grad(theirs, (real, fake)), strict=True)
    assert all(torch.allclose(a, b) for a, b in pairs)


def test_the_generators_losses_are_cross_entropies_with_either_label():
    fake = 4 * torch.randn(300, generator=generator(), dtype=torch.float64)
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    assert torch.allclose(NON_SATURATING.generator(fake), binary_cross_entropy_with_logits(fake, ones))
    assert torch.allclose(MINIMAX.generator(fake), -binary_cross_entropy_with_logits(fake, zeros))
    assert torch.allclose(MINIMAX.generator(fake), logsigmoid(-fake).mean())


def train(network, steps=6):
    """Some steps of descent; returns what the network answers before each, and at the end in evaluation mode."""
    x = torch.randn(9, 1, 6, 6, generator=generator(3), dtype=torch.float64)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.3)
    network.train()
    outputs = []
    for _ in range(steps):
        optimiser.zero_grad()
        y = network(x)
        outputs.append(y.detach())
        (y - 1).square().mean().backward()
        optimiser.step()
    network.eval()
    return torch.stack([*outputs, network(x).detach()])


def test_spectral_norm_equals_pytorchs_for_layers_of_both_kinds_through_training():
    """`torch.nn.utils.spectral_norm` takes its step in the paper's order, v then u, as ours does."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(64, 5)).double()
    ours, theirs = our_spectral_norm(copy.deepcopy(plain), generator=generator()), copy.deepcopy(plain)
    for i in (0, 3):
        spectral_norm(theirs[i])
        theirs[i].weight_u.copy_(ours[i].parametrizations.weight[0].u)
        theirs[i].weight_v.copy_(ours[i].parametrizations.weight[0].v)
    found, expected = train(ours), train(theirs)
    assert torch.allclose(found, expected, atol=1e-10)
    assert not torch.allclose(found[0], found[-1], atol=1e-2)  # something was learnt on the way
    assert not torch.allclose(found, train(plain), atol=1e-2)


def test_spectral_norm_equals_the_parametrisation_of_the_transposed_matrix():
    """`parametrizations.spectral_norm` steps u first, so ours is theirs with rows and columns exchanged."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(36, 5)).double()
    ours, theirs = our_spectral_norm(copy.deepcopy(plain), generator=generator()), copy.deepcopy(plain)
    parametrizations.spectral_norm(theirs[1], dim=1)
    with torch.no_grad():
        theirs[1].parametrizations.weight[0]._u.copy_(ours[1].parametrizations.weight[0].v)
        theirs[1].parametrizations.weight[0]._v.copy_(ours[1].parametrizations.weight[0].u)
    assert torch.allclose(train(ours), train(theirs), atol=1e-10)


def test_the_slopes_are_those_of_the_jacobian():
    torch.manual_seed(0)
    critic = mlp([3, 16, 1], activation=nn.Tanh).double()
    real, fake = torch.randn(2, 7, 3, generator=generator(), dtype=torch.float64)
    mix = torch.rand(7, generator=generator(), dtype=torch.float64)

    def slopes(x):
        return torch.func.vmap(torch.func.jacrev(lambda row: critic(row)[0]))(x)

    between = mix[:, None] * real + (1 - mix[:, None]) * fake
    assert torch.allclose(r1(critic, real, fake), 0.5 * slopes(real).square().sum(1).mean())
    expected = (slopes(between).norm(dim=1) - 1).square().mean()
    assert torch.allclose(gradient_penalty(critic, real, fake, mix=mix), expected)
    ours = torch.autograd.grad(gradient_penalty(critic, real, fake, mix=mix), critic[0].weight)[0]
    theirs = torch.autograd.grad((slopes(between).norm(dim=1) - 1).square().mean(), critic[0].weight)[0]
    assert torch.allclose(ours, theirs)
