"""Errors of the first look at two models begin with what is wrong."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp
from keras import layers

import keras_dts

X, LABELS = blobs(8)


class Subclassed(keras.Model):
    def __init__(self, classes):
        super().__init__()
        self.last = layers.Dense(classes)

    def call(self, x):
        return self.last(x)


def without_input(classes):
    return keras.Sequential([layers.Dense(classes)])


def two_outputs(classes):
    model = mlp(classes=classes)
    return keras.Model(model.inputs, [*model.outputs, *model.outputs])


def begins(action, message):
    with pytest.raises(ValueError, match=message) as found:
        action()
    assert str(found.value).startswith("`")


@pytest.mark.filterwarnings("ignore:`teacher` must be trained")
@pytest.mark.parametrize("make", [Subclassed, without_input])
@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "predict", "train_on_batch", "__call__"]
)
def test_models_that_are_built_by_a_batch(make, method):
    distiller = keras_dts.Distiller(make(3), make(4))
    distiller.compile("sgd", crossentropy())
    data = (X,) if method in ("predict", "__call__") else (X, LABELS)
    begins(
        lambda: getattr(distiller, method)(*data),
        r"must have the same classes.*\(batch, 3\).*\(batch, 4\)",
    )


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (lambda: mlp(classes=4), "must have the same classes"),
        (lambda: two_outputs(3), "1 outputs of the teacher, 2 of the student"),
    ],
)
def test_models_that_say_their_inputs(student, message):
    begins(lambda: keras_dts.Distiller(mlp(), student()), message)


def test_inputs_that_cannot_be_selected():
    distiller = keras_dts.Distiller(
        Subclassed(3), Subclassed(3), teacher_inputs=lambda x: x.missing
    )
    distiller.compile("sgd", crossentropy())
    begins(
        lambda: distiller.fit(X, LABELS, verbose=0),
        r"`teacher_inputs` must return.*a function that failed: Attribute",
    )


def test_what_no_look_is_at_is_found_by_its_own_error():
    class Mine(keras_dts.losses.BatchLoss):
        def values(self, pair, temperatures):
            raise KeyError("mine")

    distiller = keras_dts.Distiller(mlp(), mlp(), Mine())
    distiller.compile("sgd", crossentropy())
    with pytest.raises(KeyError, match="mine"):
        distiller.fit(np.ones((4, 8)), LABELS[:4], verbose=0)
