"""The networks for pictures: shapes, sizes counted by hand, and what each promises at the start."""

import pytest
import torch
from torch import nn

from genbook.nn.images import DCGANCritic, DCGANGenerator, ImageCritic, ImageGenerator, Residual

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
    # no bias before a normalisation
    assert parameters(DCGANGenerator(64)) == sum((64 * 128 * 16, *halves, 2 * (128 + 64 + 32), 32 * 16 + 1))
    assert parameters(DCGANCritic()) == sum((32 * 16 + 32, *halves, 2 * (64 + 128), 128 * 16 + 1))


def test_a_code_is_the_place_of_the_largest_of_its_coordinates():
    coded, z = built(ImageGenerator, 6, (4,), codes=4).eval(), noise(50, 6)
    plain = built(ImageGenerator, 6, (4,)).eval()
    plain.load_state_dict(coded.state_dict())
    chosen = torch.eye(4)[z[:, :4].argmax(1)] * 3
    torch.testing.assert_close(coded(z), plain(torch.cat([chosen, z[:, 4:]], 1)))
    assert set(z[:, :4].argmax(1).tolist()) == {0, 1, 2, 3}
    louder = torch.cat([z[:, :4] * 7, z[:, 4:]], 1)  # the same places are the largest
    torch.testing.assert_close(coded(louder), coded(z))


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


@pytest.mark.parametrize("build", [lambda: GENERATORS[0](6, (3, 2)), lambda: CRITICS[0]((2, 3))])
def test_every_parameter_learns(build):
    network = built(build)
    entry = noise(4, 6) if isinstance(network, ImageGenerator) else noise(4, 1, 16, 16)
    network(entry).square().sum().backward()
    still = [name for name, p in network.named_parameters() if float(p.grad.abs().max()) == 0]
    assert not still


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


def test_bad_codes_are_refused_by_name():
    with pytest.raises(ValueError, match="codes must be at least 0, got -1"):
        ImageGenerator(6, codes=-1)
    with pytest.raises(ValueError, match="latent must be above codes, got 6 and 6"):
        ImageGenerator(6, codes=6)
