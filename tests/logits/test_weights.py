"""Masks and sample weights as one weight for each entry."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dts.logits import (
    EntryWeights,
    TokenMask,
    broadcast_weights,
    check_sample_weight,
)
from keras_dts.logits.weights import entry_weights

WEIGHTS = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0]], "float32")
TOKENS = np.array([[3, 1, 0], [2, 0, 0]], "int32")
MASK = TOKENS > 0


def masked():
    """Outputs of two rows of three tokens, with Keras's mask."""
    embedding = layers.Embedding(5, 4, mask_zero=True)
    return embedding(ops.convert_to_tensor(TOKENS))


def same(found, expected):
    found = ops.convert_to_numpy(found)
    assert found.shape == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


def test_the_mask_and_the_weights_are_multiplied():
    layer = EntryWeights()
    same(entry_weights(masked(), None, layer), MASK.astype("float32"))
    weights = ops.convert_to_tensor(WEIGHTS)
    same(entry_weights(masked(), weights, layer), MASK * WEIGHTS)
    plain = ops.zeros((2, 3, 4))
    same(entry_weights(plain, None, layer), np.ones((2, 3)))
    same(entry_weights(plain, weights, layer), WEIGHTS)


def test_weights_of_examples_weigh_all_their_tokens():
    weights = ops.convert_to_tensor([3.0, 0.5])
    found = entry_weights(ops.zeros((2, 3, 4)), weights, EntryWeights())
    same(found, [[3.0] * 3, [0.5] * 3])


@pytest.mark.parametrize("shape", [(2, 1), (2, 1, 1), (2,)])
def test_weights_broadcast_over_tokens(shape):
    weights = ops.reshape(ops.convert_to_tensor([3.0, 0.0]), shape)
    outputs = ops.zeros((2, 3, 4))
    expected = np.array([[3.0] * 3, [0.0] * 3])
    same(entry_weights(outputs, weights, EntryWeights()), expected)
    found = TokenMask()((outputs, weights))
    same(EntryWeights()(found), np.sign(expected))


def test_weights_of_rows_are_not_those_of_pixels():
    with pytest.raises(ValueError, match="`sample_weight` must have one"):
        check_sample_weight(np.ones((2, 3)), (2, 3, 4))
    check_sample_weight(np.ones((2, 3, 1)), (2, 3, 4))
    check_sample_weight(np.ones((2, 1, 1, 1)), (2, 3, 4))


def test_rows_of_classes_have_the_weights_that_are_given():
    outputs, layer = ops.zeros((2, 4)), EntryWeights()
    assert entry_weights(outputs, None, layer) is None
    given = ops.convert_to_tensor([[2], [0]])
    found = entry_weights(outputs, given, layer)
    same(found, [2.0, 0.0])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"


def test_weights_broadcast_to_the_rank_of_the_entries():
    entries = ops.zeros((2, 3))
    same(broadcast_weights(ops.ones((2,)), entries), np.ones((2, 1)))
    same(broadcast_weights(ops.ones((2, 3, 1)), entries), np.ones((2, 3)))


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 3, 4), (2, 1, 3)])
def test_weights_that_fit_no_entries_are_refused(shape):
    received = ", ".join(["batch", *map(str, shape[1:])])
    message = (
        r"`sample_weight` must have one value for each example or token, "
        r"shape \(batch, 3\), or 1 in place of a size that all share\. "
        r"Received: sample_weight\.shape=\(" + received
    )
    with pytest.raises(ValueError, match=message):
        check_sample_weight(np.ones(shape), (2, 3))


@pytest.mark.parametrize(
    "shape", [(2,), (2, 3), (2, 3, 1), (None, 3), (2, 1), (2, 1, 1)]
)
def test_weights_that_fit_are_not_refused(shape):
    check_sample_weight(keras.KerasTensor(shape), (2, 3))
    check_sample_weight(keras.KerasTensor(shape), (None, 3))


@pytest.mark.parametrize("with_mask", [False, True])
def test_tokens_of_weight_0_are_masked(with_mask):
    outputs = masked() if with_mask else ops.ones((2, 3, 4))
    before = ops.convert_to_numpy(outputs)
    found = TokenMask()((outputs, ops.convert_to_tensor(WEIGHTS)))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), before)
    # Layers get the new mask from the outputs, which keep their own.
    counts = np.logical_and(WEIGHTS != 0, MASK if with_mask else True)
    same(EntryWeights()(found), counts.astype("float32"))
    same(EntryWeights()(outputs), MASK.astype("float32") ** with_mask)


def test_weights_that_are_no_real_numbers():
    message = r"^`sample_weight` must hold real .*sample_weight.dtype=complex64"
    with pytest.raises(ValueError, match=message):
        check_sample_weight(np.ones(2, "complex64"), (2,))
