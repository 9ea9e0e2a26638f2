"""Trainings that cannot teach anything are warned of."""

import keras
import pytest
from helpers import blobs, crossentropy, mlp
from keras import layers

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
