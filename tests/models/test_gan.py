"""Two players: the losses, the slopes and the norms worked out by hand."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils import parametrize

from genbook.data.truths import Mixture1D
from genbook.models.gan import (
    GAN,
    MINIMAX,
    NON_SATURATING,
    WASSERSTEIN,
    SpectralNorm,
    gradient_penalty,
    r1,
    r2,
    spectral_norm,
)
from genbook.nn.mlp import mlp
from genbook.prob.divergences import jensen_shannon
from genbook.prob.gaussian import log_normal
from genbook.train import fit_adversarial, load_weights, save_weights

LOG2 = math.log(2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def logits(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


# ---- the losses of each game -----------------------------------------------------------------------------------
@pytest.mark.parametrize("game", [MINIMAX, NON_SATURATING])
def test_the_critic_pays_its_cross_entropy(game):
    assert game.critic(logits(0, 0, 0), logits(0)).item() == pytest.approx(2 * LOG2)  # D = 1/2 everywhere
    real, fake = logits(2, -1), logits(0.5, -3, 1)
    expected = -(math.log(sigmoid(2)) + math.log(sigmoid(-1))) / 2
    expected -= (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(-3)) + math.log(1 - sigmoid(1))) / 3
    loss = game.critic(real, fake)
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    assert real.grad.tolist() == pytest.approx([-(1 - sigmoid(2)) / 2, -(1 - sigmoid(-1)) / 2])
    assert fake.grad.tolist() == pytest.approx([sigmoid(0.5) / 3, sigmoid(-3) / 3, sigmoid(1) / 3])


def test_minimax_asks_the_generator_for_a_low_log_of_one_minus_d():
    assert MINIMAX.generator(logits(0, 0)).item() == pytest.approx(-LOG2)
    fake = logits(0.5, -3)
    loss = MINIMAX.generator(fake)
    assert loss.item() == pytest.approx((math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(-3))) / 2)
    loss.backward()
    assert fake.grad.tolist() == pytest.approx([-sigmoid(0.5) / 2, -sigmoid(-3) / 2])


def test_the_non_saturating_game_asks_the_generator_for_a_high_log_d():
    assert NON_SATURATING.generator(logits(0, 0)).item() == pytest.approx(LOG2)
    fake = logits(0.5, -3)
    loss = NON_SATURATING.generator(fake)
    assert loss.item() == pytest.approx(-(math.log(sigmoid(0.5)) + math.log(sigmoid(-3))) / 2)
    loss.backward()
    assert fake.grad.tolist() == pytest.approx([-(1 - sigmoid(0.5)) / 2, -(1 - sigmoid(-3)) / 2])


def test_where_the_critic_is_sure_minimax_has_no_slope_and_the_other_game_has():
    slopes = []
    for game in (MINIMAX, NON_SATURATING):
        fake = logits(-20)
        game.generator(fake).backward()
        slopes.append(fake.grad.item())
    assert slopes[0] == pytest.approx(-math.exp(-20), rel=1e-6)
    assert slopes[1] == pytest.approx(-1, abs=1e-8)


def test_both_generator_losses_stand_still_where_the_critic_is_fooled_in_the_same_place():
    """Their slopes differ by the factor D / (1 - D), and agree where D = 1/2."""
    slopes = []
    for game in (MINIMAX, NON_SATURATING):
        fake = logits(1.5, 0)
        game.generator(fake).backward()
        slopes.append(fake.grad)
    assert (slopes[0] / slopes[1]).tolist() == pytest.approx([sigmoid(1.5) / (1 - sigmoid(1.5)), 1])


def test_the_wasserstein_game_compares_means():
    real, fake = logits(2, -1, 5), logits(0.5, -3)
    loss = WASSERSTEIN.critic(real, fake)
    assert loss.item() == pytest.approx(-1.25 - 2)
    loss.backward()
    assert real.grad.tolist() == pytest.approx([-1 / 3] * 3)
    assert fake.grad.tolist() == pytest.approx([0.5] * 2)
    fake = logits(0.5, -3)
    loss = WASSERSTEIN.generator(fake)
    assert loss.item() == pytest.approx(1.25)
    loss.backward()
    assert fake.grad.tolist() == pytest.approx([-0.5] * 2)


@pytest.mark.parametrize("game", [MINIMAX, NON_SATURATING, WASSERSTEIN])
def test_losses_stay_finite_at_far_logits_and_take_a_column(game):
    real, fake = logits(1000, -1000), logits(-1000, 1000)
    values = [game.critic(real, fake), game.generator(fake)]
    assert all(math.isfinite(v.item()) for v in values)
    assert [game.critic(real[:, None], fake[:, None]), game.generator(fake[:, None])] == values
    assert all(v.shape == () for v in values)


# ---- penalties on the slope ------------------------------------------------------------------------------------
class Linear(nn.Module):
    """f(x) = a · x + b, over examples of any shape."""

    def __init__(self, *a, shape=None, b=0.7):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(b, dtype=torch.float64))

    def forward(self, x):
        return x.flatten(1) @ self.a + self.b


class Quadratic(nn.Module):
    """f(x) = ½ Σ c_i x_i², whose slope at x is (c_i x_i)."""

    def __init__(self, *c):
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c, dtype=torch.float64))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach())
        return 0.5 * (self.c * x.square()).sum(1, keepdim=True)


def rows(*values):
    return torch.tensor(values, dtype=torch.float64)


REAL, FAKE = rows([1, 2], [3, 0]), rows([0, -1], [1, 1])  # under c = (2, 1) the slopes are
# (2, 2) and (6, 0) at the real examples, (0, -1) and (2, 1) at the fakes


@pytest.mark.parametrize("shape", [(4,), (1, 2, 2)], ids=["points", "images"])
def test_on_a_linear_critic_the_penalties_know_only_its_slope(shape):
    critic = Linear(1.0, -2.0, 2.0, 4.0)  # of norm 5
    real, fake = torch.randn(2, 6, *shape, generator=generator(), dtype=torch.float64)
    slope = critic.a.detach()
    for penalty, value, gradient in (
        (r1, 12.5, slope),
        (r2, 12.5, slope),
        (gradient_penalty, 16.0, 2 * (5 - 1) * slope / 5),
    ):
        critic.zero_grad(set_to_none=True)
        found = penalty(critic, real, fake)
        assert found.shape == ()
        assert found.item() == pytest.approx(value)
        found.backward()
        assert critic.a.grad.tolist() == pytest.approx(gradient.tolist())
        assert critic.b.grad is None or critic.b.grad.item() == 0
    assert not real.requires_grad and not fake.requires_grad


def test_a_slope_below_one_costs_as_much_as_one_above():
    assert gradient_penalty(Linear(0.0, 0.25), REAL, FAKE).item() == pytest.approx(0.75**2)
    assert gradient_penalty(Linear(0.0, 1.0), REAL, FAKE).item() == pytest.approx(0)
    assert gradient_penalty(Linear(0.0, 1.75), REAL, FAKE).item() == pytest.approx(0.75**2)


def test_r1_looks_at_the_real_examples_and_r2_at_the_fakes():
    critic = Quadratic(2.0, 1.0)
    assert r1(critic, REAL, FAKE).item() == pytest.approx((8 + 36) / 2 / 2)
    assert r2(critic, REAL, FAKE).item() == pytest.approx((1 + 5) / 2 / 2)


def test_the_gradients_of_r1_and_r2_by_the_critics_parameters():
    """½ E Σ c_i² x_i² has the gradient c_i E x_i²."""
    critic = Quadratic(2.0, 1.0)
    r1(critic, REAL, FAKE).backward()
    assert critic.c.grad.tolist() == pytest.approx([2 * (1 + 9) / 2, 1 * (4 + 0) / 2])
    critic.zero_grad(set_to_none=True)
    r2(critic, REAL, FAKE).backward()
    assert critic.c.grad.tolist() == pytest.approx([2 * (0 + 1) / 2, 1 * (1 + 1) / 2])


@pytest.mark.parametrize(
    ("mix", "points"),
    [
        ([1.0, 1.0], [[1, 2], [3, 0]]),
        ([0.0, 0.0], [[0, -1], [1, 1]]),
        ([1.0, 0.0], [[1, 2], [1, 1]]),
        ([0.25, 0.5], [[0.25, -0.25], [2, 0.5]]),
    ],
    ids=["real", "fake", "one of each", "between"],
)
def test_the_gradient_penalty_stands_between_the_pairs(mix, points):
    critic = Quadratic(2.0, 1.0)
    found = gradient_penalty(critic, REAL, FAKE, mix=torch.tensor(mix))
    norms = [math.hypot(2 * x, y) for x, y in points]
    assert found.item() == pytest.approx(sum((norm - 1) ** 2 for norm in norms) / 2)
    found.backward()  # of (|s| - 1)²: 2 (|s| - 1) / |s| · c x², half of it an example
    expected = [sum((m - 1) / m * c * p[i] ** 2 for m, p in zip(norms, points, strict=True))
                for i, c in enumerate((2, 1))]  # fmt: skip
    assert critic.c.grad.tolist() == pytest.approx(expected)


def test_the_gradient_penalty_draws_one_place_a_pair():
    critic = Quadratic(2.0, 1.0)
    real, fake = torch.randn(2, 400, 2, generator=generator(), dtype=torch.float64)
    torch.manual_seed(0)
    gradient_penalty(critic, real, fake)
    share = (critic.seen[0] - fake) / (real - fake)
    assert torch.allclose(share[:, 0], share[:, 1], atol=1e-6)
    assert 0 <= share.min() < 0.02 and 0.98 < share.max() <= 1
    assert share[:, 0].mean().item() == pytest.approx(0.5, abs=0.05)


def test_each_example_has_a_slope_of_its_own_in_images_too():
    critic = Quadratic(2.0, 1.0, 3.0, 0.5)
    images = nn.Sequential(nn.Flatten(), critic)
    x = torch.randn(5, 1, 2, 2, generator=generator(), dtype=torch.float64)
    norms = (critic.c.detach() * x.flatten(1)).norm(dim=1)
    assert r1(images, x, x).item() == pytest.approx(0.5 * norms.square().mean().item())
    assert r2(images, x, x).item() == pytest.approx(0.5 * norms.square().mean().item())
    assert gradient_penalty(images, x, x).item() == pytest.approx((norms - 1).square().mean().item())


# ---- the model -------------------------------------------------------------------------------------------------
class Ray(nn.Module):
    """A generator with one number: G(z) = z · w, on the float64 line of the tests."""

    def __init__(self, *w):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, z):
        return z.to(self.w) * self.w


def gan(*, critic=None, **options):
    """A GAN with G(z) = (2 z_1, -z_2), f(x) = 3 x_1 + x_2 + 0.7, offset 10 and scale 4."""
    options = {"latent": 2, "game": WASSERSTEIN, "offset": 10.0, "scale": 4.0} | options
    return GAN(Ray(2.0, -1.0), Linear(3.0, 1.0) if critic is None else critic, **options)


DATA = rows([14, 10], [10, 18], [6, 2])  # (1, 0), (0, 2) and (-1, -2) in the networks' units
NOISE = rows([1, 1], [0.5, 0], [0, -3])  # decoded to (2, -1), (1, 0) and (0, 3)


def test_the_units_of_the_data_are_left_and_entered_at_the_right_doors():
    model = gan()
    assert model.decode(NOISE).tolist() == [[18, 6], [14, 10], [10, 22]]
    assert model.critic_loss(DATA, noise=NOISE).item() == pytest.approx((5 + 3 + 3) / 3 - (3 + 2 - 5) / 3)
    assert model.generator_loss(3, noise=NOISE).item() == pytest.approx(-(5 + 3 + 3) / 3 - 0.7)


@pytest.mark.parametrize("game", [MINIMAX, NON_SATURATING, WASSERSTEIN])
def test_the_losses_are_the_games_on_the_critics_logits(game):
    model = gan(game=game)
    real, fake = logits(3.7, 2.7, -4.3), logits(5.7, 3.7, 3.7)
    assert model.critic_loss(DATA, noise=NOISE).item() == pytest.approx(game.critic(real, fake).item())
    assert model.generator_loss(3, noise=NOISE).item() == pytest.approx(game.generator(fake).item())


def test_the_game_is_the_non_saturating_one_unless_another_is_given():
    model = GAN(Ray(2.0, -1.0), Linear(3.0, 1.0), latent=2)
    assert model.game is NON_SATURATING
    assert (model.offset, model.scale) == (0, 1)


def test_penalties_are_added_with_their_weights():
    critic = Quadratic(2.0, 1.0)
    plain = gan(critic=critic).critic_loss(DATA, noise=NOISE).item()
    real, fake = (DATA - 10) / 4, NOISE * rows(2, -1)
    first, second = r1(critic, real, fake).item(), r2(critic, real, fake).item()
    assert first != pytest.approx(second)
    both = gan(critic=critic, penalties=[(0.5, r1), (3, r2)]).critic_loss(DATA, noise=NOISE).item()
    assert both == pytest.approx(plain + 0.5 * first + 3 * second)


def test_every_batch_is_augmented_before_the_critic_and_its_penalties_but_samples_are_not():
    seen = []

    def spy(critic, real, fake):
        seen.append((real, fake))
        return torch.zeros(())

    model = gan(augment=lambda x: 5 * x, penalties=[(1.0, spy)])
    assert model.critic_loss(DATA, noise=NOISE).item() == pytest.approx(5 * 11 / 3 - 5 * 0)
    assert model.generator_loss(3, noise=NOISE).item() == pytest.approx(-5 * 11 / 3 - 0.7)
    real, fake = seen[0]
    assert real.tolist() == [[5, 0], [0, 10], [-5, -10]]
    assert fake.tolist() == [[10, -5], [5, 0], [0, 15]]
    assert model.decode(NOISE).tolist() == [[18, 6], [14, 10], [10, 22]]
    drawn = torch.randn(3, 2, generator=generator(1))
    assert torch.equal(model.sample(3, generator=generator(1)), model.decode(drawn).detach())


def test_the_generator_learns_through_the_augmentation():
    model = gan(augment=lambda x: 5 * x)
    model.generator_loss(3, noise=NOISE).backward()
    assert model.generator.w.grad.tolist() == pytest.approx([-5 * 3 * 0.5, -5 * 1 * (-2 / 3)])


def test_real_and_fake_are_augmented_each_by_a_draw_of_its_own():
    model = gan(augment=lambda x: x + torch.randn(()))
    torch.manual_seed(0)
    shifts = torch.randn(2)
    torch.manual_seed(0)
    expected = 11 / 3 + 4 * (shifts[1] - shifts[0]).item()
    assert model.critic_loss(DATA, noise=NOISE).item() == pytest.approx(expected)


@pytest.mark.parametrize("penalty", [r1, r2, gradient_penalty])
def test_the_critics_loss_leaves_the_generator_alone(penalty):
    model = gan(critic=Quadratic(2.0, 1.0), penalties=[(1.0, penalty)], augment=lambda x: 2 * x)
    model.critic_loss(DATA, noise=NOISE).backward()
    assert model.generator.w.grad is None
    assert model.critic.c.grad.norm() > 0


def test_the_gradients_of_both_players_by_hand():
    model = gan()
    model.critic_loss(DATA, noise=NOISE).backward()
    assert model.critic.a.grad.tolist() == pytest.approx([3 / 3 - 0, 2 / 3 - 0])
    assert model.critic.b.grad.item() == pytest.approx(0)
    model.zero_grad(set_to_none=True)
    model.generator_loss(3, noise=NOISE).backward()
    assert model.generator.w.grad.tolist() == pytest.approx([-3 * 1.5 / 3, -1 * (-2) / 3])


def test_in_a_run_the_generators_update_gives_the_critic_nothing():
    model = gan()
    kept = []

    def generator_loss(n, **known):
        kept.append(model.critic.a.grad.clone())
        return GAN.generator_loss(model, n, **known)

    model.generator_loss = generator_loss
    fit_adversarial(model, DATA, steps=3, progress=False)
    assert len(kept) == 3
    assert torch.equal(model.critic.a.grad, kept[-1])
    assert model.generator.w.grad.norm() > 0


def test_a_batch_of_images_is_looked_at_as_a_whole():
    model = GAN(nn.Unflatten(1, (1, 2, 2)), nn.Sequential(nn.Flatten(), nn.Linear(4, 1)), latent=4)
    x, noise = torch.rand(3, 1, 2, 2), torch.zeros(3, 4)
    assert model.critic_loss(x, noise=noise).shape == ()
    x[1, 0, 1, 0] = math.nan
    with pytest.raises(ValueError, match="x holds 1 NaN in 12 numbers"):
        model.critic_loss(x, noise=noise)
    with pytest.raises(ValueError, match="x is empty"):
        model.critic_loss(x[:0], noise=noise)


def test_noise_is_standard_normal_and_of_the_size_asked_for():
    noise = gan(latent=2).draw_noise(20_000, generator=generator())
    assert noise.shape == (20_000, 2) and noise.dtype == torch.float32
    assert noise.mean(0).tolist() == pytest.approx([0, 0], abs=0.03)
    assert noise.std(0).tolist() == pytest.approx([1, 1], abs=0.03)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"latent": 0}, ValueError, "latent must be at least 1, got 0"),
        ({"latent": 1.5}, TypeError, "latent must be a whole number"),
        ({"scale": 0.0}, ValueError, "scale must be a finite number > 0"),
        ({"offset": math.nan}, ValueError, "offset must be finite, got nan"),
        ({"penalties": [(-1.0, r1)]}, ValueError, "the weight of a penalty must be a finite number > 0"),
    ],
)
def test_bad_settings_are_refused_by_name(change, error, message):
    with pytest.raises(error, match=message):
        gan(**change)


# ---- the best critic -------------------------------------------------------------------------------------------
TWO_HILLS = Mixture1D((0.6, 0.4), (-1.5, 1.5), (0.8, 0.8))


class LogRatio(nn.Module):
    """The best critic of the first two games: log p(x) - log q(x), for q the normal law of scale 2."""

    def forward(self, x):
        return TWO_HILLS.log_prob(x) - log_normal(x[:, 0], 0.0, 2.0)


def test_the_best_critics_loss_is_two_log_two_less_twice_the_jensen_shannon_divergence():
    """Goodfellow et al. (2014), theorem 1."""
    model = GAN(Ray(2.0), LogRatio(), latent=1)
    n = 40_000
    x, noise = TWO_HILLS.sample(n, generator=generator()), torch.randn(n, 1, generator=generator(1))
    loss = model.critic_loss(x.double(), noise=noise).item()
    bounds = torch.tensor([[-12.0], [12.0]])
    divergence = jensen_shannon(TWO_HILLS.log_prob, lambda x: log_normal(x[:, 0], 0.0, 2.0), bounds)
    assert divergence > 0.02
    logit = LogRatio()(x.double()), LogRatio()(model.decode(noise).detach())
    error = math.sqrt(softplus(-logit[0]).var() / n + softplus(logit[1]).var() / n)
    assert loss == pytest.approx(2 * LOG2 - 2 * divergence, abs=4 * error)


def test_a_trained_critic_comes_to_p_over_p_plus_q():
    """Goodfellow et al. (2014), proposition 1; judged where 99 % of both laws' mass lies."""
    torch.manual_seed(0)
    model = GAN(Ray(2.0).float(), mlp([1, 32, 32, 1], activation=nn.Tanh), latent=1)
    optimiser = torch.optim.Adam(model.critic.parameters(), lr=0.01)
    steps = 1000
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
        optimiser.zero_grad()
        model.critic_loss(TWO_HILLS.sample(2048, generator=generator(step))).backward()
        optimiser.step()
    grid = torch.linspace(-7, 7, 2001, dtype=torch.float64)[:, None]
    logit = LogRatio()(grid)
    mass = TWO_HILLS.log_prob(grid).exp() + log_normal(grid[:, 0], 0.0, 2.0).exp()
    order = mass.argsort(descending=True)
    inside = order[mass[order].cumsum(0) <= 0.99 * mass.sum()]
    best = torch.sigmoid(logit)[inside]
    with torch.no_grad():
        error = (torch.sigmoid(model.critic(grid.float())[:, 0])[inside] - best).abs()
    assert best.max() - best.min() > 0.4
    assert error.max() < 0.05


