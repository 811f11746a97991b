"""Figures: the palette's promises, and the plots' refusals."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from genbook import viz
from genbook.data.truths import Mixture1D, Moons
from genbook.viz import style
from genbook.viz.style import PALETTE


@pytest.fixture(autouse=True)
def _style():
    with mpl.rc_context():
        viz.use_style()
        yield
    plt.close("all")


def luminance(colour):
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour, matrix=None):
    rgb = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)])
    rgb = rgb if matrix is None else np.clip(np.array(matrix) @ rgb, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = [t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in xyz / [0.9505, 1, 1.089]]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_stand_out_and_stay_apart_for_the_colour_blind(mode):
    ground = {"light": "#FFFFFF", "dark": "#14181e"}[mode]
    colours = {name: entry[mode] for name, entry in PALETTE.items()}
    assert min(contrast(c, ground) for c in colours.values()) >= 3
    for matrix in (None, *BLINDNESS.values()):
        labs = {name: lab(c, matrix) for name, c in colours.items()}
        apart = {(a, b): np.linalg.norm(labs[a] - labs[b]) for a in labs for b in labs if a < b}
        assert min(apart.values()) > 12, min(apart, key=apart.get)


def test_show_images_lays_out_row_by_row():
    images = torch.arange(3.0)[:, None, None].expand(3, 2, 2)
    sheet = viz.show_images(images, columns=2, gap=1).images[0].get_array()
    assert sheet.shape == (5, 5)
    assert sheet[0, 0] == 0 and sheet[0, 3] == 1 and sheet[3, 0] == 2
    assert np.isnan(np.asarray(sheet.filled(np.nan))[3, 3])


def test_show_density_draws_the_density():
    truth = Mixture1D()
    line = viz.show_density(truth.log_prob, truth.bounds, meaning="truth").lines[0]
    x, y = line.get_data()
    assert float(torch.trapezoid(torch.as_tensor(y), torch.as_tensor(x))) == pytest.approx(1, abs=0.01)
    assert line.get_color() == viz.COLOURS["truth"]
    moons = Moons()
    picture = viz.show_density(moons.log_prob, moons.bounds, points=50).images[0].get_array()
    assert picture.shape == (50, 50)
    low, high = moons.bounds
    at = torch.tensor([[0.0, 1.0]])  # the top of the upper moon is bright, at its own place
    row = int((at[0, 1] - low[1]) / (high[1] - low[1]) * 49)
    column = int((at[0, 0] - low[0]) / (high[0] - low[0]) * 49)
    assert picture[row, column] > 0.5 * picture.max()


def test_show_source_leaves_the_docstring_out():
    def example(x):
        """Say what it does."""
        return x + 1

    text = repr(viz.show_source(example))
    assert text == "def example(x):\n    return x + 1"
    assert "Say what" in repr(viz.show_source(example, docstring=True))
    assert viz.show_source(example)._repr_markdown_().startswith("```python\ndef example")


def test_show_source_of_a_module_keeps_the_docstrings_of_its_functions():
    text = repr(viz.show_source(style))
    assert style.__doc__.splitlines()[0] not in text and text.startswith("from __future__")
    assert style.use_style.__doc__ in text  # the module's own docstring goes, and no other
    assert repr(viz.show_source(style, docstring=True)).startswith('"""The visual language')


def test_show_source_finds_docstrings_of_every_kind():
    def quoted(x):
        'Say "it" in one quote.'
        return f"""{x}"""

    def plain(x):
        return """text that is no docstring""" + x

    class Thing:
        r"""Say $x$."""

        size = 1

    assert repr(viz.show_source(quoted)) == 'def quoted(x):\n    return f"""{x}"""'
    assert "no docstring" in repr(viz.show_source(plain))
    assert repr(viz.show_source(Thing)) == "class Thing:\n\n    size = 1"
    assert "def show_points" in repr(viz.show_source(viz.show_points))
    with pytest.raises(TypeError):
        viz.show_source(3)


def test_points_take_labels_and_gradients():
    x = torch.arange(12.0).reshape(6, 2).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    drawn = viz.show_points(x, c=labels, limit=4).collections[0]
    assert drawn.get_array().tolist() == [0, 0, 1, 1]
    assert drawn.get_offsets().tolist() == x[:4].tolist()
    drawn = viz.show_points(x.detach().numpy(), s=np.arange(6.0), c="black", limit=3).collections[0]
    assert drawn.get_sizes().tolist() == [0, 1, 2]
    assert drawn.get_facecolor()[0, :3].tolist() == [0, 0, 0]
    assert viz.show_points(x, meaning="noise").collections[0].get_facecolor()[0, :3] == pytest.approx(
        to_rgb(viz.COLOURS["noise"])
    )
    sheet = viz.show_images(torch.ones(2, 3, 3, requires_grad=True), columns=2).images[0].get_array()
    assert sheet.shape == (3, 7)


def test_refusals():
    for wrong in (
        lambda: viz.show_points(torch.zeros(5, 2), meaning="colourful"),
        lambda: viz.show_density(lambda x: x[:, 0], torch.zeros(2, 1), meaning="colourful"),
    ):
        with pytest.raises(ValueError, match=r"meaning must be one of data, .*, got 'colourful'"):
            wrong()
    with pytest.raises(ValueError, match="columns must be a whole number of at least 1, got 0"):
        viz.show_images(torch.zeros(2, 8, 8), columns=0)
    with pytest.raises(ValueError, match=r"images must have shape \(n, h, w\)"):
        viz.show_images(torch.zeros(8, 8))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\)"):
        viz.show_points(torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"bounds must have shape"):
        viz.show_density(lambda x: x[:, 0], torch.zeros(2, 3))
    with pytest.raises(ValueError, match="meaning must be one of data, model, noise, truth, attention"):
        viz.density_colours("colourful")
