"""Tests of the pictures: what is drawn is what the history holds."""

import sys

import keras
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp
from matplotlib.figure import Figure
from scipy.special import softmax
from texts import LABELS, SENTENCES, bert

import keras_dts
from keras_dts import plots
from keras_dts.results import Comparison, Row

RUN = {
    "loss": [40.0, 9.0, 1.0],
    "student_loss": [2.0, 0.8, 0.2],
    "distillation_loss": [44.0, 10.0, 1.1],
    "temperature": [8.0, 5.5, 4.0],
    "gap": [1.9, 0.7, -0.1],
    "accuracy": [0.25, 0.75, 0.875],
    "val_accuracy": [0.2, 0.7, 0.8],
}
PANELS = ["temperature", "gap (nats)", "loss (nats)", "accuracy (%)"]


def curves(axes):
    """What is drawn, by label, without the line at 0."""
    return {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.get_lines()
        if not line.get_label().startswith("_")
    }


def test_each_panel_shows_its_part_of_the_history():
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


def test_history_of_a_run():
    """A `History` says at which epoch it began."""
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


def test_history_of_a_plain_model():
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
def test_losses_are_logarithmic_where_that_helps(losses, scale):
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


def tick_labels(axis):
    """The labels that are seen: an axis also holds some beyond its ends."""
    low, high = sorted(axis.get_view_interval())
    return [
        tick.label1
        for tick in axis.get_major_ticks()
        if low <= tick.get_loc() <= high
    ]


def test_no_text_lies_on_another_or_outside():
    axes = plots.plot_run(RUN)
    figure = axes[0].figure
    figure.draw_without_rendering()
    texts = [axes[-1].xaxis.label, *tick_labels(axes[-1].xaxis)]
    for panel in axes:
        texts += [panel.yaxis.label, *tick_labels(panel.yaxis)]
        if panel.get_legend() is not None:
            texts += panel.get_legend().get_texts()
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) > 20
    for i, box in enumerate(boxes):
        assert box.width > 0
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_one_epoch_is_a_point_at_a_whole_number(tmp_path):
    axes = plots.plot_run({name: value[:1] for name, value in RUN.items()})
    for panel in axes:
        for line in panel.get_lines():
            if not line.get_label().startswith("_"):
                assert line.get_marker() == "o"
    ticks = axes[-1].get_xticks()
    assert list(ticks) == [round(tick) for tick in ticks]
    axes[0].figure.savefig(tmp_path / "one.png")


def test_given_axes_are_drawn_on():
    mine = Figure().subplots(4)
    axes = plots.plot_run(RUN, ax=mine)
    assert list(axes) == list(mine)
    assert curves(mine[0])["temperature"][1] == RUN["temperature"]
    alone = Figure().subplots()
    assert plots.plot_run({"gap": [1.0]}, ax=alone)[0] is alone


def test_nothing_is_left_behind(tmp_path):
    """No figure that pyplot would show, no setting changed."""
    settings = dict(mpl.rcParams)
    plots.plot_run(RUN)[0].figure.savefig(tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize(
    ("history", "ax", "message"),
    [
        ({"lr": [1.0]}, None, r"`history` must hold .* Received: \['lr'\]"),
        ({"loss": []}, None, r"`history` must hold .* at least one epoch"),
        ([1.0], None, r"`history` must be .* Received: \[1\.0\] of type list"),
        (RUN, "two", r"`ax` must have one axes .* 4 panels .* Received: 2"),
    ],
)
def test_errors(history, ax, message):
    axes = Figure().subplots(2) if ax == "two" else None
    with pytest.raises(ValueError, match=message):
        plots.plot_run(history, ax=axes)


def test_matplotlib_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-dts\[plots\]"):
        plots.plot_run(RUN)


def test_gap_is_drawn_against_zero():
    gap = plots.plot_run(RUN)[1]
    (zero,) = [x for x in gap.get_lines() if x.get_label().startswith("_")]
    np.testing.assert_array_equal(zero.get_ydata(), 0.0)


ROWS = [
    Row("student alone", 10, [0.5, 0.75], [1.0, 1.0]),
    Row("KD", 10, [0.75, 1.0], [1.0, 1.0]),
]
COMPARISON = Comparison(ROWS, [0, 1], "accuracy", {})


def many(number):
    """A comparison of many methods with long names."""
    rng = np.random.default_rng(0)
    rows = [
        Row(f"method number {i}", 10, list(rng.uniform(0.9, 1, 3)), [1.0] * 3)
        for i in range(number)
    ]
    teacher = Row("teacher", 100, [0.99], [1.0])
    return Comparison(rows, [0, 1, 2], "accuracy", {}, teacher)


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
    assert len(set(heights)) == 4, "seeds that come to the same hide none"
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


def test_comparison_names_the_teacher():
    axes = plots.plot_comparison(many(2))
    assert axes.get_xlabel() == "test accuracy (%); the teacher's is 99.00"


def test_twenty_methods_are_legible():
    axes = plots.plot_comparison(many(20))
    figure = axes.figure
    figure.draw_without_rendering()
    texts = [axes.xaxis.label, *axes.texts, *axes.get_legend().get_texts()]
    texts += [*tick_labels(axes.xaxis), *tick_labels(axes.yaxis)]
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) > 45
    for i, box in enumerate(boxes):
        assert box.width > 0
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    # No dot lies on the edge, where half of it would be cut off.
    low, high = axes.get_xlim()
    dots = axes.collections[-1].get_offsets()[:, 0]
    assert low < dots.min()
    assert dots.max() < high


