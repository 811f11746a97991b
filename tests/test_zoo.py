"""Every family against every promise of the interface (`genbook.protocols`)."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from scipy import stats

import genbook.models
from genbook.models.histogram import Histogram
from genbook.prob.quadrature import integrate, midpoints
from genbook.protocols import (
    Decodes,
    Encodes,
    Fits,
    HasElbo,
    HasEnergy,
    HasLogProb,
    HasLoss,
    HasScore,
    Samples,
    TwoPlayers,
)
from genbook.train import load_weights, save_weights
from zoo import CALLS, PARTS, SPECIMENS, Specimen, fitted, teach, training_data

TESTED: set[str] = set()  # the calls that some test below asks for


def offering(*calls: str, where: Callable[[Specimen], bool] = lambda s: True):
    """Run a test on every specimen that declares these calls, and of which `where` is true.

    A test that would run on no specimen is refused: nothing is left out quietly.
    """
    assert set(calls) <= set(CALLS), f"no such call: {set(calls) - set(CALLS)}"
    chosen = [s for s in SPECIMENS if s.calls.issuperset(calls) and where(s)]
    assert chosen, f"no specimen offers {calls}"
    TESTED.update(calls)
    return pytest.mark.parametrize("specimen", chosen, ids=lambda s: s.name)


each = offering()
with_density = offering(where=lambda s: s.has_density)
moving = offering(where=lambda s: s.moves)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def box(specimen: Specimen) -> torch.Tensor:
    """The model's own box: that of its grid, or the truth's widened by a third on each side for its tails."""
    if specimen.family is Histogram:
        return fitted(specimen).bounds
    low, high = specimen.truth.bounds.to(torch.float64)
    return torch.stack([low - (high - low) / 3, high + (high - low) / 3])


def all_levels(specimen: Specimen) -> torch.Tensor:
    every = torch.cartesian_prod(*[torch.arange(specimen.levels)] * specimen.truth.dim)
    return every if specimen.tokens else every.double()


def precise(x: torch.Tensor) -> torch.Tensor:
    """The points in float64; tokens stay whole numbers."""
    return x.double() if x.is_floating_point() else x


def public_families() -> set[type]:
    found = set()
    for path in Path(genbook.models.__file__).parent.glob("[a-z]*.py"):
        module = importlib.import_module(f"genbook.models.{path.stem}")
        found |= {getattr(module, n) for n in module.__all__ if inspect.isclass(getattr(module, n))}
    return found


def test_every_family_is_in_the_zoo():
    parts = {c for c in public_families() if c.__name__ in PARTS}
    assert {c.__name__ for c in parts} == PARTS
    assert not [c for c in parts if any(hasattr(c, call) for call in CALLS)]
    missing = public_families() - parts - {s.family for s in SPECIMENS}
    assert not missing, f"not in tests/zoo.py: {sorted(c.__name__ for c in missing)}"


@each
def test_offers_the_calls_it_declares_and_no_other(specimen):
    offered = {name for name in CALLS if callable(getattr(specimen.family, name, None))}
    assert offered == specimen.calls
    assert specimen.calls <= TESTED, "a declared call that no test asks for"


@each
def test_states_how_far_from_its_truth_it_may_be(specimen):
    assert specimen.density is None or "log_prob" not in specimen.calls
    assert (specimen.kl is not None) == specimen.has_density
    assert (specimen.distance is not None) == ("sample" in specimen.calls and not specimen.has_density)
    assert (specimen.error is not None) == ({"encode", "decode"} <= specimen.calls)
    assert {specimen.kl, specimen.distance, specimen.error} != {None}


PROTOCOLS = {
    Fits: ["fit"], HasLoss: ["loss"], TwoPlayers: ["critic_loss", "generator_loss"], Samples: ["sample"],
    HasLogProb: ["log_prob"], HasElbo: ["elbo"], HasEnergy: ["energy"], HasScore: ["score"],
    Encodes: ["encode"], Decodes: ["decode"],
}  # fmt: skip


@each
def test_answers_to_the_protocols_of_its_calls_and_no_other(specimen):
    assert {call for calls in PROTOCOLS.values() for call in calls} == set(CALLS) - {"translate"}
    for protocol, calls in PROTOCOLS.items():
        assert isinstance(specimen.make(), protocol) == specimen.calls.issuperset(calls), protocol.__name__


def answers(specimen: Specimen, model, x: torch.Tensor) -> torch.Tensor:
    """Everything that a model says about `x` and draws, with known noise, as one vector."""
    calls, said = specimen.calls, []
    with torch.random.fork_rng():
        torch.manual_seed(7)  # for the noise of losses
        for call in ("loss", "log_prob", "elbo", "energy", "score", "encode", "critic_loss"):
            said += [getattr(model, call)(x)] if call in calls else []
    if "decode" in calls:
        said.append(model.decode(codes(specimen, model, len(x))))
    if "sample" in calls:
        said.append(model.sample(len(x), generator=generator(3)))
    return torch.cat([part.detach().flatten().double() for part in said])


@offering("fit")
def test_fit_returns_the_model_and_leaves_the_data_alone(specimen):
    x = training_data(specimen).clone()
    model = specimen.make()
    before = x.clone()
    options = {"generator": generator(2)} if "generator" in specimen.family.fit.__annotations__ else {}
    assert model.fit(x, **options) is model
    assert torch.equal(x, before)


@each
def test_learning_is_repeatable_and_leaves_the_global_generator_alone(specimen):
    x = training_data(specimen)[:500]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = teach(specimen, x, quick=True), teach(specimen, x, quick=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(answers(specimen, first, x[:50]), answers(specimen, second, x[:50]))


@offering("sample")
def test_samples_have_the_datas_shape_and_follow_their_generator(specimen):
    model = fitted(specimen)
    before = torch.get_rng_state()
    x = model.sample(7, generator=generator(3))
    assert x.shape == (7, specimen.truth.dim)
    assert x.dtype == (torch.int64 if specimen.tokens else torch.float32)
    assert not x.requires_grad
    assert torch.equal(x, model.sample(7, generator=generator(3)))
    assert not torch.equal(x, model.sample(7, generator=generator(4)))
    assert torch.equal(torch.get_rng_state(), before)


@offering("sample")
def test_sample_without_a_generator_uses_the_global_one(specimen):
    model = fitted(specimen)
    torch.manual_seed(0)
    first = model.sample(5)
    torch.manual_seed(0)
    assert torch.equal(first, model.sample(5))


@offering("log_prob")
def test_log_prob_has_one_number_an_example_in_the_datas_dtype(specimen):
    model, x = fitted(specimen), training_data(specimen)[:9]
    for dtype in (torch.float64,) if specimen.tokens else (torch.float32, torch.float64):
        x = x if specimen.tokens else x.to(dtype)
        log_prob = model.log_prob(x).detach()
        assert log_prob.shape == (9,)
        assert log_prob.dtype == dtype
        assert bool(torch.isfinite(log_prob).all())


@offering("log_prob")
def test_log_prob_of_an_example_does_not_depend_on_its_batch(specimen):
    model, x = fitted(specimen), precise(training_data(specimen)[:6])
    alone = torch.cat([model.log_prob(row[None]) for row in x])
    together = model.log_prob(x)
    assert torch.allclose(alone, together, atol=1e-9)
    assert torch.allclose(model.log_prob(x.flip(0)), together.flip(0), atol=1e-9)


@offering("loss", "log_prob")
def test_loss_is_minus_the_mean_log_prob(specimen):
    model, x = fitted(specimen), training_data(specimen)[:100]
    assert model.loss(x).shape == ()
    assert torch.allclose(model.loss(x), -model.log_prob(x).mean())


@with_density
@torch.no_grad()
def test_probability_sums_to_one(specimen):
    model = fitted(specimen)
    if specimen.levels:
        total = float(specimen.log_density(model, all_levels(specimen)).exp().sum())
        assert total == pytest.approx(1, abs=1e-9)
    else:
        points = 8_000 if specimen.truth.dim == 1 else 240
        total = integrate(lambda x: specimen.log_density(model, x).exp(), box(specimen), points)
        assert total == pytest.approx(1, abs=1e-3)


@offering("sample", where=lambda s: s.has_density)
@torch.no_grad()
def test_samples_agree_with_the_density(specimen):
    """Chi-square of 20,000 samples on the cells of a coarse grid against the mass by quadrature."""
    model, n = fitted(specimen), 20_000
    x = model.sample(n, generator=generator(11)).double()
    if specimen.levels:
        expected = specimen.log_density(model, all_levels(specimen)).exp()
        cell = (x @ specimen.levels ** torch.arange(specimen.truth.dim - 1, -1, -1).double()).long()
    else:
        bounds, (coarse, fine) = box(specimen), (60, 40) if specimen.truth.dim == 1 else (12, 20)
        grid, volume = midpoints(bounds, coarse * fine)
        shape = [coarse, fine] * specimen.truth.dim
        mass = (specimen.log_density(model, grid).exp() * volume).view(shape)
        expected = mass.sum(dim=tuple(range(1, 2 * specimen.truth.dim, 2))).flatten()
        index = ((x - bounds[0]) / (bounds[1] - bounds[0]) * coarse).long()
        assert bool(((index >= 0) & (index < coarse)).all())
        cell = (index * coarse ** torch.arange(specimen.truth.dim - 1, -1, -1)).sum(1)
    observed = torch.bincount(cell, minlength=len(expected)).double()
    enough = expected * n >= 5
    observed = torch.cat([observed[enough], observed[~enough].sum()[None]])
    expected = torch.cat([expected[enough], expected[~enough].sum()[None].clamp_min(1e-9)])
    expected = expected / expected.sum() * n
    assert stats.chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-3


@with_density
@torch.no_grad()
def test_learns_its_truth(specimen):
    """The KL divergence from the truth, over fresh points, is below the stated figure and above zero."""
    model, truth = fitted(specimen), specimen.truth
    x = truth.sample(20_000, generator=generator(21))
    x = precise(x)
    log_density = specimen.log_density(model, x)
    assert not bool(log_density.isnan().any())
    kept = torch.isfinite(log_density)
    assert int(kept.sum()) > 19_900
    gap = (truth.log_prob(x) - log_density)[kept]
    error = float(gap.std()) / math.sqrt(len(gap))
    assert float(gap.mean()) < specimen.kl
    assert float(gap.mean()) > -4 * error
    if "fit" not in specimen.calls:  # there is something to learn
        before = truth.log_prob(x) - specimen.log_density(specimen.make(), x)
        assert float(before.mean()) > 2 * specimen.kl


@offering("fit", "log_prob", "sample")
@torch.no_grad()
def test_answers_in_data_units(specimen):
    """Data a hundred times larger and moved: samples are too, and densities fall by log 100 a dimension."""
    if specimen.levels or not specimen.scale_exact:
        assert specimen.levels or specimen.family.__name__ == "KernelDensity"  # a fixed bandwidth has units
        return
    x = training_data(specimen)[:1000].double().float()
    model, moved = teach(specimen, x), teach(specimen, x * 100 + 500)
    probe = x[:50].double()
    shift = moved.log_prob(probe * 100 + 500) - model.log_prob(probe)
    assert torch.allclose(shift, torch.full_like(shift, -math.log(100) * specimen.truth.dim), atol=0.05)
    sample = moved.sample(2000, generator=generator(3))
    assert torch.allclose(sample.mean(0), x.mean(0) * 100 + 500, atol=15)


@offering("score", "log_prob")
def test_score_is_the_gradient_of_log_prob(specimen):
    model = fitted(specimen)
    x = training_data(specimen)[:20].double().requires_grad_()
    (gradient,) = torch.autograd.grad(model.log_prob(x).sum(), x)
    assert torch.allclose(model.score(x.detach()), gradient, rtol=1e-4, atol=1e-4)


@each
def test_weights_survive_a_file(specimen, tmp_path):
    model = fitted(specimen)
    if not isinstance(model, torch.nn.Module):
        assert not hasattr(model, "state_dict")
        return
    save_weights(model, tmp_path / "weights.safetensors")
    if "fit" in specimen.calls:  # its shapes come with the data
        fresh = specimen.family(model.components, specimen.truth.dim)
    else:
        fresh = specimen.make().eval()
    x = training_data(specimen)[:50]
    known = answers(specimen, model, x)
    assert not torch.allclose(answers(specimen, fresh, x), known)
    assert torch.equal(answers(specimen, load_weights(fresh, tmp_path / "weights.safetensors"), x), known)


@offering("fit", "log_prob", where=lambda s: not s.tokens)
def test_bad_points_are_refused_by_name(specimen):
    model, dim = fitted(specimen), specimen.truth.dim
    calls = [model.log_prob, specimen.make().fit] + ([model.score] if "score" in specimen.calls else [])
    for call in calls:
        with pytest.raises(TypeError, match="x must be a floating-point tensor, got"):
            call(torch.zeros(3, dim, dtype=torch.long))
        with pytest.raises(TypeError, match="x must be a floating-point tensor, got list"):
            call([[0.0] * dim])
        with pytest.raises(ValueError, match=r"x must have shape \(n, .*got \(3,\)"):
            call(torch.zeros(3))
        with pytest.raises(ValueError, match="x is empty"):
            call(torch.zeros(0, dim))
        with pytest.raises(ValueError, match="x holds 1 "):
            call(torch.tensor([[math.nan] + [0.0] * (dim - 1)]))
    with pytest.raises(ValueError, match=rf"x must have shape \(n, {dim}\)"):
        model.log_prob(torch.zeros(3, dim + 1))
    with pytest.raises(ValueError, match="infinite"):
        specimen.make().fit(torch.full((3, dim), math.inf))


@offering("fit", "log_prob", where=lambda s: s.tokens)
def test_bad_tokens_are_refused_by_name(specimen):
    x = training_data(specimen)[:3]
    for call in (fitted(specimen).log_prob, specimen.make().fit):
        with pytest.raises(TypeError, match="x must be an int64 tensor, got"):
            call(x.float())
        with pytest.raises(TypeError, match="x must be an int64 tensor, got list"):
            call(x.tolist())
        with pytest.raises(ValueError, match=r"x must have shape \(n, T\), got \(4,\)"):
            call(x[0])
        with pytest.raises(ValueError, match="x is empty"):
            call(x[:0])
        for bad in (-1, specimen.levels):
            with pytest.raises(ValueError, match=f"whole numbers from 0 to {specimen.levels - 1}, got"):
                call(torch.full_like(x, bad))


@offering("fit")
def test_learning_again_forgets_the_first_data(specimen):
    x = training_data(specimen)[:400]
    other = x if specimen.levels else x * 3 + 7
    options = {"generator": generator(2)} if "generator" in specimen.family.fit.__annotations__ else {}
    twice = specimen.make().fit(x, **options)
    options = {"generator": generator(3)} if options else {}
    twice.fit(other.clone(), **options)
    options = {"generator": generator(3)} if options else {}
    once = specimen.make().fit(other.clone(), **options)
    assert torch.equal(answers(specimen, twice, other), answers(specimen, once, other))


@offering("sample")
def test_bad_counts_are_refused_by_name(specimen):
    model = fitted(specimen)
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"n must be at least 1, got {bad}"):
            model.sample(bad)
    with pytest.raises(TypeError, match=r"n must be a whole number, got 2\.5"):
        model.sample(2.5)


@offering("fit")
def test_asking_before_learning_is_refused(specimen):
    x = torch.zeros(1, specimen.truth.dim, dtype=torch.int64 if specimen.tokens else torch.float32)
    asks = {"sample": 1, "log_prob": x, "loss": x, "score": x, "encode": x, "decode": torch.zeros(1, 1)}
    for call in specimen.calls & set(asks):
        with pytest.raises(RuntimeError, match=f"this {specimen.family.__name__} has .* yet"):
            getattr(specimen.make(), call)(asks[call])


@moving
@torch.no_grad()
def test_the_units_are_those_of_the_data(specimen):
    """Another offset and scale, equal weights: everything moves with the data, densities with their Jacobian."""
    plain, moved = specimen.make(offset=0.0, scale=1.0).eval(), specimen.make(offset=500.0, scale=100.0).eval()
    x, dim = training_data(specimen)[:30], specimen.truth.dim
    y, calls = x * 100 + 500, specimen.calls
    if "energy" in calls:
        assert torch.allclose(moved.energy(y), plain.energy(x) + dim * math.log(100), atol=1e-3)
    if "elbo" in calls:
        noise = latent(plain, 30)
        shift = moved.elbo(y, noise=noise) - plain.elbo(x, noise=noise)
        assert torch.allclose(shift, torch.full_like(shift, -dim * math.log(100)), atol=1e-3)
    if "encode" in calls:
        assert torch.allclose(moved.encode(y), plain.encode(x), atol=1e-4)
    if "decode" in calls:
        z = codes(specimen, plain, 30)
        assert torch.allclose(moved.decode(z), 500 + 100 * plain.decode(z), rtol=1e-5)
    if "sample" in calls:
        samples = [m.sample(30, generator=generator(3)) for m in (plain, moved)]
        assert torch.allclose(samples[1], 500 + 100 * samples[0], rtol=1e-5)


# ---- energies ---------------------------------------------------------------------------------------------------
@offering("energy")
def test_energies_have_one_number_an_example_that_does_not_depend_on_its_batch(specimen):
    model, x = fitted(specimen), training_data(specimen)[:9]
    kept = x.clone()
    energy = model.energy(x)
    assert energy.shape == (9,) and energy.dtype == torch.float32
    assert bool(energy.isfinite().all()) and float(energy.detach().std()) > 0
    assert torch.allclose(torch.cat([model.energy(row[None]) for row in x]), energy, atol=1e-5)
    assert torch.allclose(model.energy(x.flip(0)), energy.flip(0), atol=1e-5)
    assert torch.equal(x, kept)


@offering("energy", where=lambda s: not s.levels)
@torch.no_grad()
def test_energies_differ_as_the_log_densities_of_the_samples_do(specimen):
    """A histogram of samples against exp(-energy), normalised by quadrature alone."""
    model = fitted(specimen)
    x = model.sample(20_000, generator=generator(11)).double()
    grid = midpoints(box(specimen), 2000)[0]
    mass = (-model.energy(grid)).double().exp()
    mean = (mass[:, None] * grid).sum(0) / mass.sum()
    spread = ((mass[:, None] * (grid - mean) ** 2).sum(0) / mass.sum()).sqrt()
    assert torch.allclose(x.mean(0), mean, atol=0.04) and torch.allclose(x.std(0), spread, atol=0.03)


# ---- bounds -----------------------------------------------------------------------------------------------------
def latent(model, n: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(n, model.latent, generator=generator(seed))


@offering("elbo")
def test_the_bound_has_one_number_an_example_that_its_noise_fixes(specimen):
    model, x = fitted(specimen), training_data(specimen)[:9]
    kept, noise = x.clone(), latent(model, 9)
    values = model.elbo(x, noise=noise)
    assert values.shape == (9,) and values.dtype == torch.float32 and bool(values.isfinite().all())
    assert torch.equal(values, model.elbo(x, noise=noise))
    assert not torch.equal(values, model.elbo(x, noise=latent(model, 9, 4)))
    rows = [model.elbo(row[None], noise=e[None]) for row, e in zip(x, noise, strict=True)]
    assert torch.allclose(torch.cat(rows), values, atol=1e-4)
    assert torch.equal(x, kept)
    torch.manual_seed(1)
    drawn = model.elbo(x)
    torch.manual_seed(1)
    assert torch.equal(drawn, model.elbo(x)) and not torch.equal(drawn, model.elbo(x))


@offering("loss", "elbo")
def test_loss_is_minus_the_mean_bound_with_the_same_noise(specimen):
    model, x = fitted(specimen), training_data(specimen)[:100]
    noise = latent(model, 100)
    loss = model.loss(x, noise=noise)
    assert loss.shape == () and loss.requires_grad
    assert torch.allclose(loss, -model.elbo(x, noise=noise).mean(), rtol=1e-5)


@offering("elbo", where=lambda s: s.density is not None)
@torch.no_grad()
def test_the_bound_lies_below_the_log_density(specimen):
    """Its mean over many draws, example by example, and a taught model's is not far below."""
    model, n = fitted(specimen), 2000
    x = training_data(specimen)[:60]
    draws = model.elbo(x.repeat_interleave(n, 0), noise=latent(model, 60 * n)).view(60, n).double()
    gap = specimen.log_density(model, x) - draws.mean(1)
    assert bool((gap > -4 * draws.std(1) / math.sqrt(n) - 1e-4).all())
    assert 0 < float(gap.mean()) < 0.7