# ---- spectral normalisation ------------------------------------------------------------------------------------
def state(layer):
    norm = layer.parametrizations.weight[0]
    return norm.u, norm.v


def gap_matrix(outputs, inputs, *, dtype=torch.float32):
    """A random matrix whose singular values are 3, 1, 1, …"""
    left, _, right = torch.linalg.svd(torch.randn(outputs, inputs, generator=generator()), full_matrices=False)
    values = torch.ones(min(outputs, inputs))
    values[0] = 3
    return (left * values @ right).to(dtype)


@pytest.mark.parametrize(
    "make",
    [lambda: nn.Linear(7, 5), lambda: nn.Linear(3, 8), lambda: nn.Conv2d(2, 6, 3), lambda: nn.Conv1d(4, 5, 2)],
    ids=["wide", "tall", "conv2d", "conv1d"],
)
def test_after_its_warm_up_a_weight_has_a_largest_singular_value_of_one(make):
    layer = make()
    with torch.no_grad():
        flat = layer.weight.flatten(1)
        layer.weight.copy_(gap_matrix(*flat.shape).view_as(layer.weight))
    assert torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item() == pytest.approx(3, abs=1e-4)
    original = layer.weight.detach().clone()
    spectral_norm(layer, generator=generator())
    layer.eval()
    values = torch.linalg.svdvals(layer.weight.detach().flatten(1))
    assert values[0].item() == pytest.approx(1, abs=1e-4)
    assert values[1].item() == pytest.approx(1 / 3, abs=1e-4)
    assert torch.allclose(layer.weight, original / 3, atol=1e-4)


