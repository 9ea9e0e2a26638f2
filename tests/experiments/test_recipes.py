"""Methods that bring callbacks, an optimizer or data of their own."""

import dataclasses

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, mlp
from keras import ops

import keras_dts
from keras_dts import data
from keras_dts.experiments import (
    LABELS,
    SERIES_SETTINGS,
    methods_for,
    run_task,
)
from keras_dts.experiments.recipes import RECIPES, RandomTemperature

X, Y = blobs()


class Notes(keras.callbacks.Callback):
    """Notes what the training has."""

    def on_epoch_end(self, epoch, logs=None):
        self.logs = dict(logs)
        self.optimizer = self.model.optimizer
        self.steps = self.params["steps"]


def test_a_recipe_brings_callbacks_optimizer_and_data():
    notes = [Notes(), Notes()]
    students = []

    def make_student():
        students.append(mlp(seed=1))
        return students[-1]

    def half_as_fast(optimizer):
        rates = keras_dts.optimizers.LayerRates(optimizer)
        rates.set_multipliers([(students[-1].weights[0], 0.5)])
        return rates

    def method(teacher, student):
        return keras_dts.Recipe(
            keras_dts.Distiller(teacher, student),
            callbacks=[notes[0]],
            optimizer=half_as_fast,
            train=(X[:16], Y[:16]),
            validation_data=(X[16:], Y[16:]),
        )

    found = keras_dts.compare(
        mlp(16, seed=1),
        make_student,
        {"this": method},
        (X, Y),
        (X, Y),
        compile=lambda model: model.compile(
            keras.optimizers.SGD(0.1), crossentropy(), metrics=["accuracy"]
        ),
        epochs=1,
        batch_size=8,
        seeds=1,
        callbacks=lambda method, seed: [notes[1]],
        verbose=False,
    )
    for note in notes:
        assert note.steps == 2
        assert "val_accuracy" in note.logs
        np.testing.assert_array_equal(note.optimizer.multipliers[:2], [0.5, 1])
    student = students[-1]
    assert found.rows[0].values == [
        pytest.approx(np.mean(student.predict(X, verbose=0).argmax(-1) == Y))
    ]


@pytest.fixture
def task(monkeypatch):
    """The task on time series, of short ones and few."""
    x = np.stack([X, X[:, ::-1]], axis=-1)
    monkeypatch.setattr(
        data, "load", lambda name: data.Splits(x, Y, x[:8], Y[:8], 3)
    )
    return dataclasses.replace(
        SERIES_SETTINGS["osu_leaf"],
        filters=(8, 8),
        units=8,
        teacher_epochs=1,
        student_epochs=2,
    ).task()


def test_the_parts_of_the_training_data_are_all_of_it(task):
    (x, y), (rest_x, rest_y) = task.split_train(0.8)
    assert np.bincount(y).tolist() == [
        round(0.8 * n) for n in np.bincount(Y).tolist()
    ]
    both = np.concatenate([x, rest_x])
    assert len(both) == len(X)
    assert {row.tobytes() for row in both} == {
        row.tobytes() for row in task.train[0]
    }
    assert len(rest_x) == len(rest_y)


def test_every_recipe_trains_the_student_and_not_the_teacher(task, tmp_path):
    students = []
    make_student = task.make_student

    def kept():
        students.append(make_student())
        return students[-1]

    task.make_student = kept
    methods = methods_for(task, list(RECIPES))
    assert list(methods) == [LABELS[name] for name in RECIPES]
    before = []

    def callbacks(method, seed):
        before.append(copies(students[-1]))
        return []

    found = run_task(
        task,
        methods,
        seeds=1,
        out=tmp_path,
        callbacks=callbacks,
        verbose=False,
    )
    assert found.teacher.parameters == found.rows[0].parameters
    trained = students[-len(RECIPES) :]
    for name, old, student in zip(RECIPES, before, trained, strict=True):
        assert not np.allclose(old[0], copies(student)[0], atol=1e-5), name
    # Two of them begin with the teacher's weights, all others alike.
    begin = dict(zip(RECIPES, before, strict=True))
    for name, weights in begin.items():
        taught = name in ("continued", "ssd")
        same = begin["ssd" if taught else "mkd"]
        np.testing.assert_array_equal(weights[0], same[0], err_msg=name)
    assert not np.allclose(begin["ssd"][0], begin["mkd"][0])


def test_a_method_of_one_shape_alone_is_refused_before_all_trainings(tmp_path):
    settings = keras_dts.experiments.IMAGE_SETTINGS["digits"]
    setting = dataclasses.replace(
        settings, teacher_filters=(), teacher_copies=1, teacher_epochs=1
    )
    image_task = setting.task()
    with pytest.raises(ValueError, match="needs features of the same size"):
        run_task(
            image_task,
            methods_for(image_task, ["alone", "ssd"]),
            seeds=1,
            out=tmp_path,
            verbose=False,
        )
    content = (tmp_path / "unfinished").iterdir()
    assert "trainings.json" not in [path.name for path in content]


def test_random_temperatures_are_those_of_the_released_agent():
    policy = RandomTemperature()
    logits = ops.zeros((20_000, 3))
    drawn = ops.convert_to_numpy(policy(logits, logits).teacher)
    assert drawn.shape == (20_000,)
    assert drawn.mean() == pytest.approx(7.1, abs=0.1)
    assert drawn.std() == pytest.approx(1.2, abs=0.1)
    again = ops.convert_to_numpy(policy(logits, logits).teacher)
    assert not np.allclose(drawn, again)
