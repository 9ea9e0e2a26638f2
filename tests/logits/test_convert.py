"""A model's outputs as logits, and logits as a cache stores them."""

import numpy as np
import pytest
from keras import ops
from scipy.special import expit, log_softmax, softmax

from keras_dts.logits import (
    from_stored_logits,
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