def test_comparison_is_drawn_on_given_axes(tmp_path):
    settings = dict(mpl.rcParams)
    mine = Figure().subplots()
    assert plots.plot_comparison(COMPARISON, ax=mine) is mine
    mine.figure.savefig(tmp_path / "comparison.png")
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings


def test_comparison_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-dts\[plots\]"):
        plots.plot_comparison(COMPARISON)


# What models answer.


def fixed(logits, softmaxed=False):
    """A classifier whose answers to one-hot rows are these rows."""
    logits = np.asarray(logits, "float32")
    kind = keras.layers.Dense(
        logits.shape[1],
        use_bias=False,
        activation="softmax" if softmaxed else None,
    )
    model = keras.Sequential([keras.Input((len(logits),)), kind])
    model.set_weights([logits])
    return model


ANSWERS = np.array([[2.0, 5.0, -1.0, 0.5], [1.0, 0.0, 3.0, 0.0]])
ROWS = np.eye(2, dtype="float32")


@pytest.mark.parametrize("softmaxed", [False, True])
def test_softening_draws_softmaxes_the_most_probable_first(softmaxed):
    axes = plots.plot_softening(
        fixed(ANSWERS, softmaxed),
        ROWS,
        [1.0, 4.0],
        class_names=["a", "b", "c", "d"],
        top=3,
    )
    assert [t.get_text() for t in axes.get_xticklabels()] == ["b", "a", "d"]
    for line, temperature in zip(axes.get_lines(), (1.0, 4.0), strict=True):
        expected = 100 * softmax(ANSWERS[0] / temperature)[[1, 0, 3]]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["T = 1", "T = 4"]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 0.001 < low < 100 * softmax(ANSWERS[0])[3]
    assert high > 100 * softmax(ANSWERS[0])[1]
    sure = plots.plot_softening(fixed(10 * ANSWERS), ROWS, [1.0])
    assert sure.get_ylim()[0] == 0.001


def test_inputs_may_be_strings_or_several_arrays():
    model = bert()
    expected = 100 * np.sort(softmax(model.predict(SENTENCES)[0]))[::-1]
    for strings in (SENTENCES, np.array(SENTENCES, object)):
        (line,) = plots.plot_softening(model, strings, [1.0]).get_lines()
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-4)
    axes = plots.plot_agreement(model, model, SENTENCES, LABELS)
    assert axes.get_title() == "they agree on 100.0 % of 4 examples"
    inputs = [keras.Input((2,)), keras.Input((2,))]
    added = keras.Model(inputs, keras.layers.Add()(inputs))
    x = [np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0, 3.0], [1.0, 0.0]])]
    (line,) = plots.plot_softening(added, x, [1.0]).get_lines()
    expected = 100 * softmax([5.0, 1.0])
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


def test_a_distiller_answers_as_its_student():
    student = fixed(ANSWERS, softmaxed=True)
    distiller = keras_dts.Distiller(fixed(ANSWERS[::-1]), student)
    for model in (student, distiller):
        (line,) = plots.plot_softening(model, ROWS, [4.0]).get_lines()
        expected = 100 * np.sort(softmax(ANSWERS[0] / 4.0))[::-1]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


# Eight answers of two classes: how sure, and whether right.
SURE = np.array([0.55, 0.58, 0.62, 0.76, 0.95, 0.91, 0.99, 1.0])
RIGHT = np.array([1, 0, 1, 1, 1, 0, 1, 1])