@offering("loss", where=lambda s: not s.calls & {"log_prob", "elbo"})
def test_a_loss_that_is_no_likelihood_is_called_a_surrogate(specimen):
    assert "surrogate" in specimen.family.loss.__doc__


@offering("loss")
def test_loss_is_one_finite_number_with_a_gradient_for_every_parameter(specimen):
    model, x = fitted(specimen), training_data(specimen)[:40]
    kept = x.clone()
    loss = model.loss(x)
    assert loss.shape == () and math.isfinite(loss.item()) and torch.equal(x, kept)
    if isinstance(model, torch.nn.Module) and "fit" not in specimen.calls:
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        assert all(bool(slope.isfinite().all()) and bool(slope.any()) for slope in slopes)


# ---- families without a density ---------------------------------------------------------------------------------
def sliced_distance(x: torch.Tensor, y: torch.Tensor) -> float:
    """The Wasserstein-1 distance of two sets of equal size, averaged over 16 directions."""
    directions = torch.nn.functional.normalize(torch.randn(x.shape[1], 16, generator=generator(0)), dim=0)
    return float(((x @ directions).sort(0).values - (y @ directions).sort(0).values).abs().mean())


@offering("sample", where=lambda s: not s.has_density)
def test_samples_come_close_to_the_truth(specimen):
    truth = specimen.truth.sample(4000, generator=generator(5))
    before = sliced_distance(specimen.make().sample(4000, generator=generator(6)), truth)
    assert before > 3 * specimen.distance
    assert sliced_distance(fitted(specimen).sample(4000, generator=generator(6)), truth) < specimen.distance


