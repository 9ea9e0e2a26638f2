"""Runs of a demo: one teacher for all methods, kept until the run is done."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from helpers import blobs, mlp

import keras_dts
from keras_dts.experiments import IMAGE_SETTINGS, DemoTask, run_task
from keras_dts.experiments.runs import UNFINISHED, DamagedRunError
from keras_dts.experiments.task import compile_model

SETTING = dataclasses.replace(
    IMAGE_SETTINGS["digits"], data="blobs", teacher_epochs=2, student_epochs=2
)
METHODS = {"alone": lambda t, s: s, "KD": keras_dts.Distiller}


class Blobs(DemoTask):
    """A task that is trained in a moment, and counts trained teachers."""

    unit = "points"

    def __init__(self, setting=SETTING):
        data = blobs()
        super().__init__(setting, data, data, len(data[0]))
        self.trained = 0

    def teacher_data(self):
        return self.train

    def make_teacher(self):
        return mlp(16, seed=1)

    def make_student(self):
        return keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])

    def compile_for(self, model, rate, steps):
        compile_model(model, rate, steps, metrics=["accuracy"])

    def train_teacher(self, verbose):
        self.trained += 1
        return super().train_teacher(verbose)


def run(task, out, **options):
    options = {"seeds": 2, "verbose": False} | options
    return run_task(task, METHODS, out=out, **options)


def stop_at(training):
    """Callbacks that interrupt the run at this training."""
    begun = []

    def callbacks(method, seed):
        begun.append((method, seed))
        if len(begun) == training:
            raise KeyboardInterrupt
        return []

    return callbacks


def test_an_interrupted_run_is_resumed(tmp_path, capsys):
    whole = run(Blobs(), tmp_path / "whole")
    task, out = Blobs(), tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run(task, out, callbacks=stop_at(3))
    assert (out / UNFINISHED).is_dir()
    capsys.readouterr()
    found = run(task, out, verbose=True)
    assert task.trained == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(", done before")] == [
        "teacher, done before",
        "seed 1 of 2: alone, done before",
        "seed 1 of 2: KD, done before",
    ]
    assert found.teacher.values == whole.teacher.values
    for row, expected in zip(found.rows, whole.rows, strict=True):
        assert row.values == pytest.approx(expected.values, abs=1e-6)
    assert not (out / UNFINISHED).exists()


def test_the_teacher_is_compared_with_its_students(tmp_path):
    task = Blobs()
    teacher, _ = task.train_teacher(verbose=False)
    found = run(task, tmp_path, seeds=1)
    x, y = task.test
    accuracy = np.mean(teacher.predict(x, verbose=0).argmax(axis=-1) == y)
    assert found.teacher.values == [pytest.approx(accuracy, abs=1e-6)]
    assert found.teacher.parameters == 8 * 16 + 16 + 16 * 3 + 3
    assert [row.method for row in found.rows] == list(METHODS)


def test_the_files_of_another_task_are_deleted(tmp_path):
    changed = dataclasses.replace(SETTING, student_share=0.3)
    tasks = [Blobs(), Blobs(changed), Blobs(changed)]
    for task in tasks:
        with pytest.raises(KeyboardInterrupt):
            run(task, tmp_path, callbacks=stop_at(1))
    assert [task.trained for task in tasks] == [1, 1, 0]


@pytest.mark.parametrize(
    "damage", ['{"about": ', "[]", '{"teacher": 3}', "\x00"]
)
def test_a_damaged_note_is_named_with_what_to_do(tmp_path, damage):
    task = Blobs()
    with pytest.raises(KeyboardInterrupt):
        run(task, tmp_path, callbacks=stop_at(3))
    note = tmp_path / UNFINISHED / "run.json"
    note.write_text(damage)
    message = (
        rf"^`out` .*Received: '{re.escape(str(note))}', which cannot be read "
        rf".*Delete the folder '{re.escape(str(note.parent))}': the run begins"
    )
    with pytest.raises(DamagedRunError, match=message):
        run(task, tmp_path)
    # Nothing is deleted that somebody could still want.
    assert (tmp_path / UNFINISHED / "trainings.json").exists()
