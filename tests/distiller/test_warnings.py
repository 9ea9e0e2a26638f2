"""Trainings that cannot teach anything are warned of."""

import keras
import pytest
from helpers import blobs, crossentropy, mlp
from keras import layers, ops

from keras_dts import Distiller

X, Y = blobs()


def said(recwarn):
    return [str(w.message) for w in recwarn if w.category is UserWarning]


def frozen_student(which):
    student = mlp(seed=2, name="student")
    if which == "unbuilt":
        student = keras.Sequential([layers.Dense(3)], name="student")
    parts = student.layers if which == "every layer" else [student]
    for part in parts:
        part.trainable = False
    return student


@pytest.mark.parametrize("which", ["whole", "every layer", "unbuilt"])
def test_a_frozen_student(which):
    message = "`student` has no weights that train: 'student' is frozen"
    with pytest.warns(UserWarning, match=message):
        Distiller(mlp(16, seed=1), frozen_student(which))


def test_a_student_that_is_partly_frozen_is_none(recwarn):
    student = mlp(seed=2)
    student.layers[1].trainable = False
    Distiller(mlp(16, seed=1), student)
    assert said(recwarn) == []


def test_weights_that_are_all_0(recwarn):
    def distiller(**kwargs):
        Distiller(mlp(16, seed=1), mlp(seed=2), **kwargs)

    schedule = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    distiller(student_loss_weight=0)
    distiller(distillation_loss_weights=0.0)
    distiller(distillation_loss_weights=schedule, student_loss_weight=0.0)
    assert said(recwarn) == []
    distiller(distillation_loss_weights=0.0, student_loss_weight=0)
    (message,) = said(recwarn)
    assert (
        "`student_loss_weight` and all `distillation_loss_weights`" in message
    )


def test_a_teacher_whose_weights_are_random(recwarn):
    teacher = keras.Sequential(
        [layers.Dense(5), layers.Dense(3)], name="unbuilt"
    )
    distiller = Distiller(teacher, mlp(seed=2))
    distiller.compile("sgd", crossentropy())
    for _ in range(2):
        distiller.fit(X, Y, verbose=0)
    (message,) = said(recwarn)
    assert message.startswith("`teacher` must be trained, but 'unbuilt' was no")
    assert "4 of its weights are random" in message


ROUNDED = {
    ("float16", "softmax", 3): "float16, where those below 6e-8 are 0",
    ("float16", "sigmoid", 1): "float16, where those above 0.9998 are 1",
    ("bfloat16", "sigmoid", 1): "bfloat16, where those above 0.998 are 1",
    # Its exponents are those of float32.
    ("bfloat16", "softmax", 3): None,
    ("float32", "softmax", 3): None,
    ("float16", None, 3): None,
}


@pytest.mark.parametrize("kind", ROUNDED)
def test_a_teacher_that_rounds_its_probabilities(recwarn, kind):
    dtype, activation, classes = kind
    inputs = keras.Input((8,))
    last = layers.Dense(classes, activation=activation, dtype=dtype)
    teacher = keras.Model(inputs, last(inputs), name="half")
    distiller = Distiller(teacher, mlp(classes=classes, seed=2))
    distiller.compile("sgd", crossentropy() if classes > 1 else "mse")
    if classes > 1:
        for _ in range(2):
            distiller.fit(X, Y, verbose=0)
    expected = ROUNDED[kind]
    if expected is None:
        assert said(recwarn) == []
    else:
        (message,) = said(recwarn)
        assert message.startswith("`teacher` should not round its prob")
        assert f"but 'half' returns them in {expected}," in message
        assert '`dtype="float32"`' in message


def test_what_the_dtypes_of_half_precision_round():
    def kept(value, dtype):
        return float(ops.cast(ops.convert_to_tensor(value), dtype))

    assert kept(2e-8, "float16") == 0.0 < kept(6e-8, "float16")
    assert kept(0.9997, "float16") < 1.0 == kept(0.9998, "float16")
    assert kept(0.9979, "bfloat16") < 1.0 == kept(0.9985, "bfloat16")


def augmenting():
    inputs = keras.Input((8,))
    x = layers.Reshape((2, 4, 1))(inputs)
    flip = keras.Sequential([layers.RandomFlip(), layers.RandomContrast(0.5)])
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(flip(x))))


def test_a_student_that_augments_its_inputs(recwarn):
    Distiller(augmenting(), mlp())  # runs for inference
    assert said(recwarn) == []
    message = "augments its inputs by RandomFlip, RandomContrast, and learns"
    with pytest.warns(UserWarning, match=message):
        Distiller(mlp(), augmenting())