# ---- codes ------------------------------------------------------------------------------------------------------
def codes(specimen: Specimen, model, n: int) -> torch.Tensor:
    """Codes to decode: those of examples, or noise where the family only decodes."""
    if "encode" in specimen.calls:
        return model.encode(specimen.truth.sample(n, generator=generator(3))).detach()
    return latent(model, n)


@offering("decode")
def test_decoded_examples_have_the_datas_shape_and_do_not_depend_on_their_batch(specimen):
    model = fitted(specimen)
    z = codes(specimen, model, 6)
    kept = z.clone()
    x = model.decode(z)
    assert x.shape == (6, specimen.truth.dim)
    assert x.dtype == torch.float32
    assert torch.equal(z, kept)
    assert torch.equal(x, model.decode(z))
    assert torch.allclose(torch.cat([model.decode(row[None]) for row in z]), x, atol=1e-5)
    assert torch.allclose(model.decode(z.flip(0)), x.flip(0), atol=1e-5)
    assert x.std(0).min() > 1e-3  # different codes, different examples


@offering("decode")
def test_decode_passes_a_gradient_to_the_codes(specimen):
    model = fitted(specimen)
    z = codes(specimen, model, 6).requires_grad_()
    (slope,) = torch.autograd.grad(model.decode(z).sum(), z)
    assert bool((slope.flatten(1).norm(dim=1) > 0).all())


