"""Principal components against the covariance's own axes, and autoencoders against sums written out."""

import math

import pytest
import torch
from torch import nn

from genbook import train
from genbook.models.autoencoder import PCA, Autoencoder, mask, white_noise
from genbook.nn.coders import PictureDecoder, PictureEncoder


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data(n=200, d=5, seed=0, latent=2, noise=0.3):
    drawn = generator(seed)
    z, loadings = torch.randn(n, latent, generator=drawn), torch.randn(latent, d, generator=drawn)
    return (torch.arange(float(d)) + z @ loadings + noise * torch.randn(n, d, generator=drawn)).double()


# ---- principal components ---------------------------------------------------------------------------------------
def test_components_of_a_cross_worked_out_by_hand():
    x = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]) @ torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    m = PCA(1).fit(x + torch.tensor([10.0, 20.0]))
    assert torch.allclose(m.mean, torch.tensor([10.0, 20.0]))
    assert torch.allclose(m.components, torch.tensor([[-0.6, 0.8]]), atol=1e-6)
    assert torch.allclose(m.variances, torch.tensor([18 / 4, 2 / 4]), atol=1e-5)
    assert torch.allclose(m.encode(torch.tensor([[10.6, 19.2]])), torch.tensor([[-1.0]]), atol=1e-5)
    assert torch.allclose(m.decode(torch.tensor([[2.0]])), torch.tensor([[8.8, 21.6]]), atol=1e-5)


def test_components_are_the_axes_of_the_covariance_in_order_of_variance():
    x = data(latent=4)
    m = PCA(3).fit(x)
    covariance = torch.cov(x.T, correction=0)
    assert torch.allclose(m.components @ m.components.T, torch.eye(3).double(), atol=1e-9)
    assert torch.allclose(covariance @ m.components.T, m.components.T * m.variances[:3], atol=1e-9)
    assert m.variances.shape == (5,) and bool((m.variances.diff() < 0).all())
    assert m.variances.sum().item() == pytest.approx(covariance.trace().item())
    largest = m.components.gather(1, m.components.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())
    assert torch.allclose(PCA(3).fit(-x).components, m.components, atol=1e-9)


def test_the_error_on_the_training_data_is_the_variance_left_out():
    x = data(latent=4)
    for latent in range(1, 6):
        m = PCA(latent).fit(x)
        error = (m.decode(m.encode(x)) - x).square().sum(1).mean().item()
        assert error == pytest.approx(m.variances[latent:].sum().item(), abs=1e-9)
        assert torch.allclose(m.encode(x).square().mean(0), m.variances[:latent], atol=1e-9)


def test_no_other_plane_has_a_smaller_error():
    x = data(latent=4)
    m = PCA(2).fit(x)
    best = (m.decode(m.encode(x)) - x).square().sum().item()
    for seed in range(20):
        axes = m.components + 0.1 * torch.randn(2, 5, generator=generator(seed))
        axes = torch.linalg.qr(axes.T)[0]
        centred = x - m.mean
        assert (centred @ axes @ axes.T - centred).square().sum().item() > best


def test_a_trained_linear_autoencoder_comes_to_the_same_plane():
    x = data(d=4, noise=0.5).float()
    known = PCA(2).fit(x)
    torch.manual_seed(0)
    m = Autoencoder(nn.Linear(4, 2), nn.Linear(2, 4))
    train.fit(m, x, steps=500, batch_size=200, learning_rate=0.05, progress=False,
              schedule=train.warmup_cosine(), optimizer=torch.optim.Adam)  # fmt: skip
    assert m.loss(x).item() == pytest.approx(known.variances[2:].sum().item(), rel=1e-3)
    assert torch.allclose(m.decode(m.encode(x)), known.decode(known.encode(x)), atol=0.05)


def test_a_picture_taller_than_the_data_are_many():
    x = torch.randn(4, 9, generator=generator())
    m = PCA(3).fit(x)
    assert m.variances.shape == (4,) and m.components.shape == (3, 9)
    assert torch.allclose(m.decode(m.encode(x)), x, atol=1e-5)  # four points lie in three dimensions


def test_bad_input_to_principal_components_is_refused_by_name():
    with pytest.raises(ValueError, match="latent must be at least 1, got 0"):
        PCA(0)
    for shape in ((2, 5), (5, 2)):
        with pytest.raises(ValueError, match=r"x must have at least latent = 3 rows and columns, got \("):
            PCA(3).fit(torch.randn(*shape, generator=generator()))
    with pytest.raises(ValueError, match="NaN or infinite"):
        PCA(1).fit(torch.tensor([[1.0, math.inf], [0.0, 1.0]]))
    with pytest.raises(TypeError, match="x must be a floating-point tensor"):
        PCA(1).fit(torch.ones(3, 3, dtype=torch.long))
    m = PCA(2).fit(data())
    with pytest.raises(ValueError, match=r"x must have shape \(n, 5\), got \(3, 4\)"):
        m.encode(torch.zeros(3, 4))
    for call in (lambda f: f.encode(data()), lambda f: f.decode(torch.zeros(1, 2))):
        with pytest.raises(RuntimeError, match=r"this PCA has seen no data yet: call fit\(x\) first"):
            call(PCA(2))


