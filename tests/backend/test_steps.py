"""How a backend runs a step."""

import numpy as np
import pytest
from helpers import BACKEND, number, two_replicas, value_and_grad
from keras import ops

from keras_dts.backend import (
    no_gradient,
    replica_count,
    runs_eagerly,
    without_gradient,
)

X = np.array([1.0, 2.0, -3.0], "float32")


def test_python_runs_in_every_step_on_pytorch_alone():
    assert runs_eagerly() is (BACKEND == "torch")


def test_outside_a_strategy_there_is_one_replica():
    assert replica_count() == 1


@pytest.mark.tensorflow
def test_a_strategy_has_the_replicas_of_its_devices():
    import tensorflow as tf

    strategy = two_replicas()
    with strategy.scope():
        assert replica_count() == 2
    counts = strategy.run(lambda: tf.constant(replica_count()))
    assert [int(n) for n in strategy.experimental_local_results(counts)] == [
        2,
        2,
    ]
    assert replica_count() == 1


def test_no_gradient_flows_through_a_function_without_one():
    def value(x):
        squares = without_gradient(lambda a, b: a * b, x, x)
        return ops.sum(squares * x)

    found, grad = value_and_grad(value, X)
    assert found == np.sum(X**3)
    np.testing.assert_array_equal(grad, X**2)


def test_nothing_is_recorded_without_a_gradient():
    x = ops.convert_to_tensor(X)
    with no_gradient():
        total = ops.sum(x * x)
    assert number(total) == 14.0
    if BACKEND == "torch":
        x = ops.convert_to_tensor(X).requires_grad_(True)
        with no_gradient():
            assert not (x * x).requires_grad
        assert (x * x).requires_grad
        assert not without_gradient(ops.square, x).requires_grad