@pytest.mark.parametrize("make", [lambda: nn.Linear(20, 30), lambda: nn.Conv2d(3, 16, 3)], ids=["linear", "conv"])
def test_training_steps_find_the_norm_of_any_weight(make):
    torch.manual_seed(0)
    layer = make()
    truth = torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]
    original = layer.weight.detach().clone()
    spectral_norm(layer, generator=generator())
    for _ in range(300):
        weight = layer.weight
    assert torch.allclose(original / weight.detach(), truth, rtol=1e-4)


def test_one_training_step_by_hand():
    weight = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    norm = SpectralNorm(weight, generator=generator(), warmup=0)
    norm.u = torch.tensor([0.6, 0.8])
    length = math.hypot(1.8, 0.8)
    v = [1.8 / length, 0.8 / length]
    again = math.hypot(3 * v[0], v[1])
    u = [3 * v[0] / again, v[1] / again]
    out = norm(weight)
    assert norm.v.tolist() == pytest.approx(v)
    assert norm.u.tolist() == pytest.approx(u)
    assert torch.allclose(out, weight / (3 * u[0] * v[0] + u[1] * v[1]))


def test_the_norm_starts_from_random_unit_vectors_and_warms_up_as_often_as_told():
    weight = torch.randn(4, 6, generator=generator(5))
    cold, warm = (SpectralNorm(weight, generator=generator(), warmup=w) for w in (0, 3))
    start = torch.randn(4, generator=generator())
    assert torch.allclose(cold.u, start / start.norm())
    assert torch.allclose(cold.v, weight.T @ cold.u / (weight.T @ cold.u).norm())
    for _ in range(3):
        cold(weight)
    assert torch.allclose(cold.u, warm.u)
    assert torch.allclose(cold.v, warm.v)
    before = torch.get_rng_state()
    SpectralNorm(weight, generator=generator())
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(ValueError, match="warmup must be at least 0"):
        SpectralNorm(weight, warmup=-1)