def test_the_calibration_error_is_that_of_a_hand_computation():
    probabilities = np.stack([SURE, 1 - SURE], axis=-1)
    labels = 1 - RIGHT  # the first class is chosen
    # Ranges: 0.5 to 0.6, 0.6 to 0.7, 0.7 to 0.8, 0.9 to 1.
    expected = (
        2 * abs(0.5 - 0.565)
        + 1 * abs(1 - 0.62)
        + 1 * abs(1 - 0.76)
        + 4 * abs(0.75 - 0.9625)
    ) / 8
    found = plots.expected_calibration_error(probabilities, labels)
    assert found == pytest.approx(expected)
    one_hot = np.eye(2)[labels]
    found = plots.expected_calibration_error(probabilities, one_hot)
    assert found == pytest.approx(expected)


def test_calibration_draws_the_ranges_that_have_examples():
    logits = np.log(np.stack([SURE, np.maximum(1 - SURE, 1e-9)], axis=-1))
    x = np.eye(8, dtype="float32")
    axes = plots.plot_calibration(
        {"teacher": fixed(logits), "$student$": fixed(2 * logits)},
        x,
        1 - RIGHT,
    )
    _, line, other = axes.get_lines()
    np.testing.assert_allclose(
        line.get_xdata(), [56.5, 62.0, 76.0, 96.25], rtol=1e-4
    )
    np.testing.assert_allclose(
        line.get_ydata(), [50.0, 100.0, 100.0, 75.0], rtol=1e-4
    )
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[:2] == ["perfect", "teacher, ECE 20.0 %"]
    assert texts[2].startswith(r"\$student\$, ECE ")
    assert line.get_color() != other.get_color()
    assert line.get_marker() != other.get_marker()
    sizes = axes.collections[0].get_sizes()
    assert list(np.argsort(sizes)) == [1, 2, 0, 3]


THEIRS = [0, 0, 0, 1, 1, 2, 2, 2, 3]
OURS = [0, 0, 1, 1, 0, 2, 1, 1, 3]


def choosing(choices):
    return fixed(5 * np.eye(4)[choices])


def test_agreement_counts_choices():
    x = np.eye(9, dtype="float32")
    labels = [0, 0, 0, 1, 1, 2, 1, 2, 3]
    axes = plots.plot_agreement(
        choosing(THEIRS), choosing(OURS), x, labels, top=3
    )
    # Example 6 is the student's; 2, 4 and 7 are the teacher's.
    assert axes.get_title() == (
        "they agree on 55.6 % of 9 examples;\n"
        "of the others the teacher is right on 3, the student on 1"
    )
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    # Columns are the student's choices, rows the teacher's.
    assert cells == {
        (0, 0): "2",
        (1, 0): "1",
        (0, 1): "1",
        (1, 1): "1",
        (1, 2): "2",
        (2, 2): "1",
    }
    shades = axes.images[0].get_array()
    np.testing.assert_array_equal(shades, [[0, 1, 0], [1, 0, 0], [0, 2, 0]])
    assert axes.get_xlabel() == "student's choice (3 of 4 classes)"
    assert axes.get_ylabel() == "teacher's choice"


def test_few_classes_stand_for_all():
    """The example that both call 3 is left out of the cells, not the title."""
    x = np.eye(9, dtype="float32")
    axes = plots.plot_agreement(choosing(THEIRS), choosing(OURS), x, top=1)
    assert axes.get_title() == "they agree on 55.6 % of 9 examples"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1"]


def test_full_agreement():
    x = np.eye(9, dtype="float32")
    axes = plots.plot_agreement(choosing(OURS), choosing(OURS), x, OURS)
    assert axes.get_title() == "they agree on 100.0 % of 9 examples"


PICTURES = {
    "run": lambda ax=None: plots.plot_run({"loss": [2.0, 1.0]}, ax=ax)[0],
    "comparison": lambda ax=None: plots.plot_comparison(COMPARISON, ax=ax),
    "softening": lambda ax=None: plots.plot_softening(
        fixed(ANSWERS), ROWS, ax=ax
    ),
    "calibration": lambda ax=None: plots.plot_calibration(
        fixed(ANSWERS), ROWS, [1, 2], ax=ax
    ),
    "agreement": lambda ax=None: plots.plot_agreement(
        fixed(ANSWERS), fixed(ANSWERS[::-1]), ROWS, [1, 2], ax=ax
    ),
}


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
    """The contrast of text and cell is at least 4.5, as WCAG asks for."""
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