@offering("sample")
def test_samples_ask_for_no_gradient(specimen):
    assert not fitted(specimen).sample(2).requires_grad


@offering("encode")
def test_codes_have_one_row_an_example_that_does_not_depend_on_its_batch(specimen):
    model, x = fitted(specimen), training_data(specimen)[:9]
    kept = x.clone()
    z = model.encode(x)
    assert len(z) == 9 and z.ndim == 2 and z.dtype == torch.float32
    assert torch.equal(z, model.encode(x)) and torch.equal(x, kept)
    assert torch.allclose(torch.cat([model.encode(row[None]) for row in x]), z, atol=1e-5)
    assert torch.allclose(model.encode(x.flip(0)), z.flip(0), atol=1e-5)
    assert float(z.detach().std(0).min()) > 1e-3  # different examples, different codes


@offering("encode", "decode")
@torch.no_grad()
def test_what_is_encoded_and_decoded_comes_back_within_the_stated_error(specimen):
    model, x = fitted(specimen), specimen.truth.sample(5000, generator=generator(5))
    error = float((model.decode(model.encode(x)) - x).square().sum(1).mean())
    assert error < specimen.error
    assert specimen.error < 0.6 * float((x - x.mean(0)).square().sum(1).mean())  # the mean alone does not pass


# ---- two players ------------------------------------------------------------------------------------------------
players = offering("critic_loss", "generator_loss", "sample", "decode")


