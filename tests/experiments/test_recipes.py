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
    PROMPT_SETTINGS,
    SERIES_SETTINGS,
    methods_for,
    run_task,
)
from keras_dts.experiments.own_text import OWN_TEXT
from keras_dts.experiments.recipes import RECIPES, RandomTemperature
from keras_dts.experiments.text_task import Size

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
    names = [name for name in RECIPES if name not in OWN_TEXT]
    methods = methods_for(task, names)
    assert list(methods) == [LABELS[name] for name in names]
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
    trained = students[-len(names) :]
    for name, old, student in zip(names, before, trained, strict=True):
        assert not np.allclose(old[0], copies(student)[0], atol=1e-5), name
    # Two of them begin with the teacher's weights, all others alike.
    begin = dict(zip(names, before, strict=True))
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


@pytest.fixture(scope="module")
def spelling():
    """The task on spellings, of few words and small models."""
    words = np.array([f"wo{i}" for i in range(40)], object)
    phones = np.array([f"W AO {i}" for i in range(40)], object)
    part = {"prompts": words, "responses": phones}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            data,
            "load_instructions",
            lambda name: data.Instructions(part, part, part),
        )
        return dataclasses.replace(
            PROMPT_SETTINGS["g2p"],
            teacher=Size(layers=1, width=8, heads=2),
            student=Size(layers=1, width=4, heads=2),
            teacher_share=1.0,
            student_share=0.5,
            prompts_share=1.0,
            test_share=0.1,
            teacher_epochs=1,
            first_epochs=2,
            student_epochs=1,
            student_batch=20,
        ).task()


def test_prompts_are_what_comes_before_the_first_taught_token(spelling):
    x, y, weights = spelling.prompted(spelling.train)
    for row in range(20):
        taught = np.flatnonzero(weights[row])
        # The position before the first response token is the prompt's last.
        assert x["prompt_mask"][row].sum() == taught[0] + 1
        assert x["prompt_mask"][row][: taught[0] + 1].all()
        assert y[row][taught[-1]] == spelling.end_token_id
    (part_x, _, part), (_, _, rest) = spelling.split_train(0.8)
    assert (len(part), len(rest)) == (16, 4)
    np.testing.assert_array_equal(part_x["token_ids"], x["token_ids"][:16])


def test_own_text_is_compared_on_prompts(spelling, tmp_path):
    names = ["alone", "gkd", "distillm", "skd", "warmup", "okd"]
    found = run_task(
        spelling,
        methods_for(spelling, names),
        seeds=1,
        out=tmp_path,
        verbose=False,
    )
    assert spelling.counts == {"teacher": 40, "student": 20, "test": 4}
    values = [row.values[0] for row in found.rows]
    assert all(1 < value < 400 for value in values)
    assert len(set(values)) == len(values)
    # Students begin alike, with what the first epochs have taught.
    first, second = (copies(spelling.make_student()) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_methods_of_own_text_need_prompts(task):
    for method in methods_for(task, list(OWN_TEXT)).values():
        with pytest.raises(ValueError, match="`task` must have prompts for"):
            method(task.make_teacher(), task.make_student())
