"""Encoders and decoders of pictures: shapes, what dropout and noise may touch, and the start of training."""

import pytest
import torch
from torch.nn.functional import silu

from genbook.nn.coders import PictureDecoder, PictureEncoder, ResidualPair


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(side, n=4):
    return torch.randn(n, 1, side, side, generator=generator())


SIZES = [((8,), 1, 4), ((4, 8), 1, 8), ((4, 8), 2, 16), ((4, 6, 8), 2, 32), ((4, 6, 8), 1, 16)]
sizes = pytest.mark.parametrize(("channels", "patch", "side"), SIZES)


@sizes
def test_the_channels_and_the_patch_fix_the_side(channels, patch, side):
    encoder = PictureEncoder(5, channels, patch=patch)
    decoder = PictureDecoder(3, channels[::-1], patch=patch, planes=2)
    assert encoder.side == decoder.side == side
    assert encoder(pictures(side)).shape == (4, 5)
    assert decoder(torch.randn(4, 3)).shape == (4, 2, side, side)
    one = PictureDecoder(3, channels[::-1], patch=patch)
    assert one(torch.randn(4, 3)).shape == (4, 1, side, side)


def test_the_defaults_are_those_of_the_digits():
    assert PictureEncoder(4).side == PictureDecoder(4).side == 8
    widths = [layer.in_channels for layer in PictureEncoder(4).modules() if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [1, 16, 16, 16, 32, 32]


@sizes
def test_every_pixel_reaches_every_number_and_every_code_every_pixel(channels, patch, side):
    torch.manual_seed(0)
    encoder, decoder = PictureEncoder(2, channels, patch=patch), PictureDecoder(2, channels[::-1], patch=patch)
    x = pictures(side, 1).requires_grad_()
    (slope,) = torch.autograd.grad(encoder(x)[0, 0], x)
    assert bool((slope != 0).all())
    z = torch.randn(1, 2, generator=generator()).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda z: decoder(z).flatten(), z)
    assert bool((jacobian.abs().sum(0) > 0).all()) and (jacobian != 0).float().mean() > 0.99


def test_what_one_picture_gives_does_not_depend_on_those_beside_it():
    torch.manual_seed(0)
    x, z = pictures(8), torch.randn(4, 3, generator=generator())
    for network, batch in ((PictureEncoder(3, (4, 8)), x), (PictureDecoder(3, (8, 4)), z)):
        together = network(batch)
        alone = torch.cat([network(row[None]) for row in batch])
        assert torch.allclose(together, alone, atol=1e-5)


def test_a_fresh_residual_pair_is_the_identity_and_then_the_input_plus_a_branch():
    torch.manual_seed(0)
    pair, x = ResidualPair(3, 0.0), torch.randn(2, 3, 4, 4)
    assert torch.equal(pair(x), x)
    torch.nn.init.normal_(pair.second.weight)
    assert torch.allclose(pair(x), x + pair.second(silu(pair.first(silu(x)))))
    assert not torch.allclose(pair(x), x)


def test_both_layers_of_a_fresh_pair_can_learn():
    torch.manual_seed(0)
    pair = ResidualPair(3, 0.0)
    optimizer = torch.optim.SGD(pair.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        pair(torch.ones(2, 3, 4, 4)).square().sum().backward()
        optimizer.step()
    assert all(bool(p.grad.any()) for p in pair.parameters())


def test_every_output_has_a_bias_of_its_own_that_needs_no_code():
    torch.manual_seed(0)
    decoder = PictureDecoder(3, (8, 4), planes=2)
    assert decoder.bias.shape == (2, 8, 8) and not decoder.bias.any()
    z = torch.randn(4, 3, generator=generator())
    before = decoder(z)
    added = torch.randn(2, 8, 8, generator=generator(1))
    with torch.no_grad():
        decoder.bias += added
    assert torch.allclose(decoder(z), before + added, atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda: (PictureEncoder(3, (4, 8), dropout=0.5), pictures(8, 64)),
    lambda: (PictureEncoder(3, (4, 8), noise=0.5), pictures(8, 64)),
    lambda: (PictureDecoder(3, (8, 4), dropout=0.5), torch.randn(64, 3, generator=generator())),
], ids=["encoder's dropout", "encoder's noise", "decoder's dropout"])  # fmt: skip
def test_dropout_and_noise_act_in_training_alone(make):
    torch.manual_seed(0)
    network, x = make()
    for pair in (m for m in network.modules() if isinstance(m, ResidualPair)):
        torch.nn.init.normal_(pair.second.weight, std=0.1)
    kept = x.clone()
    assert not torch.equal(network(x), network(x))
    torch.manual_seed(1)
    first = network(x)
    torch.manual_seed(1)
    assert torch.equal(first, network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
    assert torch.equal(x, kept)


def test_the_noise_has_the_stated_width():
    encoder, shown = PictureEncoder(3, (4,), noise=0.25), []
    encoder.layers = torch.nn.Sequential(torch.nn.Flatten())
    torch.manual_seed(0)
    shown = encoder(torch.zeros(500, 1, 4, 4))
    assert shown.std().item() == pytest.approx(0.25, rel=0.03) and abs(shown.mean().item()) < 0.01
    assert not encoder.eval()(torch.zeros(2, 1, 4, 4)).any()


def test_dropout_stands_before_the_encoders_last_layer_and_in_every_pair():
    network = PictureEncoder(3, (4, 8), dropout=0.3)
    dropouts = [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts == [0.3] * 3
    assert [m.p for m in PictureDecoder(3, (8, 4), dropout=0.3).modules() if isinstance(m, torch.nn.Dropout)] == [
        0.3,
        0.3,
    ]


def test_blocks_of_pixels_are_cut_and_put_back_in_their_places():
    """With the identity between them, unshuffling into patches and shuffling back returns the picture."""
    encoder, decoder = PictureEncoder(3, (4, 8), patch=2), PictureDecoder(3, (8, 4), patch=2)
    cut, joined = encoder.layers[0], decoder.layers[-1]
    x = pictures(16)
    assert cut(x).shape == (4, 4, 8, 8) and torch.equal(joined(cut(x)), x)
    assert torch.equal(cut(x)[0, :, 0, 0], x[0, 0, :2, :2].flatten())


@pytest.mark.parametrize("shape", [(2, 1, 8, 9), (2, 3, 8, 8), (2, 8, 8), (2, 64), (2, 1, 16, 16)])
def test_pictures_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"x must have shape \(n, 1, 8, 8\), got \("):
        PictureEncoder(3, (4, 8))(torch.zeros(shape))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: PictureEncoder(3, ()),
            ValueError,
            r"channels must name one number .* got \(\)",
        ),
        (
            lambda: PictureDecoder(3, []),
            ValueError,
            r"channels must name one number .* got \[\]",
        ),
        (lambda: PictureEncoder(3, (4, 0)), ValueError, "each of channels must be at least 1, got 0"),
        (lambda: PictureDecoder(3, (4.0,)), TypeError, r"each of channels must be a whole number, got 4\.0"),
        (lambda: PictureEncoder(0), ValueError, "outputs must be at least 1, got 0"),
        (lambda: PictureEncoder(1, patch=0), ValueError, "patch must be at least 1, got 0"),
        (lambda: PictureDecoder(0), ValueError, "latent must be at least 1, got 0"),
        (lambda: PictureDecoder(1, patch=0), ValueError, "patch must be at least 1, got 0"),
        (lambda: PictureDecoder(1, planes=0), ValueError, "planes must be at least 1, got 0"),
    ],
)
def test_bad_sizes_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()