def test_the_gradient_is_the_papers():
    """Miyato et al. (2018), equation 12: (G - λ u vᵀ) / σ with λ the sum of G times the normalised weight."""
    layer = spectral_norm(nn.Linear(5, 3).double(), generator=generator()).eval()
    u, v = state(layer)
    original = layer.parametrizations.weight.original
    sigma = (u @ original @ v).item()
    direction = torch.randn(3, 5, generator=generator(), dtype=torch.float64)
    (direction * layer.weight).sum().backward()
    share = (direction * original.detach() / sigma).sum()
    expected = (direction - share * torch.outer(u, v)) / sigma
    assert torch.allclose(original.grad, expected, atol=1e-9)
    assert not u.requires_grad and not v.requires_grad


def test_training_moves_the_vectors_and_evaluation_does_not():
    torch.manual_seed(0)
    layer = spectral_norm(nn.Linear(6, 4), generator=generator())
    x = torch.randn(2, 6, generator=generator())
    layer.eval()
    before = [t.clone() for t in state(layer)]
    assert torch.equal(layer(x), layer(x))
    assert all(torch.equal(a, b) for a, b in zip(before, state(layer), strict=True))
    layer.train()
    layer(x)
    assert not any(torch.equal(a, b) for a, b in zip(before, state(layer), strict=True))
    assert all(t.norm().item() == pytest.approx(1) and not t.requires_grad for t in state(layer))