@players
def test_a_model_of_two_players_carries_them_as_modules(specimen):
    model = specimen.make()
    assert isinstance(model, TwoPlayers) and isinstance(model, Samples) and isinstance(model, Decodes)
    for player in (model.critic, model.generator):
        assert isinstance(player, torch.nn.Module)
        assert sum(p.numel() for p in player.parameters()) > 0
    shared = {id(p) for p in model.critic.parameters()} & {id(p) for p in model.generator.parameters()}
    assert not shared


@players
def test_losses_without_a_likelihood_are_called_surrogates(specimen):
    for call in ("critic_loss", "generator_loss"):
        assert "surrogate" in getattr(specimen.family, call).__doc__


@players
def test_a_players_loss_is_one_finite_number_that_the_noise_fixes(specimen):
    model, x = fitted(specimen), training_data(specimen)[:40]
    kept = x.clone()
    noise = latent(model, 40)
    for lose in (lambda **known: model.critic_loss(x, **known), lambda **known: model.generator_loss(40, **known)):
        values = []
        for seed, known in ((1, noise), (2, noise), (1, latent(model, 40, 4)), (1, None), (2, None), (1, None)):
            torch.manual_seed(seed)
            loss = lose(noise=known)
            assert loss.shape == () and loss.dtype == torch.float32 and loss.requires_grad
            values.append(loss.item())
        assert all(map(math.isfinite, values))
        fixed, again, other, drawn, elsewhere, repeated = values
        assert fixed == again != other
        assert drawn == repeated != elsewhere
    assert torch.equal(x, kept)


