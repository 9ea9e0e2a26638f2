"""What the outputs of a model are."""

import keras
import numpy as np
import pytest
from helpers import mlp
from keras import layers, ops
from scipy.special import softmax

from keras_dts.logits import (
    OutputKind,
    find_output_kinds,
    gives_logits,
)
from keras_dts.logits.kinds import contradicts, output_kind


def model_of(make, classes=3):
    """Returns a model whose last operations are `make` of its hidden layer."""
    inputs = keras.Input((6,))
    return keras.Model(inputs, make(layers.Dense(4)(inputs), classes))


def gated(hidden, classes):
    """Returns logits; the softmax is only that of a gate, and comes last."""
    each = layers.Reshape((4, classes))(layers.Dense(4 * classes)(hidden))
    gate = layers.Dense(4, activation="softmax")(hidden)
    return ops.einsum("bkc,bk->bc", each, gate)


def soft(hidden, classes):
    return layers.Dense(classes, activation="softmax")(hidden)


PROBABILITIES = {
    "cast": lambda h, c: layers.Activation("linear")(soft(h, c)),
    "average": lambda h, c: layers.average([soft(h, c), soft(h, c)]),
    "reshape": lambda h, c: layers.Reshape((1, c))(soft(h, c)),
    "function": lambda h, c: ops.softmax(layers.Dense(c)(h)),
    "nested": lambda h, c: model_of(soft)(
        layers.Dense(6)(layers.Dropout(0.1)(h))
    ),
}
LOGITS = {
    "gate": gated,
    "sum": lambda h, c: layers.add([layers.Dense(c)(h), soft(h, c)]),
    "reshape": lambda h, c: layers.Reshape((1, c))(layers.Dense(c)(h)),
    "function": lambda h, c: ops.log_softmax(layers.Dense(c)(h)),
}


@pytest.mark.parametrize(
    ("make", "is_logits"),
    [
        *[
            pytest.param(m, False, id=f"p-{n}")
            for n, m in PROBABILITIES.items()
        ],
        *[pytest.param(m, True, id=f"l-{n}") for n, m in LOGITS.items()],
    ],
)
def test_what_no_layer_tells_is_found_by_numbers_of_chance(make, is_logits):
    model = model_of(make)
    find_output_kinds(model, "auto")
    kind = output_kind(model, 0)
    assert (kind.is_logits, kind.source) == (
        is_logits,
        # Rows below 0 tell logits for sure.
        kind.source if is_logits else "told",
    )
    assert gives_logits(model, 0, "auto") is is_logits


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
def test_the_last_layer_of_a_model_tells(activation, classes, logits):
    model = mlp(activation=activation, classes=classes)
    assert gives_logits(model, 0, "auto") is logits
    nested = keras.Sequential([keras.Input((8,)), model])
    assert gives_logits(nested, 0, "auto") is logits
    # What the user says goes before what is recognised.
    assert gives_logits(model, 0, True) is True
    assert gives_logits(model, 0, False) is False


class Noted(keras.layers.Layer):
    """Notes each call."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def call(self, x):
        self.calls.append(x.shape)
        return x


def noted(last):
    """Returns a model, and the calls of one of its layers since it was made."""
    layer = Noted()
    model = model_of(lambda h, c: last(layer(h), c))
    layer.calls.clear()
    return model, layer.calls


def test_a_model_whose_layers_tell_is_not_run():
    model, calls = noted(soft)
    find_output_kinds(model, "auto")
    assert not calls


def test_another_model_is_run_once_and_where_nobody_says():
    model, calls = noted(PROBABILITIES["reshape"])
    find_output_kinds(model, False)
    assert not calls
    for _ in range(2):
        find_output_kinds(model, "auto")
    assert len(calls) == 1


def test_each_output_of_a_model_is_recognised_alone():
    inputs = keras.Input((4,))
    first = layers.Dense(3)(inputs)
    second = layers.Softmax()(layers.Dense(3)(inputs))
    model = keras.Model(inputs, {"b": first, "a": second})
    assert [gives_logits(model, i, "auto") for i in (0, 1)] == [False, True]


def test_a_row_of_sigmoids_is_independent_labels():
    model = mlp(activation="sigmoid", name="tags")
    assert output_kind(model, 0) == OutputKind(False, True, "told")
    message = r"output 0 of 'tags' must be a distribution.*a row of 3 sigmoids"
    with pytest.raises(ValueError, match=message):
        gives_logits(model, 0, "auto")
    assert gives_logits(model, 0, True) is True


ROWS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
ONE_ROW = ROWS.copy()
ONE_ROW[0] = softmax(ROWS[0])


@pytest.mark.parametrize(
    ("rows", "is_logits", "wrong"),
    [
        (ROWS, True, False),
        (softmax(ROWS, -1), True, True),
        (ONE_ROW, True, False),
        (softmax(ROWS, -1), False, False),
        (ROWS, False, True),
        (ONE_ROW, False, True),
        (softmax(ROWS, -1).astype("float16"), False, False),
        (ROWS[:, :1], False, True),
        (np.abs(ROWS[:, :1]) / 10, False, False),
        (np.abs(ROWS[:, :1]) / 10, True, False),
    ],
)
def test_values_that_contradict_what_was_said(rows, is_logits, wrong):
    found = contradicts(ops.convert_to_tensor(rows), OutputKind(is_logits))
    assert bool(found) is wrong
