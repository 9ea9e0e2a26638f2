"""Gradients that a step asks for beside Keras's own."""

import keras
import numpy as np
from helpers import number
from keras import ops

from keras_dts.backend import value_and_grad


def numpy(tensors):
    return [ops.convert_to_numpy(x) for x in tensors]


def test_the_gradient_is_that_at_the_values_given():
    a, b = keras.Variable([1.0, 2.0]), keras.Variable(3.0)

    def function():
        return ops.sum(a.value**2) * b.value

    value, gradient = value_and_grad(function, [a, b])
    assert number(value) == 15.0
    np.testing.assert_allclose(numpy(gradient)[0], [6.0, 12.0])
    assert number(gradient[1]) == 5.0
    value, gradient = value_and_grad(
        function, [a], [ops.convert_to_tensor([2.0, -1.0])]
    )
    assert number(value) == 15.0
    np.testing.assert_allclose(numpy(gradient)[0], [12.0, -6.0])
    np.testing.assert_array_equal(numpy([a.value])[0], [1.0, 2.0])


def test_what_the_function_assigns_is_dropped():
    weight, state = keras.Variable(2.0), keras.Variable(5.0)

    def function():
        state.assign(state.value + 1.0)
        return weight.value * state.value

    for _ in range(2):
        value, (gradient,) = value_and_grad(function, [weight])
        assert (number(value), number(gradient)) == (12.0, 6.0)
    assert number(state.value) == 5.0


def test_of_what_the_function_does_not_read_the_gradient_is_0():
    weight, unused = keras.Variable(2.0), keras.Variable([1.0, 1.0])
    _, gradient = value_and_grad(lambda: weight.value**2, [weight, unused])
    np.testing.assert_array_equal(numpy(gradient)[1], [0.0, 0.0])
