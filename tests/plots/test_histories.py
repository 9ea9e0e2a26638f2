"""The pictures of a training and of a comparison show their values."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp
from matplotlib.figure import Figure
from pictures import COMPARISON, RUN, many

import keras_dts
from keras_dts import plots
from keras_dts.results import Comparison, Row

PANELS = ["temperature", "gap (nats)", "loss (nats)", "accuracy (%)"]


def curves(axes):
    """The curves by their labels, without the line at 0."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def test_each_panel_shows_its_values_of_the_history():
    axes = plots.plot_run(RUN)
    assert [panel.get_ylabel() for panel in axes] == PANELS
    temperature, gap, losses, accuracy = axes
    epochs = [1, 2, 3]
    assert curves(temperature) == {"temperature": (epochs, [8.0, 5.5, 4.0])}
    assert curves(gap) == {"gap (nats)": (epochs, [1.9, 0.7, -0.1])}
    assert curves(losses) == {
        "total": (epochs, RUN["loss"]),
        "student": (epochs, RUN["student_loss"]),
        "distillation": (epochs, RUN["distillation_loss"]),
    }
    assert curves(accuracy) == {
        "training": (epochs, [25.0, 75.0, 87.5]),
        "validation": (epochs, [20.0, 70.0, 80.0]),
    }


def test_epochs_are_named_once_and_shared():
    axes = plots.plot_run(RUN)
    assert [panel.get_xlabel() for panel in axes] == ["", "", "", "epoch"]
    axes[0].set_xlim(1, 2)
    assert axes[3].get_xlim() == (1, 2)


def test_epochs_are_those_of_the_history():
    """A `History` holds the number of its first epoch."""
    x, y = blobs()
    distiller = keras_dts.Distiller(mlp(seed=1), mlp(seed=2))
    distiller.compile("sgd", crossentropy(), metrics=["accuracy"])
    history = distiller.fit(
        x,
        y,
        initial_epoch=2,
        epochs=5,
        validation_data=(x, y),
        callbacks=[keras_dts.DTS(8.0, 2.0, 8.0)],
        verbose=0,
    )
    axes = plots.plot_run(history)
    assert [panel.get_ylabel() for panel in axes] == PANELS
    x_drawn, y_drawn = curves(axes[0])["temperature"]
    assert x_drawn == [3, 4, 5]
    assert y_drawn == [float(t) for t in history.history["temperature"]]
    drawn = curves(axes[2])
    assert drawn["validation"][1] == history.history["val_loss"]


def test_a_model_without_a_teacher_has_a_panel_of_losses():
    history = keras.callbacks.History()
    history.epoch = [0, 1]
    history.history = {"loss": [3.0, 2.0]}
    (panel,) = plots.plot_run(history)
    assert curves(panel) == {"total": ([1, 2], [3.0, 2.0])}


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([40.0, 2.0], "log"),
        ([4.0, 2.0], "linear"),
        ([40.0, 0.0], "linear"),
        ([40.0, -2.0], "linear"),
    ],
)
def test_losses_that_differ_tenfold_are_logarithmic(losses, scale):
    (panel,) = plots.plot_run({"loss": losses})
    assert panel.get_yscale() == scale


def test_curves_of_a_panel_differ_without_colour():
    for panel in plots.plot_run({**RUN, "val_loss": [3.0, 2.0, 1.0]})[2:]:
        lines = panel.get_lines()
        assert len({line.get_color() for line in lines}) == len(lines)
        # Matplotlib names every dashed style alike.
        styles = {str(line._unscaled_dash_pattern) for line in lines}
        assert len(styles) == len(lines)
        named = [text.get_text() for text in panel.get_legend().get_texts()]
        assert named == [line.get_label() for line in lines]


