"""The importance-weighted bound against weights worked out by hand and evidence known in closed form."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from genbook.evaluate.iwae import iwae
from genbook.models.probabilistic_pca import ProbabilisticPCA
from genbook.models.vae import VAE
from genbook.prob.likelihoods import GaussianPixels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Weights:
    """A model whose log-weights are x times the first number of the noise; it writes down what it is asked."""

    latent = 3

    def __init__(self):
        self.asked = []

    def log_weights(self, x, *, noise):
        self.asked.append(noise)
        return x * noise[:, :, 0].to(x.dtype if x.is_floating_point() else torch.float32)


def linear_vae(shift=0.0, d=4):
    """A linear model with known evidence and a guess that is off by `shift` and too wide."""
    drawn = generator(1)
    x = torch.randn(300, 2, generator=drawn) @ torch.randn(2, d, generator=drawn)
    x = x + 0.5 * torch.randn(300, d, generator=drawn)
    known = ProbabilisticPCA(2).fit(x)
    inverse = torch.linalg.inv(known.weight.T @ known.weight + known.variance * torch.eye(2))
    encoder, decoder = nn.Linear(d, 4), nn.Linear(2, d)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.weight[:2] = inverse @ known.weight.T
        encoder.bias[:2] = -inverse @ known.weight.T @ known.mean + shift
        encoder.bias[2:] = (known.variance * inverse.diagonal()).log() + shift
        decoder.weight.copy_(known.weight), decoder.bias.copy_(known.mean)
    model = VAE(encoder, decoder, GaussianPixels(known.variance**0.5), latent=2, shape=(d,))
    return model, known, x


def test_the_value_and_its_error_worked_out_from_the_weights():
    x, model = torch.tensor([[1.0], [2.0], [0.5]]), Weights()
    values, errors = iwae(model, x, samples=40, generator=generator())
    weights = (x.double() * model.asked[0][:, :, 0].double()).exp()
    assert values.shape == errors.shape == (3,) and values.dtype == torch.float64
    assert torch.allclose(values, weights.mean(1).log())
    assert torch.allclose(errors, weights.std(1) / weights.mean(1) / math.sqrt(40))


def test_weights_too_large_or_small_for_exp_are_safe():
    class Far(Weights):
        def log_weights(self, x, *, noise):
            return super().log_weights(x, noise=noise) + shift

    x = torch.ones(2, 1)
    near = iwae(Weights(), x, samples=10, generator=generator())
    for shift in (-3000.0, 3000.0):
        values, errors = iwae(Far(), x, samples=10, generator=generator())
        assert torch.allclose(values, near[0] + shift, atol=1e-3)
        assert torch.allclose(errors, near[1], rtol=1e-3)


def test_the_noise_is_standard_normal_and_its_own_for_every_example():
    model = Weights()
    iwae(model, torch.ones(20, 1), samples=500, generator=generator())
    (noise,) = model.asked
    assert noise.shape == (20, 500, 3)
    assert abs(float(noise.mean())) < 0.03 and float(noise.std()) == pytest.approx(1, abs=0.02)
    assert not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize(("rows", "sizes"), [(20_000, [7]), (30, [3, 3, 1]), (1, [1] * 7)])
def test_examples_are_taken_so_many_rows_at_a_time(rows, sizes):
    model, x = Weights(), torch.linspace(0.2, 2, 7)[:, None]
    values, errors = iwae(model, x, samples=10, rows=rows, generator=generator())
    assert [len(noise) for noise in model.asked] == sizes
    weights = (x * torch.cat(model.asked)[:, :, 0]).double().exp()
    assert torch.allclose(values, weights.mean(1).log(), atol=1e-6)
    assert errors.shape == (7,)


def test_at_the_exact_posterior_one_sample_is_the_evidence_and_leaves_no_error():
    model, known, x = linear_vae()
    for samples in (1, 20):
        values, errors = iwae(model, x, samples=samples, generator=generator())
        assert torch.allclose(values, known.log_prob(x).double(), rtol=1e-4)
        assert bool(errors.isnan().all()) if samples == 1 else float(errors.max()) < 1e-4


def test_the_bound_rises_with_the_samples_towards_the_evidence_and_never_past_it_on_average():
    model, known, x = linear_vae(shift=0.3)
    exact = known.log_prob(x).double()
    gaps = []
    for samples in (1, 2, 5, 20, 100, 1000):
        values, _ = iwae(model, x, samples=samples, generator=generator(samples))
        gap = exact - values
        gaps.append((gap.mean().item(), (gap.std() / math.sqrt(len(x))).item()))
    assert all(mean > -3 * error for mean, error in gaps)
    assert all(later[0] < earlier[0] for earlier, later in pairwise(gaps[:5]))
    assert gaps[0][0] > 0.5 and gaps[-1][0] < 0.02


def test_one_sample_is_the_bound_of_the_model_on_average():
    model, _, x = linear_vae(shift=0.6)
    values, errors = iwae(model, x.repeat(100, 1), samples=1, generator=generator())
    bound = model.elbo(x.repeat(100, 1), noise=torch.randn(30_000, 2, generator=generator(8))).double()
    error = math.sqrt((values.var() + bound.detach().var()) / 30_000)
    assert abs(values.mean().item() - bound.mean().item()) < 4 * error
    assert bool(errors.isnan().all())


def test_the_standard_error_is_the_spread_of_the_value():
    model, _, x = linear_vae(shift=0.4)
    values, errors = iwae(model, x[:1].expand(600, -1), samples=300, generator=generator())
    assert values.std().item() == pytest.approx(errors.mean().item(), rel=0.15)


def test_equal_generators_give_equal_values_without_a_gradient():
    model, _, x = linear_vae(shift=0.6)
    before = torch.get_rng_state()
    first, again, other = (iwae(model, x, samples=5, generator=generator(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not first.requires_grad
    assert torch.equal(torch.get_rng_state(), before)


def test_the_noise_of_whole_numbers_is_no_whole_number():
    model = Weights()
    iwae(model, torch.ones(2, 1, dtype=torch.long), samples=50, generator=generator())
    assert model.asked[0].is_floating_point() and len(model.asked[0].unique()) == 300


def test_bad_counts_are_refused_by_name():
    x = torch.ones(2, 1)
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        iwae(Weights(), x, samples=0)
    with pytest.raises(TypeError, match=r"samples must be a whole number, got 2\.5"):
        iwae(Weights(), x, samples=2.5)
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        iwae(Weights(), x, rows=0)