def test_every_linear_and_convolutional_weight_is_normalised_and_nothing_else():
    inner = nn.Sequential(nn.Conv1d(4, 2, 1))
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), inner, nn.Linear(4, 3), nn.Embedding(3, 2))
    twin, before = copy.deepcopy(network), torch.get_rng_state()
    assert spectral_norm(network, generator=generator()) is network
    assert torch.equal(torch.get_rng_state(), before)
    spectral_norm(twin, generator=generator())
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), twin.state_dict().values(), strict=True)
    )
    found = [parametrize.is_parametrized(m, "weight") for m in (network[0], network[2][0], network[3])]
    assert found == [True, True, True]
    assert not parametrize.is_parametrized(network[1]) and not parametrize.is_parametrized(network[4])
    assert not parametrize.is_parametrized(network[0], "bias")


def test_a_normalised_critic_changes_no_faster_than_its_input():
    torch.manual_seed(0)
    critic = spectral_norm(mlp([3, 32, 32, 1], activation=nn.ReLU), generator=generator())
    for _ in range(200):
        critic(torch.zeros(1, 3))
    critic.eval()
    x, y = torch.randn(2, 500, 3, generator=generator())
    with torch.no_grad():
        rise = (critic(x) - critic(y)).abs()[:, 0] / (x - y).norm(dim=1)
    assert 0.01 < rise.max() <= 1 + 1e-3


def test_a_normalised_network_can_be_copied_averaged_saved_and_read(tmp_path):
    torch.manual_seed(0)
    network = spectral_norm(mlp([2, 8, 1]))
    network(torch.zeros(1, 2))
    network.eval()
    x = torch.randn(5, 2, generator=generator())
    twin = copy.deepcopy(network)
    assert torch.equal(twin(x), network(x))
    save_weights(network, tmp_path / "critic.safetensors")
    fresh = spectral_norm(mlp([2, 8, 1])).eval()
    assert not torch.allclose(fresh(x), network(x))
    assert torch.equal(load_weights(fresh, tmp_path / "critic.safetensors")(x), network(x))
    kept = network(x)
    twin.train()
    twin(x)
    assert torch.equal(network(x), kept)  # the copy's vectors are its own