@players
def test_each_loss_reaches_the_player_that_it_is_for(specimen):
    model, x = specimen.make(), training_data(specimen)[:40]
    model.critic_loss(x).backward()
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(float(p.grad.norm()) > 0 for p in model.critic.parameters() if p.ndim == 2)
    model.zero_grad(set_to_none=True)
    model.generator_loss(40).backward()
    assert all(float(p.grad.norm()) > 0 for p in model.generator.parameters())


@players
def test_the_players_meet_in_units_of_their_own(specimen):
    """Another offset and scale leave the losses of data moved alike as they are."""
    plain = specimen.make(offset=0.0, scale=1.0)
    moved = specimen.make(offset=500.0, scale=100.0)
    z, x = latent(plain, 30), training_data(specimen)[:30]
    losses = [plain.critic_loss(x, noise=z), moved.critic_loss(x * 100 + 500, noise=z)]
    assert torch.allclose(*losses, rtol=1e-3)
    assert torch.equal(plain.generator_loss(30, noise=z), moved.generator_loss(30, noise=z))


@players
def test_samples_are_decoded_noise(specimen):
    model = fitted(specimen)
    noise = torch.randn(9, model.latent, generator=generator(3))
    assert torch.equal(model.sample(9, generator=generator(3)), model.decode(noise).detach())


