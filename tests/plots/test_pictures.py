"""Every picture: legible, on given axes, and without side effects."""

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import (
    OURS,
    PICTURES,
    RUN,
    THEIRS,
    choosing,
    fixed,
    many,
    tick_labels,
)

from keras_dts import plots
from keras_dts.results import Comparison, Row


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_drawn_on_given_axes_and_change_no_setting(name, tmp_path):
    settings = dict(mpl.rcParams)
    mine = Figure().subplots()
    assert PICTURES[name](mine) is mine
    mine.figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize("name", PICTURES)
def test_missing_matplotlib_names_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-dts\[plots\]"):
        PICTURES[name]()


def luminance(color):
    return np.dot(mpl.colors.to_rgb(color), [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_legible_in_the_dark(name):
    with mpl.style.context("dark_background"):
        axes = PICTURES[name]()
        axes.figure.draw_without_rendering()
    background = luminance(axes.figure.get_facecolor())
    assert background < 0.05
    colors = [line.get_color() for line in axes.get_lines()]
    if name != "agreement":  # whose texts have backgrounds of their own
        colors += [text.get_color() for text in axes.texts]
    colors += [axes.xaxis.label.get_color(), axes.yaxis.label.get_color()]
    for color in colors:
        assert luminance(color) > 0.15, color


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_counts_can_be_read_on_their_cells(style):
    """The contrast of text and cell is above 4.5, as WCAG requires."""
    x = np.eye(9, dtype="float32")
    with mpl.style.context(style):
        axes = plots.plot_agreement(choosing(THEIRS), choosing(OURS), x)
    (image,) = axes.images
    for text in axes.texts:
        column, row = text.get_position()
        if row != column:
            cell = image.to_rgba(image.get_array())[row, column]
            pair = np.array([text.get_color(), cell[:3]])
            linear = np.where(
                pair <= 0.04045, pair / 12.92, ((pair + 0.055) / 1.055) ** 2.4
            )
            low, high = sorted(linear @ [0.2126, 0.7152, 0.0722])
            assert (high + 0.05) / (low + 0.05) > 4.5


def test_axes_without_a_background_have_the_figures():
    settings = {"axes.facecolor": "none", "figure.facecolor": "white"}
    with mpl.rc_context(settings):
        axes = PICTURES["agreement"]()
        shades = axes.images[0].to_rgba(0)
    np.testing.assert_allclose(shades, 1.0)


def test_dollar_signs_are_no_formulas(tmp_path):
    comparison = Comparison([Row("$x^$", 10, [0.5], [1.0])], [0], "$^$", {})
    figure = plots.plot_comparison(comparison).figure
    figure.savefig(tmp_path / "dollars.png")


LONG = [f"a rather long name {i}" for i in range(30)]


def long_names(name):
    """A picture with names that are as long as they may be."""
    if name == "comparison":
        return plots.plot_comparison(many(20))
    if name == "layer rates":
        return plots.plot_layer_rates(
            [(label, 3.0 + i, 0.5) for i, label in enumerate(LONG)]
        )
    rng = np.random.default_rng(0)
    x = np.eye(40, dtype="float32")
    models = [fixed(rng.normal(size=(40, 30))) for _ in range(2)]
    labels = rng.integers(0, 30, 40)
    if name == "softening":
        return plots.plot_softening(models[0], x, class_names=LONG)
    if name == "calibration":
        return plots.plot_calibration(
            dict(zip(LONG, models, strict=False)), x, labels
        )
    return plots.plot_agreement(*models, x, labels, class_names=LONG)


def texts_of(axes):
    """The texts outside of the axes that are not empty."""
    texts = [axes.xaxis.label, axes.yaxis.label, axes.title]
    legend = axes.get_legend()
    texts += [] if legend is None else legend.get_texts()
    texts += [*tick_labels(axes.xaxis), *tick_labels(axes.yaxis)]
    return [text for text in texts if text.get_text()]


def check_legible(figure, texts):
    """Checks that no text is outside of the figure or on another text."""
    for text in texts:
        box = text.get_window_extent()
        assert box.width > 0
        assert figure.bbox.contains(box.x0, box.y0), text
        assert figure.bbox.contains(box.x1, box.y1), text
    # The boxes of turned names overlap where the names do not.
    flat = [text for text in texts if not text.get_rotation() % 90]
    boxes = [text.get_window_extent() for text in flat]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


@pytest.mark.parametrize(
    "name",
    ["comparison", "layer rates", "softening", "calibration", "agreement"],
)
def test_long_names_are_legible(name):
    axes = long_names(name)
    axes.figure.draw_without_rendering()
    texts = texts_of(axes)
    if name in ("comparison", "layer rates"):  # with numbers beside the rows
        texts += axes.texts
    if name == "comparison":
        assert len(texts) > 45
        # No dot is on the edge, where half of it would be cut off.
        low, high = axes.get_xlim()
        dots = axes.collections[-1].get_offsets()[:, 0]
        assert low < dots.min()
        assert dots.max() < high
    check_legible(axes.figure, texts)


def test_the_panels_of_a_run_are_legible():
    axes = plots.plot_run(RUN)
    axes[0].figure.draw_without_rendering()
    texts = [*tick_labels(axes[-1].xaxis), axes[-1].xaxis.label]
    for panel in axes:
        texts += [panel.yaxis.label, *tick_labels(panel.yaxis)]
        if panel.get_legend() is not None:
            texts += panel.get_legend().get_texts()
    assert len(texts) > 20
    check_legible(axes[0].figure, texts)
