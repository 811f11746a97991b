"""Linear autoregression: the chain rule by hand, its order, its sum to one."""

import itertools
import math

import pytest
import torch

from genbook.models.linear_autoregression import LinearAutoregression
from genbook.train import fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(columns=3, levels=3, seed=0, scale=1.0):
    """Return a model whose weights and biases are random."""
    model = LinearAutoregression(columns, levels)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(scale * torch.randn(value.shape, generator=generator(seed)))
    return model.double()


def everything(columns, levels):
    return torch.tensor(list(itertools.product(range(levels), repeat=columns)), dtype=torch.float64)


@pytest.mark.parametrize(("columns", "levels"), [(1, 4), (2, 2), (3, 3), (2, 5)])
def test_probabilities_of_all_examples_sum_to_one(columns, levels):
    model = drawn(columns, levels)
    assert float(model.log_prob(everything(columns, levels)).detach().exp().sum()) == pytest.approx(1, abs=1e-10)


def test_each_factor_is_a_softmax_that_is_linear_in_the_columns_before():
    model = LinearAutoregression(2, 3).double()
    with torch.no_grad():
        model.bias.copy_(torch.tensor([[0.0, 1.0, 2.0], [0.5, 0.0, 0.0]]))
        # from column 0 (first row) to the three levels of column 1 (last three entries); the rest must not matter
        model.weight.copy_(torch.tensor([[9.0, 9.0, 9.0, 1.0, 2.0, -1.0], [9.0] * 6]))
    x = torch.tensor([[2.0, 1.0], [0.0, 0.0], [1.0, 2.0]], dtype=torch.float64)
    first = [math.exp(k) / (1 + math.e + math.e**2) for k in range(3)]

    def second(level, scaled):
        inputs = [0.5 + scaled, 2 * scaled, -scaled]
        return math.exp(inputs[level]) / sum(map(math.exp, inputs))

    expected = [
        math.log(first[2] * second(1, 1)),
        math.log(first[0] * second(0, -1)),
        math.log(first[1] * second(2, 0)),
    ]
    assert model.log_prob(x).tolist() == pytest.approx(expected)
    assert model.loss(x).item() == pytest.approx(-sum(expected) / 3)


def test_a_columns_chances_depend_on_no_later_column():
    model = drawn(4, 3)
    x = everything(4, 3)[[5, 40, 77]]
    before = model._log_chances(x)
    for later in range(4):
        changed = x.clone()
        changed[:, later] = (changed[:, later] + 1) % 3
        after = model._log_chances(changed)
        assert torch.equal(after[:, : later + 1], before[:, : later + 1])
        if later < 3:
            assert not torch.allclose(after[:, later + 1], before[:, later + 1])


def test_samples_follow_the_probabilities():
    model, n = drawn(2, 3, scale=0.7), 20_000
    x = model.sample(n, generator=generator(1))
    counts = (3 * x[:, 0] + x[:, 1]).long().bincount(minlength=9)
    expected = n * model.log_prob(everything(2, 3)).detach().exp()
    assert float(((counts - expected).square() / expected).sum()) < 26.1  # chi-square, 8 degrees, p = 0.001
    assert torch.equal(x[:7], model.sample(n, generator=generator(1))[:7])


def test_initialising_gives_the_frequencies_half_an_example_added():
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    model = LinearAutoregression(2, 3).initialise(x)
    assert model.bias[0].softmax(0).tolist() == pytest.approx([2.5 / 5.5, 1.5 / 5.5, 1.5 / 5.5])
    assert model.bias[1].softmax(0).tolist() == pytest.approx([0.5 / 5.5, 4.5 / 5.5, 0.5 / 5.5])


def test_it_learns_what_independent_columns_cannot_know():
    first = torch.randint(0, 3, (2000, 1), generator=generator(2)).float()
    x = torch.cat([first, 2 - first], 1)  # the second column is certain once the first is known
    model = LinearAutoregression(2, 3).initialise(x)
    assert model.loss(x).item() == pytest.approx(2 * math.log(3), abs=0.01)
    fit(model, x, steps=800, learning_rate=0.05, progress=False)
    assert model.loss(x).item() < math.log(3) + 0.05


def test_bad_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="levels must be at least 2"):
        LinearAutoregression(3, 1)
    with pytest.raises(ValueError, match="columns must be at least 1"):
        LinearAutoregression(0, 3)
    model = LinearAutoregression(2, 3)
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\)"):
        model.log_prob(torch.zeros(4, 3))
    for bad in (3.0, -1.0, 0.5):
        with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
            model.log_prob(torch.full((1, 2), bad))