@players
def test_bad_batches_and_noise_are_refused_by_name(specimen):
    model, dim = fitted(specimen), specimen.truth.dim
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got a torch\.int64 tensor"):
        model.critic_loss(torch.zeros(3, dim, dtype=torch.long))
    with pytest.raises(TypeError, match="x must be a floating-point tensor, got list"):
        model.critic_loss([[0.0] * dim])
    with pytest.raises(ValueError, match=r"x must have shape \(n, .*got \(3,\)"):
        model.critic_loss(torch.zeros(3))
    with pytest.raises(ValueError, match="x is empty"):
        model.critic_loss(torch.zeros(0, dim))
    with pytest.raises(ValueError, match="x holds 1 NaN"):
        model.critic_loss(torch.tensor([[math.nan] + [0.0] * (dim - 1)]))
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"n must be at least 1, got {bad}"):
            model.generator_loss(bad)
    with pytest.raises(TypeError, match=r"n must be a whole number, got 2\.5"):
        model.generator_loss(2.5)
    for lose in (lambda noise: model.critic_loss(torch.zeros(3, dim), noise=noise),
                 lambda noise: model.generator_loss(3, noise=noise)):  # fmt: skip
        with pytest.raises(ValueError, match=rf"noise must have shape \(3, {model.latent}\), got \(4, "):
            lose(latent(model, 4))
