"""The networks for pictures: shapes, sizes counted by hand, and what each promises at the start."""

import pytest
import torch
from torch import nn

from genbook.models.gan import GAN, r1
from genbook.nn.images import (
    DCGANCritic,
    DCGANGenerator,
    ImageCritic,
    ImageGenerator,
    Residual,
    labels_of,
    with_labels,
)

GENERATORS, CRITICS = [ImageGenerator, DCGANGenerator], [ImageCritic, DCGANCritic]
CHANNELS = [(3,), (4, 2), (5, 4, 2), (4, 4, 3, 2)]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def built(build, *arguments, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(*arguments, **keywords)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


# ---- shapes and sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("build", GENERATORS)
def test_a_generator_doubles_its_grid_once_for_each_of_channels(build, channels):
    pictures = built(build, 6, channels)(3 * noise(5, 6))
    side = {1: 8, 2: 16, 3: 32, 4: 64}[len(channels)]
    assert pictures.shape == (5, 1, side, side)
    assert float(pictures.detach().abs().max()) <= 1
    assert float(pictures.detach().std()) > 0


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("build", CRITICS)
def test_a_critic_gives_one_logit_a_picture_of_its_side_and_refuses_others(build, channels):
    critic, side = built(build, channels[::-1]), 4 * 2 ** len(channels)
    assert critic(noise(5, 1, side, side)).shape == (5,)
    assert critic(noise(1, 1, side, side)).shape == (1,)
    for shape in ((5, 1, side + 1, side), (5, 1, 2 * side, 2 * side), (5, 2, side, side), (5, side * side)):
        with pytest.raises(ValueError, match=rf"x must have shape \(n, 1, {side}, {side}\), got \({shape[0]}, "):
            critic(noise(*shape))


def test_a_critic_with_classes_takes_pictures_of_two_channels_alone():
    critic = built(ImageCritic, (2, 4), classes=3)
    assert critic(with_labels(noise(5, 1, 16, 16), torch.tensor([0, 1, 2, 1, 0]))).shape == (5,)
    for shape in ((5, 1, 16, 16), (5, 3, 16, 16), (5, 2, 8, 16), (5, 2, 16, 8), (2, 16, 16)):
        with pytest.raises(ValueError, match=rf"x must have shape \(n, 2, 16, 16\), got \({shape[0]}, "):
            critic(noise(*shape))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth_counts_the_residual_convolutions_of_each_resolution(depth):
    generator, critic = ImageGenerator(6, (4, 2), depth=depth), ImageCritic((2, 4), depth=depth)
    for network in (generator, critic):
        assert [len(refine) for refine in network.refinements] == [depth, depth]
    assert generator(noise(3, 6)).shape == (3, 1, 16, 16)
    assert critic(noise(3, 1, 16, 16)).shape == (3,)
    refinements = depth * (4 * 4 * 9 + 4 + 2 * 2 * 9 + 2)
    assert parameters(generator) == 6 * 16 * 4 + 2 * (4 + 2) + (4 * 2 * 16 + 2) + (2 * 16 + 1) + refinements
    head = (16 * 4 * 128 + 128) + (128 + 1)
    assert parameters(critic) == (2 * 16 + 2) + (2 * 4 * 16 + 4) + head + refinements


def test_the_usual_networks_are_as_large_as_counted_by_hand():
    halves = 32 * 64 * 16, 64 * 128 * 16  # weights of the two 4×4 convolutions between 32, 64 and 128 channels
    refined = sum(9 * c * c + c for c in (32, 64, 128))
    assert parameters(ImageGenerator(64)) == sum(
        (64 * 16 * 128, 2 * (128 + 64 + 32), refined, *halves, 64 + 32, 32 * 16 + 1)
    )
    assert parameters(ImageCritic()) == sum(
        (32 * 16 + 32, *halves, 64 + 128, refined, 16 * 128 * 128 + 128, 128 + 1)
    )
    told = ImageGenerator(96, codes=(52, 24), labelled=True)  # a choice changes the noise and adds no weight
    assert parameters(told) == parameters(ImageGenerator(96)) == parameters(ImageGenerator(64)) + 32 * 16 * 128
    assert parameters(ImageCritic(classes=52)) == parameters(ImageCritic()) + 52 * 128
    # no bias before a normalisation
    assert parameters(DCGANGenerator(64)) == sum((64 * 128 * 16, *halves, 2 * (128 + 64 + 32), 32 * 16 + 1))
    assert parameters(DCGANCritic()) == sum((32 * 16 + 32, *halves, 2 * (64 + 128), 128 * 16 + 1))


# ---- choices and labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [0, 2])
def test_each_group_of_codes_counts_by_the_place_of_its_largest_coordinate(rest):
    latent, z = 7 + rest, noise(80, 7 + rest)
    coded = built(ImageGenerator, latent, (4,), codes=(4, 3)).eval()
    plain = built(ImageGenerator, latent, (4,)).eval()
    plain.load_state_dict(coded.state_dict())
    first, second = z[:, :4].argmax(1), z[:, 4:7].argmax(1)
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == 12, "every pair is drawn"
    by_hand = torch.zeros(80, latent)
    by_hand[torch.arange(80), first] = 3.0
    by_hand[torch.arange(80), 4 + second] = 3.0
    by_hand[:, 7:] = z[:, 7:]
    torch.testing.assert_close(coded(z), plain(by_hand))
    louder = torch.cat([z[:, :4] * 7, z[:, 4:7] / 5, z[:, 7:]], 1)  # the same places are the largest
    torch.testing.assert_close(coded(louder), coded(z))


def test_a_labelled_generator_writes_its_first_choice_beside_the_same_picture():
    told = built(ImageGenerator, 9, (4,), codes=(4, 3), labelled=True).eval()
    bare = built(ImageGenerator, 9, (4,), codes=(4, 3)).eval()
    bare.load_state_dict(told.state_dict())
    z = noise(50, 9)
    pictures = told(z)
    assert pictures.shape == (50, 2, 8, 8)
    assert torch.equal(pictures[:, :1], bare(z))
    chosen = z[:, :4].argmax(1)
    assert torch.equal(labels_of(pictures), chosen) and len(set(chosen.tolist())) == 4
    plane = (chosen / 127.5 - 1)[:, None, None].expand(50, 8, 8)
    torch.testing.assert_close(pictures[:, 1], plane, atol=1e-6, rtol=0)


def test_every_label_is_read_as_it_was_written():
    k, x = torch.arange(256), noise(256, 1, 4, 5)
    pictures = with_labels(x, k)
    assert pictures.shape == (256, 2, 4, 5) and pictures.dtype == torch.float32
    assert torch.equal(pictures[:, :1], x), "the picture itself is kept"
    assert torch.equal(pictures[:, 1], pictures[:, 1, :1, :1].expand(256, 4, 5)), "each pixel holds the label"
    assert pictures[[0, 51, 255], 1, 0, 0].tolist() == pytest.approx([-1.0, -0.6, 1.0])
    assert labels_of(pictures).dtype == torch.int64
    assert torch.equal(labels_of(pictures), k)


def test_a_label_is_itself_in_data_units_and_survives_the_way_there_and_back():
    k = torch.arange(256)
    pictures = with_labels(noise(256, 1, 2, 2), k)
    data = 127.5 + 127.5 * pictures
    assert data.dtype == torch.float32
    torch.testing.assert_close(data[:, 1, 0, 0], k.float(), atol=1e-4, rtol=0)
    assert torch.equal(labels_of((data - 127.5) / 127.5), k)
    whole = k.float()[:, None, None, None].expand(256, 2, 2, 2)  # labels as a data set holds them
    assert torch.equal(labels_of((whole - 127.5) / 127.5), k)


def test_eight_bits_of_a_bfloat16_do_not_blur_a_label():
    k = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    z = torch.cat([torch.eye(256)[k], noise(256, 8)], 1)
    told = built(ImageGenerator, 264, (2,), codes=(256,), labelled=True)
    bare = built(ImageGenerator, 264, (2,), codes=(256,))
    model = GAN(told, ImageCritic((2,), classes=256), latent=264, offset=127.5, scale=127.5)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert bare(z).dtype == torch.bfloat16, "the layers do run in eight bits"
        pictures = told(z)
        assert pictures.dtype == torch.float32
        assert torch.equal(labels_of(pictures), k)
        assert torch.equal(labels_of((model.decode(z) - 127.5) / 127.5), k)
        assert torch.equal(labels_of(with_labels(pictures[:, :1].bfloat16(), k)), k)


def test_a_critic_with_classes_adds_the_product_of_its_last_layer_with_the_labels_vector():
    critic, bare = built(ImageCritic, (4, 8), classes=5), built(ImageCritic, (4, 8))
    bare.load_state_dict({name: p for name, p in critic.state_dict().items() if name != "label.weight"})
    x, k, seen = noise(10, 1, 16, 16), torch.arange(10) % 5, []
    critic.hidden.register_forward_hook(lambda _module, _entry, h: seen.append(h.detach()))
    logits = critic(with_labels(x, k)).detach()
    (h,) = seen
    assert h.shape == (10, 128) and critic.label.weight.shape == (5, 128)
    product = torch.stack([critic.label.weight[k[i]].detach() @ h[i] for i in range(10)]) / 128**0.5
    torch.testing.assert_close(logits, h @ critic.logit.weight[0].detach() + critic.logit.bias.detach() + product)
    torch.testing.assert_close(logits - product, bare(x).detach())


def test_the_logit_of_one_picture_depends_on_its_label():
    critic, x = built(ImageCritic, (4, 8), classes=5), noise(1, 1, 16, 16).expand(5, 1, 16, 16)
    logits = critic(with_labels(x, torch.arange(5))).detach()
    gaps = (logits[:, None] - logits[None])[~torch.eye(5, dtype=torch.bool)].abs()
    assert float(gaps.min()) > 1e-4
    again = critic(with_labels(x, torch.tensor([3, 3, 3, 3, 3]))).detach()
    torch.testing.assert_close(again, logits[3].expand(5), atol=1e-6, rtol=0)


def test_the_critics_slope_has_no_part_along_the_labels_plane():
    critic = built(ImageCritic, (4, 8), classes=5)
    x = with_labels(noise(6, 1, 16, 16), torch.arange(6) % 5).requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x)
    assert torch.equal(slope[:, 1], torch.zeros(6, 16, 16))
    assert float(slope[:, 0].flatten(1).norm(dim=1).min()) > 0
    penalty = r1(critic, x.detach(), x.detach()).detach()
    torch.testing.assert_close(penalty, 0.5 * slope[:, 0].square().sum((1, 2)).mean())


