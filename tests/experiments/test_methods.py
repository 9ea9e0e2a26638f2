"""The methods of the command: their names, their state, their trainings."""

import re

import keras
import numpy as np
from helpers import blobs, crossentropy, mlp

import keras_dts
from keras_dts.experiments import LABELS, METHODS

X, Y = blobs()


def test_names_and_labels_are_unique_and_fit_into_the_help():
    assert len(set(LABELS.values())) == len(LABELS)
    for name, label in LABELS.items():
        assert re.fullmatch("[a-z0-9-]+", name)
        assert len(name) <= 13, "the width of the help's column"
        # The columns of the table are three spaces apart.
        assert "  " not in label


def test_a_method_makes_new_losses_and_temperatures_each_time():
    teacher = mlp(16, seed=1)
    for name, (_, method) in METHODS.items():
        if name != "alone":
            one, other = (method(teacher, mlp(seed=s)) for s in (2, 3))
            assert one.temperature is not other.temperature, name
            for loss in one.distillation_losses:
                assert loss not in other.distillation_losses, name


def test_every_method_trains_the_student_and_not_the_teacher():
    teacher = mlp(16, seed=1)
    before = teacher.get_weights()
    students = []

    def make_student():
        students.append(mlp(seed=2))
        return students[-1]

    keras_dts.compare(
        teacher,
        make_student,
        dict(METHODS.values()),
        (X, Y),
        (X, Y),
        compile=lambda model: model.compile(
            keras.optimizers.SGD(0.1), crossentropy(), metrics=["accuracy"]
        ),
        epochs=1,
        seeds=1,
        verbose=False,
    )
    untrained, *_ = mlp(seed=2).get_weights()
    for name, student in zip(METHODS, students[-len(METHODS) :], strict=True):
        assert not np.allclose(
            student.get_weights()[0], untrained, atol=1e-4
        ), name
    for one, other in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
