"""Language models split into their backbone and their output projection."""

import keras
import numpy as np
import pytest
from helpers import randomize
from keras import layers, ops

from keras_dts.features import SplitModel, split_model
from keras_dts.types import HiddenStates

WORDS = 11
X = np.random.default_rng(0).integers(1, WORDS, (3, 5)).astype("int32")
NO_PROJECTION = (
    "does not end in a `Dense` layer, or in an embedding that is called with "
    "`reverse=True`"
)
NOT_BUILT = "is not built, or does not say what its inputs are"
OTHER_OUTPUTS = "has not one output of shape (batch, length, classes)"


def backbone(dtype="int32", shape=(None,)):
    inputs = keras.Input(shape, dtype=dtype)
    x = layers.Embedding(WORDS, 6)(inputs)
    return inputs, layers.Dense(6, activation="tanh", name="middle")(x)


def writer(end=None, seed=0):
    """A language model of dense layers, with something at its end."""
    inputs, x = backbone()
    x = layers.Dense(WORDS, name="projection")(x)
    return randomize(keras.Model(inputs, x if end is None else end(x)), seed)


def tied():
    inputs = keras.Input((None,), dtype="int32")
    embedding = layers.ReversibleEmbedding(WORDS, 6, name="words")
    x = layers.Dense(6)(embedding(inputs))
    return randomize(keras.Model(inputs, embedding(x, reverse=True)), 0)


def split_of(model):
    split = split_model(model)
    assert isinstance(split, SplitModel), split
    return split


@pytest.mark.parametrize(
    ("make", "layer"), [(writer, "projection"), (tied, "words")]
)
def test_the_parts_of_a_model_are_the_model(make, layer):
    model = make()
    split = split_of(model)
    assert split.layer is model.get_layer(layer)
    assert split.classes == WORDS
    hidden = split(X, False, lambda states: True)
    assert isinstance(hidden, HiddenStates)
    assert tuple(hidden.states.shape) == (3, 5, 6)
    parts = split.project(hidden.states, split.values())
    np.testing.assert_allclose(
        ops.convert_to_numpy(parts), ops.convert_to_numpy(model(X)), rtol=1e-5
    )


def test_the_projection_uses_the_values_that_are_given():
    model = writer()
    split = split_of(model)
    states = split(X, False, lambda states: True).states
    before = ops.convert_to_numpy(model(X))
    zeros = [ops.zeros_like(value) for value in split.values()]
    found = ops.convert_to_numpy(split.project(states, zeros))
    np.testing.assert_array_equal(found, np.zeros((3, 5, WORDS)))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), before)


@pytest.mark.parametrize("make", [writer, tied])
def test_a_step_that_is_not_to_stop_gives_the_outputs(make):
    model = make()
    shapes = []

    def stop(states):
        shapes.append(tuple(states.shape))
        return False

    found = split_of(model)(X, False, stop)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(found), ops.convert_to_numpy(model(X))
    )
    assert shapes == [(3, 5, 6)]


def test_the_model_is_as_it_was_afterwards():
    model = tied()
    before = ops.convert_to_numpy(model(X))
    split_of(model)(X, False, lambda states: True)
    assert "call" not in vars(model.get_layer("words"))
    np.testing.assert_array_equal(ops.convert_to_numpy(model(X)), before)


def softmax_output():
    return writer(lambda x: layers.Softmax()(x))


def unbuilt():
    return keras.Sequential([layers.Dense(3)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(WORDS, 6)
        self.dense = layers.Dense(WORDS)

    def call(self, x):
        return self.dense(self.embedding(x))


def built_subclassed():
    model = Subclassed()
    model(X)
    return model


def classifier():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


def two_outputs():
    return writer(lambda x: [x, layers.Rescaling(2.0)(x)])


def strings():
    inputs = keras.Input((4,), dtype="string")
    x = layers.StringLookup(vocabulary=["a", "b"])(inputs)
    x = layers.Embedding(3, 4)(x)
    return keras.Model(inputs, layers.Dense(WORDS)(x))


def regularized():
    inputs, x = backbone()
    dense = layers.Dense(WORDS, activity_regularizer="l2")
    return keras.Model(inputs, dense(x))


def through_time():
    """The projection sees no token alone, but the outputs are its own."""
    inputs = keras.Input((8,), dtype="int32")
    x = layers.Permute((2, 1))(layers.Embedding(WORDS, 6)(inputs))
    x = layers.Dense(8)(x)
    return keras.Model(inputs, layers.Permute((2, 1))(x))


class OwnDense(layers.Dense):
    """A dense layer that may compute anything."""


REFUSED = {
    "not built": (unbuilt, NOT_BUILT),
    "subclassed": (built_subclassed, NOT_BUILT),
    "classifier": (classifier, OTHER_OUTPUTS),
    "two outputs": (two_outputs, OTHER_OUTPUTS),
    "softmax": (softmax_output, NO_PROJECTION),
    "goes on": (lambda: writer(layers.Rescaling(2.0)), NO_PROJECTION),
    "residual": (lambda: writer(lambda x: x + 1.0), NO_PROJECTION),
    "activity": (regularized, NO_PROJECTION),
    "through time": (through_time, NO_PROJECTION),
    "own layer": (
        lambda: writer(OwnDense(WORDS, name="own")),
        NO_PROJECTION,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_that_cannot_be_split_says_why(case):
    make, reason = REFUSED[case]
    assert split_model(make()) == reason


@pytest.mark.tensorflow
def test_a_model_of_strings_is_not_split():
    assert split_model(strings()) == "takes strings"


def test_a_model_that_goes_on_is_refused_where_it_runs():
    model = writer(layers.Rescaling(2.0))
    split = SplitModel(model, model.get_layer("projection"))
    message = (
        f"projection of '{model.name}' onto its classes must be what it "
        "returns. Received: a model that goes on after 'projection'"
    )
    with pytest.raises(ValueError, match=message):
        split(X, False, lambda states: True)
    assert "call" not in vars(model.get_layer("projection"))


def test_a_projection_that_runs_twice_is_refused():
    inputs, x = backbone()
    dense = layers.Dense(6, name="twice")
    model = keras.Model(inputs, dense(dense(x)))
    assert split_model(model) == NO_PROJECTION
    with pytest.raises(ValueError, match="goes on after 'twice'"):
        SplitModel(model, dense)(X, False, lambda states: True)