# ---- what they promise ------------------------------------------------------------------------------------------


def test_a_residual_is_at_first_the_identity_and_later_adds_a_convolution():
    block, x = built(Residual, 4), noise(3, 4, 5, 6)
    assert torch.equal(block(x), x)
    with torch.no_grad():
        block.branch.weight[2, 1, 1, 1] = 3.0  # from each pixel of channel 1 to the same one of channel 2
    seen = torch.where(x[:, 1] > 0, x[:, 1], 0.2 * x[:, 1])
    torch.testing.assert_close(block(x)[:, 2], x[:, 2] + 3 * seen)
    assert torch.equal(block(x)[:, [0, 1, 3]], x[:, [0, 1, 3]])


@pytest.mark.parametrize("build", GENERATORS)
def test_a_generators_picture_depends_on_its_batch_in_training_alone(build):
    generator, z, other = built(build, 6, (8, 4)), noise(8, 6), noise(8, 6, seed=1)
    with torch.no_grad():
        beside = generator(torch.cat([z[:1], other]))[:1]
        assert float((generator(z)[:1] - beside).abs().max()) > 1e-3
        generator.eval()
        torch.testing.assert_close(generator(z)[:1], generator(torch.cat([z[:1], other]))[:1], atol=1e-6, rtol=0)
        torch.testing.assert_close(generator(z)[:1], generator(z[:1]), atol=1e-6, rtol=0)


