"""Models that return the outputs of their layers too."""

import keras
import numpy as np
import pytest
from helpers import blobs, mlp, randomize
from keras import layers, ops

from keras_dts.features import FeatureExtractor
from keras_dts.features.extractor import find_layer

X, _ = blobs(examples=4)


class Block(layers.Layer):
    """A layer, no model, that holds layers in attributes and in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(4, name="inner_dense")
        self.parts = [layers.Dense(4, name=f"part_{i}") for i in range(2)]
        self._hidden = layers.Dense(4, name="hidden")

    def build(self, shape):
        for layer in (self.inner, *self.parts, self._hidden):
            layer.build((None, 4))

    def call(self, x):
        return self.parts[0](self.inner(x))

    @property
    def not_ready(self):
        raise ValueError("not ready yet")


def nested(seed=0, name="outer"):
    """A model with a model and a block in it."""
    base = keras.Sequential(
        [keras.Input((8,)), layers.Dense(4, name="first")], name="base"
    )
    inputs = keras.Input((8,))
    x = Block(name="block")(base(inputs))
    return randomize(
        keras.Model(inputs, layers.Dense(3, name="out")(x), name=name), seed
    )


def close(found, expected):
    found = ops.convert_to_numpy(found)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def through(x, layer):
    kernel, bias = layer.get_weights()
    return x @ kernel + bias


def test_features_are_the_outputs_of_the_layers_by_path():
    model = nested()
    paths = ("base/first", "block/inner", "block/part_0", "block", "out")
    found = FeatureExtractor("teacher", model, paths)(X, training=False)
    first = through(X, model.get_layer("base").get_layer("first"))
    block = model.get_layer("block")
    inner = through(first, block.inner)
    part = through(inner, block.parts[0])
    expected = (first, inner, part, part, through(part, model.get_layer("out")))
    assert sorted(found.features) == sorted(paths)
    for path, values in zip(paths, expected, strict=True):
        close(found.features[path], values)
    close(found.outputs, ops.convert_to_numpy(model(X)))


def test_two_paths_to_one_layer_are_one_output():
    model = nested()
    paths = ["block/inner", "block/inner_dense", "block/inner"]
    found = FeatureExtractor("student", model, paths)(X, training=None)
    assert set(found.features) == set(paths)
    features = found.features
    assert features["block/inner"] is features["block/inner_dense"]


def test_without_paths_there_are_no_features():
    model = mlp()
    found = FeatureExtractor("teacher", model, ())(X, training=False)
    assert found.features == {}
    close(found.outputs, ops.convert_to_numpy(model(X)))


@pytest.mark.parametrize("paths", [(), ("drop",)])
@pytest.mark.parametrize("training", [True, False])
def test_the_model_runs_in_the_mode_that_is_given(training, paths):
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dropout(0.5, name="drop")]
    )
    found = FeatureExtractor("student", model, paths)(X, training=training)
    dropped = ops.convert_to_numpy(found.outputs) == 0
    assert dropped.any() == training


def test_a_layer_that_the_model_does_not_run():
    extractor = FeatureExtractor("student", nested(), ("block/part_1",))
    message = (
        "`student_layer_name` must name a layer that 'outer' runs. Received: "
        "'block/part_1', which it does not run"
    )
    with pytest.raises(ValueError, match=message):
        extractor(X, training=False)


class Failing(keras.Model):
    def call(self, x):
        raise TypeError("no batch of this kind")


def test_a_model_that_cannot_be_built():
    extractor = FeatureExtractor("teacher", Failing(), ())
    message = (
        r"`teacher` must be built, or be built by calling it on a batch\. "
        r"Received: a Failing, which failed: (.|\n)*no batch of this kind"
    )
    for _ in range(2):  # Keras calls it built after the first time
        with pytest.raises(ValueError, match=message):
            extractor(X, training=False)


def test_a_built_model_fails_in_its_own_words():
    model = mlp()
    extractor = FeatureExtractor("teacher", model, ())
    with pytest.raises(ValueError, match="expected shape") as caught:
        extractor(X[:, :3], training=False)
    assert "must be built" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "where", "name", "children"),
    [
        ("deep", "outer", "deep", "base.*block.*out"),
        ("base/deep", "base", "deep", "first"),
        ("block/deep", "block", "deep", "inner.*inner_dense.*part_0.*part_1"),
        ("base/first/x", "first", "x", ""),
        # Private attributes are no part of a path.
        ("block/_hidden", "block", "_hidden", "inner"),
        ("", "outer", "", "base"),
    ],
)
def test_a_layer_that_is_not_there_is_named_with_those_that_are(
    path, where, name, children
):
    message = (
        r"`some_argument` must name a layer of the model 'outer'\. Received: "
        rf"some_argument='{path}', but '{where}' has no layer '{name}'\. "
        rf"It has: \[.*{children}.*\]"
    )
    with pytest.raises(ValueError, match=message):
        find_layer(nested(), path, "some_argument")


def test_the_role_names_the_argument():
    with pytest.raises(ValueError, match="`teacher_layer_name` must name"):
        FeatureExtractor("teacher", nested(), ("deep",))


def test_a_layer_is_found_by_each_of_its_names():
    model = nested()
    block = model.get_layer("block")
    assert find_layer(model, "block", "a") is block
    assert find_layer(model, "block/inner", "a") is block.inner
    assert find_layer(model, "block/inner_dense", "a") is block.inner
    assert find_layer(model, "block/part_1", "a") is block.parts[1]
    first = model.get_layer("base").get_layer("first")
    assert find_layer(model, "base/first", "a") is first
