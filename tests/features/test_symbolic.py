"""The symbolic inputs of models."""

import keras
import numpy as np
import pytest
from helpers import mlp
from keras import layers
from texts import gpt2

from keras_dts.features import SymbolicCall, known_input


def test_the_input_of_a_functional_model():
    model = mlp()
    assert known_input(model) is model.input
    inputs = {k: keras.Input((n,), name=k) for k, n in (("a", 2), ("b", 3))}
    model = keras.Model(inputs, layers.Concatenate()(list(inputs.values())))
    found = known_input(model)
    assert {k: v.shape for k, v in found.items()} == {
        "a": (None, 2),
        "b": (None, 3),
    }


def test_the_input_of_a_sequential_model():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    assert known_input(model).shape == (None, 5)


class Net(keras.Model):
    def call(self, x):
        return 2.0 * x


def test_models_without_a_known_input():
    model = Net()
    model(np.ones((1, 3)))
    assert known_input(model) is None
    assert known_input(keras.Sequential([layers.Dense(2)])) is None


def test_a_task_gets_tokens_of_some_length():
    found = known_input(gpt2())
    for tokens in found.values():
        assert tokens.shape == (None, 8)
        assert tokens.dtype == "int32"


def test_a_symbolic_call_builds_what_it_calls():
    dense = layers.Dense(3)

    def function(x, other):
        return {"sum": dense(x) + other}

    found = SymbolicCall(function).trace(
        keras.KerasTensor((None, 4)), keras.KerasTensor((None, 3))
    )
    assert dense.built
    assert dense.kernel.shape == (4, 3)
    assert found["sum"].shape == (None, 3)


def test_an_error_in_a_symbolic_call_is_raised():
    def function(x):
        raise ValueError("these do not fit")

    with pytest.raises(ValueError, match=r"^these do not fit"):
        SymbolicCall(function).trace(keras.KerasTensor((None, 4)))