def test_a_clear_background_is_the_figures():
    settings = {"axes.facecolor": "none", "figure.facecolor": "white"}
    with mpl.rc_context(settings):
        axes = PICTURES["agreement"]()
        shades = axes.images[0].to_rgba(0)
    np.testing.assert_allclose(shades, 1.0)


def test_dollar_signs_are_no_formulas(tmp_path):
    comparison = Comparison([Row("$x^$", 10, [0.5], [1.0])], [0], "$^$", {})
    figure = plots.plot_comparison(comparison).figure
    figure.savefig(tmp_path / "dollars.png")


def test_gaps_in_a_history_are_bridged():
    nan = float("nan")
    values = {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [nan, 4.0, nan, 5.0]}
    (panel,) = plots.plot_run(values)
    assert curves(panel)["validation"] == ([2, 4], [4.0, 5.0])
    assert panel.get_yscale() == "linear"
    (panel,) = plots.plot_run({"loss": [nan, nan]})
    assert curves(panel)["total"] == ([], [])
    (panel,) = plots.plot_run({"loss": [nan, 2.0]})
    assert panel.get_lines()[0].get_marker() == "o"


LONG = [f"a rather long name {i}" for i in range(30)]


def long_names(name):
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


@pytest.mark.parametrize("name", ["softening", "calibration", "agreement"])
def test_long_names_are_legible(name):
    axes = long_names(name)
    figure = axes.figure
    figure.draw_without_rendering()
    texts = [axes.xaxis.label, axes.yaxis.label, axes.title]
    legend = axes.get_legend()
    texts += [] if legend is None else legend.get_texts()
    names = [*tick_labels(axes.xaxis), *tick_labels(axes.yaxis)]
    for text in [*texts, *names]:
        box = text.get_window_extent()
        if text.get_text():
            assert figure.bbox.contains(box.x0, box.y0), text
            assert figure.bbox.contains(box.x1, box.y1), text
    # The boxes of turned names overlap where the names do not.
    flat = [
        t for t in [*texts, *names] if t.get_text() and not t.get_rotation()
    ]
    boxes = [text.get_window_extent() for text in flat]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_drawn_where_they_are_told(name):
    settings = dict(mpl.rcParams)
    mine = Figure().subplots()
    assert PICTURES[name](mine) is mine
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: plots.plot_softening(fixed(ANSWERS), ROWS, []),
            r"`temperatures` must be one to 6 numbers. Received: \[\]",
        ),
        (
            lambda: plots.plot_softening(fixed(ANSWERS), ROWS, [0.0]),
            "`temperatures` must be a finite number, greater than 0",
        ),
        (
            lambda: plots.plot_softening(
                fixed(ANSWERS), ROWS, class_names=["a"]
            ),
            "`class_names` must name each of the 4 classes",
        ),
        (
            lambda: plots.plot_softening(fixed(ANSWERS), ROWS, top=0),
            "`top` must be a whole number of at least 1. Received: top=0",
        ),
        (
            lambda: plots.plot_calibration(
                fixed(ANSWERS), ROWS, [0, 1], bins=2.5
            ),
            "`bins` must be a whole number of at least 1. Received: bins=2.5",
        ),
        (
            lambda: plots.plot_calibration(fixed(ANSWERS), ROWS, [0, 4]),
            "less than the number of classes, 4. Received: .* 0 to 4",
        ),
        (
            lambda: plots.plot_calibration(
                fixed(ANSWERS), ROWS, [[0, 1], [1, 0]]
            ),
            "`y` must hold class indices of shape",
        ),
        (
            lambda: plots.plot_calibration({}, ROWS, [0, 1]),
            "`models` must be one to 6 models. Received: 0",
        ),
        (
            lambda: plots.plot_calibration(fixed(ANSWERS), ROWS, [0]),
            "`y` must have a label for each example. Received: 1 labels, 2",
        ),
        (
            lambda: plots.plot_agreement(
                fixed(ANSWERS), fixed(ANSWERS[:, :3]), ROWS
            ),
            "`student` must have the teacher's classes. Received: 3",
        ),
        (
            lambda: plots.plot_agreement(
                fixed(ANSWERS), fixed(ANSWERS[::-1]), ROWS, [1]
            ),
            "`y` must have a label for each example",
        ),
        (
            lambda: plots.plot_softening(
                keras.Sequential(
                    [keras.Input((2,)), keras.layers.Reshape((2, 1))]
                ),
                ROWS,
            ),
            "`teacher` must be a classifier with one output",
        ),
    ],
)
def test_errors_of_pictures_of_models(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