# ---- corruptions ------------------------------------------------------------------------------------------------
def test_white_noise_has_the_stated_width_and_leaves_the_batch_alone():
    x = torch.full((20_000, 2), 3.0)
    torch.manual_seed(0)
    damaged = white_noise(0.5)(x)
    assert torch.allclose(damaged.mean(0), torch.tensor([3.0, 3.0]), atol=0.02)
    assert torch.allclose(damaged.std(0), torch.tensor([0.5, 0.5]), atol=0.01)
    assert abs(float(torch.corrcoef(damaged.T)[0, 1])) < 0.03
    assert bool((x == 3).all())


def test_a_mask_sets_the_stated_share_to_nought():
    x = torch.full((20_000, 2), 3.0)
    torch.manual_seed(0)
    damaged = mask(0.2)(x)
    assert sorted(damaged.unique().tolist()) == [0, 3]
    assert (damaged == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert abs(float(torch.corrcoef(damaged.T)[0, 1])) < 0.03
    assert bool((x == 3).all())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, math.nan])
def test_shares_that_are_none_are_refused(share):
    with pytest.raises(ValueError, match="share must lie between 0 and 1, got"):
        mask(share)


def test_noise_without_width_is_refused():
    for scale in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="scale must be a finite number > 0"):
            white_noise(scale)


# ---- autoencoders -----------------------------------------------------------------------------------------------
class Watched(nn.Linear):
    def forward(self, x):
        self.seen = x.detach().clone()
        return super().forward(x)


def small(**options):
    torch.manual_seed(0)
    return Autoencoder(Watched(3, 2), nn.Linear(2, 3), **options)


def test_the_loss_is_the_squared_error_in_networks_units_written_out():
    m = small(offset=3.0, scale=2.0)
    x = data(6, 3).float()
    inside = (x - 3) / 2
    back = m.decoder(m.encoder(inside))
    total = sum(float(((back - inside)[i] ** 2).sum().detach()) for i in range(6))
    assert m.loss(x).item() == pytest.approx(total / 6, rel=1e-5)
    assert torch.allclose(m.encoder.seen, inside)


def test_codes_and_examples_are_in_the_units_of_the_data():
    m = small(offset=3.0, scale=2.0)
    x = data(6, 3).float()
    z = m.encode(x)
    assert torch.allclose(z, m.encoder((x - 3) / 2)) and torch.allclose(m.decode(z), 3 + 2 * m.decoder(z))
    error = (m.decode(z) - x).square().sum(1).mean() / 4
    assert m.loss(x).item() == pytest.approx(error.item(), rel=1e-5)


def test_a_denoiser_sees_the_damaged_example_and_must_return_the_whole_one():
    m = small(offset=3.0, scale=2.0, corrupt=lambda x: 0 * x - 1)
    x = data(6, 3).float()
    loss = m.loss(x)
    assert bool((m.encoder.seen == -1).all())
    back = m.decoder(m.encoder(-torch.ones(6, 3)))
    assert loss.item() == pytest.approx(((x - 3) / 2 - back).square().sum(1).mean().item(), rel=1e-5)
    m.encode(x)
    assert torch.allclose(m.encoder.seen, (x - 3) / 2)


def test_the_damaged_examples_may_be_given():
    m = small(offset=3.0, scale=2.0, corrupt=white_noise(1.0))
    x, damaged = data(6, 3).float(), data(6, 3, seed=4).float()
    first, again = m.loss(x, corrupted=damaged), m.loss(x, corrupted=damaged)
    assert torch.equal(first, again) and torch.allclose(m.encoder.seen, (damaged - 3) / 2)
    assert not torch.equal(m.loss(x), m.loss(x))
    torch.manual_seed(3)
    drawn = m.loss(x)
    torch.manual_seed(3)
    assert torch.equal(drawn, m.loss(x))


def test_pictures_keep_their_shape():
    torch.manual_seed(0)
    m = Autoencoder(PictureEncoder(3, (4, 8)), PictureDecoder(3, (8, 4)), offset=8.0, scale=8.0)
    x = torch.randint(17, (5, 1, 8, 8), generator=generator()).float()
    assert m.encode(x).shape == (5, 3) and m.decode(m.encode(x)).shape == (5, 1, 8, 8)
    error = ((m.decode(m.encode(x)) - x) / 8).square().sum((1, 2, 3)).mean()
    assert m.loss(x).item() == pytest.approx(error.item(), rel=1e-5)


def test_there_is_no_sample_and_no_density():
    assert not hasattr(small(), "sample") and not hasattr(small(), "log_prob")
    assert not hasattr(PCA(1), "sample") and not hasattr(PCA(1), "log_prob")


def test_bad_input_is_refused_by_name():
    for offset in (math.inf, math.nan):
        with pytest.raises(ValueError, match=f"offset must be finite, got {offset}"):
            small(offset=offset)
    with pytest.raises(ValueError, match="scale must be a finite number > 0"):
        small(scale=0.0)
    with pytest.raises(TypeError, match=r"x must be a floating-point tensor, got a torch\.int64 tensor"):
        small().loss(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"corrupted must have shape \(2, 3\), got \(1, 3\)"):
        small().loss(torch.zeros(2, 3), corrupted=torch.zeros(1, 3))
