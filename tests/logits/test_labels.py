"""Labels as targets that fit a model's output."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_dts.logits import read_labels
from keras_dts.logits.labels import are_indices, restore_labels, to_labels

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


def test_indices_that_name_no_class_become_the_nearest_that_does():
    given = ops.convert_to_tensor(np.array([[-1, 0, 3], [4, 9, -7]], "int32"))
    labels, bad, ignored = read_labels(given, TOKENS, None)
    same(labels, [[0, 0, 3], [3, 3, 0]], "int32")
    same(bad, [[1, 0, 0], [1, 1, 1]], bool)
    assert ignored is None


@pytest.mark.parametrize("ignore", [-1, 9, 0])
def test_the_index_that_means_no_label_is_not_bad(ignore):
    given = np.array([[-1, 0, 3], [4, 9, -7]], "int32")
    labels, bad, ignored = read_labels(
        ops.convert_to_tensor(given), TOKENS, ignore
    )
    same(ignored, given == ignore, bool)
    out = (given < 0) | (given > 3)
    same(bad, out & (given != ignore), bool)
    same(labels, np.clip(given, 0, 3), "int32")


def test_probabilities_are_never_bad():
    given = ops.convert_to_tensor(np.full((3, 4), 7.0, "float32"))
    labels, bad, ignored = read_labels(given, OUTPUTS, -1)
    same(labels, np.full((3, 4), 7.0), "float32")
    assert (bad, ignored) == (None, None)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
@pytest.mark.parametrize("column", [False, True])
def test_safe_labels_get_the_shape_and_dtype_that_came(dtype, column):
    given = np.array([1, 9, 7], dtype)
    given = given[:, None] if column else given
    expected = np.array([1, 3, 7], dtype).reshape(given.shape)
    safe, _, ignored = read_labels(ops.convert_to_tensor(given), OUTPUTS, 7)
    same(restore_labels(safe, given, ignored), expected, dtype)
    expected[-1] = 3
    same(restore_labels(safe, given, None), expected, dtype)
