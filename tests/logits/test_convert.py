"""A model's outputs as logits, and logits as a cache stores them."""

import keras
import numpy as np
import pytest
from helpers import mlp
from keras import layers, ops
from scipy.special import expit, log_softmax, softmax

from keras_dts.logits import (
    from_stored_logits,
    gives_logits,
    to_logits,
    to_stored_logits,
)

LOGITS = np.random.default_rng(0).normal(size=(6, 5)).astype("float32") * 3
ONE = LOGITS[:, :1]


def close(found, expected, rtol=2e-6):
    found = ops.convert_to_numpy(found)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6)


def test_logits_stay_and_probabilities_become_their_logarithm():
    close(to_logits(ops.convert_to_tensor(LOGITS), from_logits=True), LOGITS)
    probs = ops.convert_to_tensor(softmax(LOGITS, -1))
    close(to_logits(probs, from_logits=False), log_softmax(LOGITS, -1))


def test_a_single_unit_is_the_positive_class_of_two():
    logits = to_logits(ops.convert_to_tensor(ONE), from_logits=True)
    close(logits, np.concatenate([0 * ONE, ONE], axis=-1))
    probs = to_logits(ops.convert_to_tensor(expit(ONE)), from_logits=False)
    both = np.concatenate([-ONE, ONE], axis=-1)
    close(probs, -np.log1p(np.exp(-both)), rtol=1e-5)


def test_a_probability_of_0_stays_finite():
    probs = ops.convert_to_tensor(np.array([[0.0, 1.0]], "float32"))
    tiny = np.log(np.finfo("float32").tiny)
    close(to_logits(probs, from_logits=False), [[tiny, 0.0]])
    one = ops.convert_to_tensor(np.array([[0.0], [1.0]], "float32"))
    close(to_stored_logits(one, from_logits=False), [[tiny], [-tiny]])


def test_half_precision_is_widened_first():
    half = ops.cast(ops.convert_to_tensor(softmax(LOGITS, -1)), "float16")
    expected = np.log(ops.convert_to_numpy(half).astype("float32"))
    close(to_logits(half, from_logits=False), expected)
    close(to_stored_logits(half, from_logits=False), expected)


@pytest.mark.parametrize(
    ("outputs", "from_logits", "stored"),
    [
        (LOGITS, True, LOGITS),
        (ONE, True, ONE),
        (softmax(LOGITS, -1), False, log_softmax(LOGITS, -1)),
        (expit(ONE), False, ONE),
    ],
)
def test_stored_logits_have_the_shape_of_the_outputs_and_give_them_back(
    outputs, from_logits, stored
):
    found = to_stored_logits(
        ops.convert_to_tensor(outputs), from_logits=from_logits
    )
    close(found, stored, rtol=1e-5)
    close(from_stored_logits(found, from_logits=from_logits), outputs)


@pytest.mark.parametrize(
    ("activation", "classes", "logits"),
    [
        (None, 3, True),
        ("relu", 3, True),
        ("softmax", 3, False),
        ("sigmoid", 1, False),
        (None, 1, True),
    ],
)
def test_a_model_that_ends_in_a_softmax_gives_no_logits(
    activation, classes, logits
):
    model = mlp(activation=activation, classes=classes)
    assert gives_logits(model, 0, "auto") is logits
    nested = keras.Sequential([keras.Input((8,)), model])
    assert gives_logits(nested, 0, "auto") is logits
    # What the user says goes before what is recognised.
    assert gives_logits(model, 0, True) is True
    assert gives_logits(model, 0, False) is False


def test_each_output_of_a_model_is_recognised_alone():
    inputs = keras.Input((4,))
    first = layers.Dense(3)(inputs)
    second = layers.Softmax()(layers.Dense(3)(inputs))
    model = keras.Model(inputs, {"b": first, "a": second})
    assert [gives_logits(model, i, "auto") for i in (0, 1)] == [False, True]


def test_a_row_of_sigmoids_is_no_distribution():
    model = mlp(activation="sigmoid", name="tags")
    message = r"output 'out' of 'tags' is a row of 3 sigmoids.*`None`"
    with pytest.raises(ValueError, match=message):
        gives_logits(model, 0, "auto")
    assert gives_logits(model, 0, True) is True