def test_one_epoch_is_a_point_at_a_whole_number():
    axes = plots.plot_run({name: value[:1] for name, value in RUN.items()})
    for panel in axes:
        for line in panel.get_lines():
            if not line.get_label().startswith("_"):
                assert line.get_marker() == "o"
    ticks = axes[-1].get_xticks()
    assert list(ticks) == [round(tick) for tick in ticks]
    axes[0].figure.draw_without_rendering()


def test_panels_are_drawn_on_given_axes():
    mine = Figure().subplots(4)
    axes = plots.plot_run(RUN, ax=mine)
    assert list(axes) == list(mine)
    assert curves(mine[0])["temperature"][1] == RUN["temperature"]


@pytest.mark.parametrize(
    ("history", "ax", "message"),
    [
        ({"lr": [1.0]}, None, r"`history` must hold .* Received: \['lr'\]"),
        ({"loss": []}, None, r"`history` must hold .* at least one epoch"),
        ([1.0], None, r"`history` must be .* Received: \[1\.0\] of type list"),
        (RUN, "two", r"`ax` must have one axes .* 4 panels .* Received: 2"),
    ],
)
def test_histories_without_a_picture_are_refused(history, ax, message):
    axes = Figure().subplots(2) if ax == "two" else None
    with pytest.raises(ValueError, match=message):
        plots.plot_run(history, ax=axes)


def test_gap_is_drawn_against_zero():
    gap = plots.plot_run(RUN)[1]
    (zero,) = [x for x in gap.get_lines() if x.get_label().startswith("_")]
    np.testing.assert_array_equal(zero.get_ydata(), 0.0)


def test_curves_connect_the_values_around_nan():
    nan = float("nan")
    values = {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [nan, 4.0, nan, 5.0]}
    (panel,) = plots.plot_run(values)
    assert curves(panel)["validation"] == ([2, 4], [4.0, 5.0])
    assert panel.get_yscale() == "linear"
    (panel,) = plots.plot_run({"loss": [nan, nan]})
    assert curves(panel)["total"] == ([], [])
    (panel,) = plots.plot_run({"loss": [nan, 2.0]})
    assert panel.get_lines()[0].get_marker() == "o"


def test_comparison_shows_seeds_means_and_deviations():
    axes = plots.plot_comparison(COMPARISON)
    assert axes.get_xlabel() == "test accuracy (%)"
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["student alone", "KD"]
    assert axes.yaxis_inverted()
    means, dots = axes.collections
    np.testing.assert_allclose(dots.get_offsets()[:, 0], [50, 75, 75, 100])
    heights = dots.get_offsets()[:, 1]
    assert list(np.round(heights)) == [0, 0, 1, 1]
    assert len(set(heights)) == 4, "equal seeds do not hide each other"
    middles = [path.vertices.mean(axis=0) for path in means.get_paths()]
    np.testing.assert_allclose(middles, [[62.5, 0], [87.5, 1]])
    std = 25 / np.sqrt(2)
    for band, mean in zip(axes.patches, (62.5, 87.5), strict=True):
        assert band.get_x() == pytest.approx(mean - std)
        assert band.get_width() == pytest.approx(2 * std)
    assert [t.get_text() for t in axes.texts] == [
        "62.50 ± 17.68",
        "87.50 ± 17.68",
    ]
    (first,) = axes.get_lines()
    assert list(first.get_xdata()) == [62.5, 62.5]


def test_comparison_of_one_seed_and_another_metric():
    rows = [Row("a", 10, [3.0], [1.0]), Row("b", 10, [4.0], [1.0])]
    axes = plots.plot_comparison(Comparison(rows, [0], "mae", {}))
    assert axes.get_xlabel() == "test mae"
    assert not axes.patches
    assert [text.get_text() for text in axes.texts] == ["3.000", "4.000"]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["mean", "one seed"]


def test_the_axis_of_a_comparison_has_the_teachers_result():
    axes = plots.plot_comparison(many(2))
    assert axes.get_xlabel() == "test accuracy (%); the teacher's is 99.00"
