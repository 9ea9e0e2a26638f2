"""Labels as targets that fit a model's output."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dts.logits import read_labels
from keras_dts.logits.labels import (
    are_indices,
    fitting_labels,
    read_label_rows,
    to_labels,
)

OUTPUTS = ops.zeros((3, 4))
TOKENS = ops.zeros((2, 3, 4))


def same(found, expected, dtype):
    found = ops.convert_to_numpy(found)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "outputs", "indices"),
    [
        ((3,), (3, 4), True),
        ((3, 1), (3, 4), True),
        ((3, 4), (3, 4), False),
        ((2, 3), (2, 3, 4), True),
        ((2, 3, 1), (2, 3, 4), True),
        ((2, 3, 4), (2, 3, 4), False),
        ((None, 3), (None, None, 4), True),
        # A single unit: a column of labels is one of indices.
        ((3, 1), (3, 1), True),
    ],
)
def test_the_shape_says_whether_labels_are_indices(shape, outputs, indices):
    labels, outputs = keras.KerasTensor(shape), keras.KerasTensor(outputs)
    assert are_indices(labels, outputs) is indices


@pytest.mark.parametrize(
    ("shape", "shown"), [((3, 5), "(batch, 5)"), ((3, 4, 1), "(batch, 4, 1)")]
)
def test_labels_that_fit_nothing_are_refused(shape, shown):
    with pytest.raises(ValueError, match="`y` must hold") as caught:
        are_indices(ops.zeros(shape), OUTPUTS)
    assert str(caught.value) == (
        "`y` must hold class indices of shape (batch,) or one-hot labels of "
        "shape (batch, 4), to fit the student's output. Received: "
        f"y.shape={shown}"
    )


def test_indices_become_integers_and_probabilities_floats():
    same(
        to_labels(ops.convert_to_tensor([0.0, 3.0, 1.0]), OUTPUTS),
        [0, 3, 1],
        "int32",
    )
    column = ops.convert_to_tensor(np.array([[0], [3], [1]], "int64"))
    same(to_labels(column, OUTPUTS), [0, 3, 1], "int32")
    hot = np.eye(4, dtype="int32")[[0, 3, 1]]
    same(to_labels(ops.convert_to_tensor(hot), OUTPUTS), hot, "float32")


def test_labels_of_a_single_unit_are_probabilities_of_two_classes():
    labels = ops.convert_to_tensor([0.0, 1.0, 0.25])
    expected = [[1.0, 0.0], [0.0, 1.0], [0.75, 0.25]]
    same(to_labels(labels, ops.zeros((3, 1))), expected, "float32")
    column = labels[:, None]
    same(to_labels(column, ops.zeros((3, 1))), expected, "float32")


def read(labels, outputs=OUTPUTS, ignore=None):
    return read_labels(ops.convert_to_tensor(labels), outputs, ignore)


def test_indices_that_name_no_class_become_the_nearest_that_does():
    safe = read(np.array([[-1, 0, 3], [4, 9, -7]], "int32"), TOKENS)
    same(safe.labels, [[0, 0, 3], [3, 3, 0]], "int32")
    same(safe.bad, [[1, 0, 0], [1, 1, 1]], bool)
    assert safe.unlabelled is None


@pytest.mark.parametrize("ignore", [-1, 9, 0])
def test_the_index_that_means_no_label_is_not_bad(ignore):
    given = np.array([[-1, 0, 3], [4, 9, -7]], "int32")
    safe = read(given, TOKENS, ignore)
    same(safe.unlabelled, given == ignore, bool)
    out = (given < 0) | (given > 3)
    same(safe.bad, out & (given != ignore), bool)
    same(safe.labels, np.clip(given, 0, 3), "int32")


@pytest.mark.parametrize("value", [2.9, -0.5, np.nan, np.inf, 1e10])
@pytest.mark.parametrize("ignore", [None, 2])
def test_a_number_that_is_not_whole_names_no_class(value, ignore):
    safe = read(np.array([0.0, value, 2.0], "float32"), ignore=ignore)
    same(safe.bad, [False, True, False], bool)
    assert ops.convert_to_numpy(safe.labels)[1] in range(4)


@pytest.mark.torch
@pytest.mark.tensorflow
def test_indices_of_64_bits_do_not_begin_again():
    safe = read(np.array([1, 2**32, 2**32 + 1], "int64"))
    same(safe.bad, [False, True, True], bool)
    same(safe.labels, [1, 3, 3], "int32")


@pytest.mark.parametrize("dtype", ["complex64", "string"])
def test_labels_that_are_no_numbers_are_refused(dtype):
    message = f"class indices or probabilities. Received: y.dtype={dtype}"
    with pytest.raises(ValueError, match=message):
        are_indices(keras.KerasTensor((3,), dtype), OUTPUTS)


@pytest.mark.parametrize(
    ("row", "bad"),
    [
        ([0.1, 0.2, 0.3, 0.4], False),
        ([0.0, 1.0, 0.0, 0.0], False),
        ([1.0, 1.0, 0.0, 0.0], True),
        ([0.1, 0.2, 0.3, 0.1], True),
        ([-0.5, 0.5, 0.5, 0.5], True),
        ([-1.0, 1.0, 0.0, 0.0], True),
        ([np.nan, 1.0, 0.0, 0.0], True),
        ([np.inf, 0.0, 0.0, 0.0], True),
    ],
)
def test_soft_labels_are_a_distribution(row, bad):
    good = [0.25] * 4
    safe = read(np.array([good, row, good], "float32"))
    same(safe.bad, [False, bad, False], bool)
    expected = np.array([good, [0.0] * 4 if bad else row, good], "float32")
    same(safe.labels, expected, "float32")
    same(safe.given, expected, "float32")


def test_soft_labels_of_zeros_are_no_label():
    hot = np.eye(4, dtype="int32")[[2, 1, 3]]
    hot[1] = 0
    safe = read(hot)
    same(safe.bad, [False] * 3, bool)
    same(safe.unlabelled, [False, True, False], bool)
    same(safe.given, hot, "int32")


TRUTHS = np.array([0.0, 1.0, 0.3, 1.1, -1.0, np.nan], "float32")
BAD_TRUTHS = [False] * 3 + [True] * 3


def test_how_true_a_label_is_goes_from_0_to_1():
    safe = read(TRUTHS[:, None], ops.zeros((6, 1)))
    same(safe.bad, BAD_TRUTHS, bool)
    kept = np.where(BAD_TRUTHS, 0.0, TRUTHS).astype("float32")
    same(safe.given, kept[:, None], "float32")
    same(safe.labels, np.stack([1 - kept, kept], axis=-1), "float32")
    rows = TRUTHS.reshape(2, 3)
    safe = read_label_rows(ops.convert_to_tensor(rows), ops.zeros((2, 3)))
    same(safe.bad, np.reshape(BAD_TRUTHS, (2, 3)), bool)
    same(safe.given, kept.reshape(2, 3), "float32")


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "float16"])
@pytest.mark.parametrize("column", [False, True])
def test_safe_labels_get_the_shape_and_dtype_that_came(dtype, column):
    given = np.array([1, 9, 7], dtype)
    given = given[:, None] if column else given
    expected = np.array([1, 3, 7], dtype).reshape(given.shape)
    same(read(given, ignore=7).given, expected, dtype)
    expected[-1] = 3
    same(read(given).given, expected, dtype)


# Labels that are not of the output's entries.


def sparse(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(**kwargs)


LETTERS = ops.zeros((3, 7))


@pytest.mark.parametrize("loss", [keras.losses.CTC(), lambda y, z: 0.0])
def test_labels_that_only_the_loss_reads_are_left_to_it(loss):
    assert fitting_labels(LETTERS, OUTPUTS, loss, independent=False) is None
    assert fitting_labels(LETTERS, OUTPUTS, loss, independent=True) is None


@pytest.mark.parametrize("loss", [sparse(), "categorical_crossentropy", None])
def test_labels_must_fit_where_something_reads_classes(loss):
    with pytest.raises(ValueError, match="`y` must hold class indices"):
        fitting_labels(LETTERS, OUTPUTS, loss, independent=False)


def test_labels_that_happen_to_fit_may_be_others():
    labels = ops.zeros((2, 3))
    for loss in (keras.losses.CTC(), "hinge"):
        assert fitting_labels(labels, TOKENS, loss, independent=False) is None
    own = fitting_labels(labels, TOKENS, lambda y, z: 0.0, independent=False)
    assert own is labels
