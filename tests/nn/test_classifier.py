"""The classifier that judges: its shapes, its units, what it refuses, and that pictures do not see each other."""

import pytest
import torch

from genbook.nn.classifier import Classifier


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Classifier(10, size=8, scale=16.0).eval()


@pytest.mark.parametrize(("size", "places"), [(4, 1), (8, 3), (16, 5), (32, 7)])
def test_shapes_at_every_size(size, places):
    torch.manual_seed(0)
    classifier = Classifier(5, size=size, scale=1.0, features=12, width=8, widest=16).eval()
    x = torch.rand(3, 1, size, size)
    assert classifier.features(x).shape == (3, 12)
    assert classifier(x).shape == (3, 5)
    convolutions = [m for m in classifier.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == places and max(c.out_channels for c in convolutions) <= 16
    assert [c.stride[0] for c in convolutions].count(2) == places // 2


def test_the_default_features_are_64(net):
    assert net.features(torch.rand(2, 1, 8, 8)).shape == (2, 64)


def test_logits_are_a_linear_map_of_the_features(net):
    x = 16 * torch.rand(6, 1, 8, 8)
    linear = net.head[-1]
    torch.testing.assert_close(net(x), net.features(x) @ linear.weight.T + linear.bias)


def test_probabilities_are_those_of_the_logits_and_carry_no_gradient(net):
    x = (16 * torch.rand(6, 1, 8, 8)).requires_grad_()
    probabilities = net.probabilities(x)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(6))
    torch.testing.assert_close(probabilities.log(), net(x).detach().log_softmax(1))
    assert not probabilities.requires_grad
    net(x).sum().backward()  # a gradient for the pictures is there where it is wanted
    assert x.grad.abs().sum() > 0


def test_the_scale_is_kept_inside(net):
    """Pictures of twice the scale, to a classifier of twice the scale, are the same pictures."""
    double = Classifier(10, size=8, scale=32.0).eval()
    double.load_state_dict(net.state_dict())
    x = 16 * torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(double(2 * x), net(x))


def test_grey_is_not_black(net):
    """Normalisation must not hide how dark a picture is: of an even one nothing else is left."""
    black, grey = net.features(torch.stack([torch.full((1, 8, 8), 16.0), torch.full((1, 8, 8), 12.0)]))
    assert (black - grey).abs().max() > 0.02


@pytest.mark.parametrize("training", [False, True])
def test_what_a_picture_gives_does_not_depend_on_its_neighbours(training):
    torch.manual_seed(0)
    net = Classifier(10, size=8, scale=16.0, dropout=0.0).train(training)
    x = 16 * torch.rand(7, 1, 8, 8)
    with torch.no_grad():
        alone = torch.cat([net(picture[None]) for picture in x])
        beside_others = net(torch.cat([x, torch.full((5, 1, 8, 8), 16.0)]))[:7]
    torch.testing.assert_close(alone, beside_others, atol=1e-5, rtol=1e-5)


def test_dropout_acts_in_training_alone(net):
    x = 16 * torch.rand(2, 1, 8, 8)
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))
    assert torch.equal(net.features(x), net.features(x)), "the features are never dropped"


def test_the_features_weigh_each_place_on_its_own():
    """Letters differ by where they stand on the line, so the features are no average over places."""
    net = Classifier(10, size=32, scale=1.0, width=8, widest=24)
    (linear,) = (module for module in net.body if isinstance(module, torch.nn.Linear))
    assert linear.in_features == 4 * 4 * 24


def nan(x):
    x[0, 0, 2, 3] = torch.nan
    return x


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
            TypeError,
            r"x must be a floating-point tensor, got a torch.uint8",
        ),
        ([[0.0]], TypeError, r"x must be a floating-point tensor, got list"),
        (torch.zeros(2, 8, 8), ValueError, r"x must have shape \(n, 1, 8, 8\), n ≥ 1, got \(2, 8, 8\)"),
        (torch.zeros(2, 3, 8, 8), ValueError, r"x must have shape .* got \(2, 3, 8, 8\)"),
        (torch.zeros(2, 1, 32, 32), ValueError, r"x must have shape .* got \(2, 1, 32, 32\)"),
        (torch.zeros(0, 1, 8, 8), ValueError, r"n ≥ 1, got \(0, 1, 8, 8\)"),
        (nan(torch.zeros(2, 1, 8, 8)), ValueError, r"x holds 1 NaN in 128 numbers"),
    ],
)
def test_bad_pictures_are_refused_by_every_call(net, x, error, message):
    for call in (net, net.features, net.probabilities):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"size": 12}, ValueError, "size must be 4 times a power of 2, got 12"),
        ({"size": 2}, ValueError, "size must be at least 4, got 2"),
        ({"scale": 0.0}, ValueError, "scale must be a finite number > 0"),
        ({"features": 0}, ValueError, "features must be at least 1"),
        ({"classes": 1}, ValueError, "classes must be at least 2, got 1"),
        ({"width": 12}, ValueError, "width must be a multiple of 8, got 12"),
        ({"widest": 0}, ValueError, "widest must be at least"),
    ],
)
def test_bad_settings_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        Classifier(**({"classes": 10, "size": 8, "scale": 16.0} | changed))