def test_a_critics_logit_is_its_pictures_own_even_in_training():
    critic, x = built(ImageCritic, (4, 8)), noise(6, 1, 16, 16)
    assert critic.training and not [m for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]
    together = critic(x)
    torch.testing.assert_close(together[:1], critic(x[:1]), atol=1e-6, rtol=0)
    torch.testing.assert_close(together[:1], critic(torch.cat([x[:1], 9 * x[1:]]))[:1], atol=1e-6, rtol=0)
    assert float(together.detach().std()) > 0, "it tells no picture from another"


def test_the_plain_critic_sees_its_batch():
    critic, x = built(DCGANCritic, (8, 16)), noise(6, 1, 16, 16)
    assert abs(float((critic(x)[0] - critic(torch.cat([x[:1], 9 * x[1:]]))[0]).detach())) > 1e-4


def test_the_first_pictures_are_unlike_each_other():
    pictures = built(ImageGenerator, 64)(noise(64, 64)).detach()
    assert float(pictures.std(0).mean()) > 0.1


@pytest.mark.parametrize("network", [lambda: DCGANGenerator(64), DCGANCritic], ids=["generator", "critic"])
def test_the_plain_pair_starts_with_small_normal_weights(network):
    network = built(network)
    convolutions = [m for m in network if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    norms = [m for m in network if isinstance(m, nn.BatchNorm2d)]
    assert (len(convolutions), len(norms)) == (4, 2 if isinstance(network, DCGANCritic) else 3)
    for kind, mean in ((convolutions, 0.0), (norms, 1.0)):
        for module in kind:
            n = module.weight.numel()
            z = (module.weight.detach() - mean) / 0.02  # standard normal: four standard errors each way
            assert abs(float(z.mean())) < 4 / n**0.5
            assert abs(float(z.var()) - 1) < 4 * (2 / n) ** 0.5
    large = (convolutions[1].weight.detach() / 0.02).abs()
    assert float((large > 2).float().mean()) == pytest.approx(0.0455, abs=0.006)  # tails of a normal, not a box


def test_every_parameter_learns():
    generator = built(ImageGenerator, 9, (3, 2), codes=(4, 3), labelled=True)
    critic, z = built(ImageCritic, (2, 3), classes=4), noise(30, 9)
    assert set(z[:, :4].argmax(1).tolist()) == {0, 1, 2, 3}  # a label that is not seen has no gradient
    for network, entry in ((generator, z), (critic, generator(z).detach())):
        network(entry).square().sum().backward()
        still = [name for name, p in network.named_parameters() if float(p.grad.abs().max()) == 0]
        assert not still
    assert all(float(row.abs().max()) > 0 for row in critic.label.weight.grad), "a label without a gradient"
    generator.zero_grad()
    critic(generator(z)).sum().backward()  # the critic's word reaches the generator
    assert not [name for name, p in generator.named_parameters() if float(p.grad.abs().max()) == 0]


# ---- bad arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [*(lambda *a, b=b: b(6, *a) for b in GENERATORS), *CRITICS])
@pytest.mark.parametrize(
    ("channels", "error", "message"),
    [
        ((), ValueError, r"channels must name one number of channels at least, got \(\)"),
        ((4, 0), ValueError, "each of channels must be at least 1, got 0"),
        ((4, 2.0), TypeError, r"each of channels must be a whole number, got 2\.0"),
    ],
)
def test_bad_channels_are_refused_by_name(build, channels, error, message):
    with pytest.raises(error, match=message):
        build(channels)


@pytest.mark.parametrize("build", GENERATORS)
def test_a_bad_latent_is_refused_by_name(build):
    with pytest.raises(ValueError, match="latent must be at least 1, got 0"):
        build(0)
    with pytest.raises(TypeError, match=r"latent must be a whole number, got 6\.5"):
        build(6.5)


@pytest.mark.parametrize("build", [lambda depth: ImageGenerator(6, depth=depth), lambda d: ImageCritic(depth=d)])
def test_a_bad_depth_is_refused_by_name(build):
    with pytest.raises(ValueError, match="depth must be at least 0, got -1"):
        build(-1)


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        ((1,), ValueError, "each of codes must be at least 2, got 1"),
        (4, TypeError, "codes must be a sequence of whole numbers, got 4"),
        ((3, 0), ValueError, "each of codes must be at least 2, got 0"),
        ((2.0,), TypeError, r"each of codes must be a whole number, got 2\.0"),
        ((7,), ValueError, r"latent must be at least the sum of codes, got 6 and \[7\]"),
        ((4, 3), ValueError, r"latent must be at least the sum of codes, got 6 and \[4, 3\]"),
    ],
)
def test_bad_codes_are_refused_by_name(codes, error, message):
    with pytest.raises(error, match=message):
        ImageGenerator(6, (2,), codes=codes)


def test_a_label_needs_a_choice():
    with pytest.raises(ValueError, match="a labelled generator needs codes: the first is the label"):
        ImageGenerator(6, (2,), labelled=True)


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        (-1, ValueError, "classes must be at least 0, got -1"),
        (5.0, TypeError, r"classes must be a whole number, got 5\.0"),
    ],
)
def test_bad_classes_are_refused_by_name(classes, error, message):
    with pytest.raises(error, match=message):
        ImageCritic((2,), classes=classes)
