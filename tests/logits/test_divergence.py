"""The Kullback-Leibler divergence of two distributions."""

import numpy as np
import pytest
from helpers import value_and_grad
from keras import ops
from scipy.special import log_softmax
from scipy.stats import entropy

from keras_dts.logits import Distribution, kl

LOG_P, LOG_Q = log_softmax(
    2 * np.random.default_rng(0).normal(size=(2, 4, 3, 5)), axis=-1
).astype("float32")


def compute(log_p, log_q):
    return kl(
        *(
            Distribution.of_log_probs(ops.convert_to_tensor(x))
            for x in (log_p, log_q)
        )
    )


def divergence(log_p, log_q):
    return ops.convert_to_numpy(compute(log_p, log_q))


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
        return ops.sum(compute(*pair))

    _, grad = value_and_grad(value, (LOG_P, LOG_Q)[which])
    p = np.exp(LOG_P.astype("float64"))
    expected = (p * (LOG_P - LOG_Q + 1), -p)[which]
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1e-2, 0.4, 1.0, 6.0])
def test_softmaxes_of_logits_are_compared_as_exactly(scale):
    rng = np.random.default_rng(2)
    teacher = 3 * rng.normal(size=(64, 100)).astype("float32")
    student = teacher + (scale * rng.normal(size=(64, 100))).astype("float32")
    pair = [
        Distribution.of_logits(ops.convert_to_tensor(x))
        for x in (teacher, student)
    ]
    found = ops.convert_to_numpy(kl(*pair))
    log_p, log_q = (
        log_softmax(x.astype("float64"), axis=-1) for x in (teacher, student)
    )
    expected = np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)
    error = np.abs(found - expected) / np.sqrt(expected)
    assert np.max(error) < 2e-6
    np.testing.assert_allclose(
        ops.convert_to_numpy(pair[0].probs), np.exp(log_p), rtol=1e-5
    )


@pytest.mark.parametrize("source", ["logits", "log probabilities"])
def test_a_class_that_both_rule_out_adds_nothing(source):
    make = Distribution.of_logits
    if source == "log probabilities":
        make = Distribution.of_log_probs
    out = [np.insert(x, 2, -np.inf, axis=-1) for x in (LOG_P, LOG_Q)]

    def value(x):
        return ops.sum(kl(make(ops.convert_to_tensor(out[0])), make(x)))

    found, grad = value_and_grad(value, out[1])
    expected = entropy(np.exp(LOG_P), np.exp(LOG_Q), axis=-1)
    np.testing.assert_allclose(found, expected.sum(), rtol=1e-5)
    assert np.isfinite(grad).all()
    alone = kl(make(ops.convert_to_tensor(out[0])), make(ops.zeros((4, 3, 6))))
    # Only the student's may be infinite, where the teacher rules none out.
    assert not np.isfinite(ops.convert_to_numpy(alone)).any()
