"""The Kullback-Leibler divergence of log probabilities."""

import numpy as np
import pytest
from helpers import value_and_grad
from keras import ops
from scipy.special import log_softmax
from scipy.stats import entropy

from keras_dts.logits import kl

LOG_P, LOG_Q = log_softmax(
    2 * np.random.default_rng(0).normal(size=(2, 4, 3, 5)), axis=-1
).astype("float32")


def divergence(log_p, log_q):
    return ops.convert_to_numpy(kl(*map(ops.convert_to_tensor, (log_p, log_q))))


def test_it_is_the_relative_entropy_of_each_entry():
    found = divergence(LOG_P, LOG_Q)
    expected = entropy(np.exp(LOG_P), np.exp(LOG_Q), axis=-1)
    assert found.shape == (4, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rounding_takes_no_value_below_0():
    log_p = log_softmax(
        np.random.default_rng(1).normal(size=(200, 500)).astype("float32"), -1
    )
    near = log_softmax(log_p * np.float32(1 + 1e-6), axis=-1)
    plain = np.sum(np.exp(log_p) * (log_p - near), axis=-1)
    assert np.min(plain) < 0
    assert np.min(divergence(log_p, near)) >= 0
    np.testing.assert_array_equal(divergence(log_p, log_p), np.zeros(200))


@pytest.mark.parametrize("which", [0, 1])
def test_the_gradient_is_that_of_the_plain_sum(which):
    def value(x):
        pair = [LOG_P, LOG_Q]
        pair[which] = x
        return ops.sum(kl(*map(ops.convert_to_tensor, pair)))

    _, grad = value_and_grad(value, (LOG_P, LOG_Q)[which])
    p = np.exp(LOG_P.astype("float64"))
    expected = (p * (LOG_P - LOG_Q + 1), -p)[which]
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-7)
