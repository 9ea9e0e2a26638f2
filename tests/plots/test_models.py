"""The pictures of models show what the models return."""

import keras
import numpy as np
import pytest
from pictures import INPUTS, LOGITS, OURS, TABLE, THEIRS, choosing, fixed
from scipy.special import softmax
from texts import LABELS, SENTENCES, bert

import keras_dts
from keras_dts import plots


@pytest.mark.parametrize("softmaxed", [False, True])
def test_softening_draws_softmaxes_the_most_probable_first(softmaxed):
    axes = plots.plot_softening(
        fixed(LOGITS, softmaxed),
        INPUTS,
        [1.0, 4.0],
        class_names=["a", "b", "c", "d"],
        top=3,
    )
    assert [t.get_text() for t in axes.get_xticklabels()] == ["b", "a", "d"]
    for line, temperature in zip(axes.get_lines(), (1.0, 4.0), strict=True):
        expected = 100 * softmax(LOGITS[0] / temperature)[[1, 0, 3]]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["T = 1", "T = 4"]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 0.001 < low < 100 * softmax(LOGITS[0])[3]
    assert high > 100 * softmax(LOGITS[0])[1]
    confident = plots.plot_softening(fixed(10 * LOGITS), INPUTS, [1.0])
    assert confident.get_ylim()[0] == 0.001


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


def test_a_distiller_is_drawn_as_its_student():
    student = fixed(LOGITS, softmaxed=True)
    distiller = keras_dts.Distiller(fixed(LOGITS[::-1]), student)
    for model in (student, distiller):
        (line,) = plots.plot_softening(model, INPUTS, [4.0]).get_lines()
        expected = 100 * np.sort(softmax(LOGITS[0] / 4.0))[::-1]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


# Eight predictions of two classes: confidence, and whether they are right.
CONFIDENCE = np.array([0.55, 0.58, 0.62, 0.76, 0.95, 0.91, 0.99, 1.0])
RIGHT = np.array([1, 0, 1, 1, 1, 0, 1, 1])


def test_the_calibration_error_is_that_of_a_hand_computation():
    probabilities = np.stack([CONFIDENCE, 1 - CONFIDENCE], axis=-1)
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


def test_calibration_draws_each_range_with_examples():
    logits = np.log(
        np.stack([CONFIDENCE, np.maximum(1 - CONFIDENCE, 1e-9)], axis=-1)
    )
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


def test_agreement_counts_pairs_of_predictions():
    x = np.eye(9, dtype="float32")
    labels = [0, 0, 0, 1, 1, 2, 1, 2, 3]
    axes = plots.plot_agreement(
        choosing(THEIRS), choosing(OURS), x, labels, top=3
    )
    # The student is right on example 6, the teacher on 2, 4 and 7.
    assert axes.get_title() == (
        "they agree on 55.6 % of 9 examples;\n"
        "of the others the teacher is right on 3, the student on 1"
    )
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    # Columns are the student's classes, rows the teacher's.
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


def test_the_title_counts_classes_that_are_not_shown():
    """An example of class 3 is left out of the cells, not of the title."""
    x = np.eye(9, dtype="float32")
    axes = plots.plot_agreement(choosing(THEIRS), choosing(OURS), x, top=1)
    assert axes.get_title() == "they agree on 55.6 % of 9 examples"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1"]


def test_full_agreement_has_a_title_of_one_line():
    x = np.eye(9, dtype="float32")
    axes = plots.plot_agreement(choosing(OURS), choosing(OURS), x, OURS)
    assert axes.get_title() == "they agree on 100.0 % of 9 examples"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda: plots.plot_softening(fixed(LOGITS), INPUTS, []),
            r"`temperatures` must be one to 6 numbers. Received: \[\]",
        ),
        (
            lambda: plots.plot_softening(fixed(LOGITS), INPUTS, [0.0]),
            "`temperatures` must be a finite number, greater than 0",
        ),
        (
            lambda: plots.plot_softening(
                fixed(LOGITS), INPUTS, class_names=["a"]
            ),
            "`class_names` must name each of the 4 classes",
        ),
        (
            lambda: plots.plot_softening(fixed(LOGITS), INPUTS, top=0),
            "`top` must be a whole number of at least 1. Received: top=0",
        ),
        (
            lambda: plots.plot_calibration(
                fixed(LOGITS), INPUTS, [0, 1], bins=2.5
            ),
            "`bins` must be a whole number of at least 1. Received: bins=2.5",
        ),
        (
            lambda: plots.plot_calibration(fixed(LOGITS), INPUTS, [0, 4]),
            "less than the number of classes, 4. Received: .* 0 to 4",
        ),
        (
            lambda: plots.plot_calibration(
                fixed(LOGITS), INPUTS, [[0, 1], [1, 0]]
            ),
            "`y` must hold class indices of shape",
        ),
        (
            lambda: plots.plot_calibration({}, INPUTS, [0, 1]),
            "`models` must be one to 6 models. Received: 0",
        ),
        (
            lambda: plots.plot_calibration(fixed(LOGITS), INPUTS, [0]),
            "`y` must have a label for each example. Received: 1 labels, 2",
        ),
        (
            lambda: plots.plot_agreement(
                fixed(LOGITS), fixed(LOGITS[:, :3]), INPUTS
            ),
            "`student` must have the teacher's classes. Received: 3",
        ),
        (
            lambda: plots.plot_agreement(
                fixed(LOGITS), fixed(LOGITS[::-1]), INPUTS, [1]
            ),
            "`y` must have a label for each example",
        ),
        (
            lambda: plots.plot_softening(
                keras.Sequential(
                    [keras.Input((2,)), keras.layers.Reshape((2, 1))]
                ),
                INPUTS,
            ),
            "`teacher` must be a classifier with one output",
        ),
    ],
)
def test_models_and_labels_that_do_not_fit_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_layer_rates_are_rows_in_the_order_of_the_table():
    axes = plots.plot_layer_rates(TABLE)
    (dots,) = axes.get_lines()
    assert list(dots.get_xdata()) == [2.1, 3.4, 3.0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["conv_1", "conv_2", "dense"]
    shown = [(text.get_position()[1], text.get_text()) for text in axes.texts]
    assert shown == [(0, "0.50"), (1, "1.50"), (2, "1.19")]
    top, bottom = axes.get_ylim()[1], axes.get_ylim()[0]
    assert top < bottom  # the first layer is above
    with pytest.raises(ValueError, match="`table` must hold at least one"):
        plots.plot_layer_rates([])
