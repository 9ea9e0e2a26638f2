"""The demos on texts, run small, and what they rest on."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from texts import LABELS, SENTENCES, bert

import keras_dts
from keras_dts import cli
from keras_dts.experiments import text_task as text_tasks

SMALL = {
    "teacher": text_tasks.Size(layers=1, width=8, heads=2),
    "teacher_share": 0.02,
    "student": text_tasks.Size(layers=1, width=4, heads=2),
    "student_share": 0.01,
    "test_share": 0.05,
    "length": 16,
    "vocabulary": 400,
}


@pytest.mark.parametrize("task", text_tasks.TEXT_SETTINGS)
def test_a_demo_on_texts(task, tmp_path, monkeypatch, capsys):
    setting = dataclasses.replace(text_tasks.TEXT_SETTINGS[task], **SMALL)
    monkeypatch.setitem(text_tasks.TEXT_SETTINGS, task, setting)
    options = f"--task {task} --epochs 1 --seeds 1 --out {tmp_path}"
    assert cli.main(["demo", *options.split()]) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    methods = [row["method"] for row in results["rows"]]
    low = setting.temperature
    assert methods == [
        "student alone",
        f"KD, temperature {low:g}",
        f"DTS, temperature {2 * low:g} to {low:g}",
    ]
    assert results["teacher"]["parameters"] > results["rows"][0]["parameters"]
    if task == "text":
        assert results["mails"] == {"teacher": 95, "student": 47, "test": 59}
        assert "test accuracy (%)" in printed
        assert all(0 <= row["values"][0] <= 1 for row in results["rows"])
    else:
        assert results["passages"] == {
            "teacher": 270,
            "student": 135,
            "test": 74,
        }
        assert "test perplexity" in printed
        # One over the probability of a token: at most a little above chance.
        assert all(1 < row["values"][0] < 500 for row in results["rows"])


def test_images_are_chosen_for_images_only(tmp_path, capsys):
    options = ["--task", "text", "--data", "digits", "--out", str(tmp_path)]
    assert cli.main(["demo", *options]) == 1
    assert "--task text has its own data" in capsys.readouterr().err


@pytest.mark.parametrize("task", text_tasks.TEXT_SETTINGS)
def test_students_see_a_part_and_the_test_is_apart(task):
    made = dataclasses.replace(
        text_tasks.TEXT_SETTINGS[task], vocabulary=300
    ).task()
    parts = [made.teacher_data()[0], made.train[0], made.test[0]]
    assert [len(part) for part in parts] == list(made.counts.values())
    teachers, students, tests = (set(part) for part in parts)
    assert students < teachers
    assert not tests & teachers


def test_alone_sees_the_strings_in_the_same_order():
    """With all weight on the labels, a distiller is the student alone."""
    students = []

    def make_student():
        students.append(bert(seed=2))
        return students[-1]

    keras_dts.compare(
        bert(16, seed=1),
        make_student,
        {
            "alone": lambda t, s: s,
            "labels": lambda t, s: keras_dts.Distiller(
                t, s, student_loss_weight=1.0
            ),
        },
        (SENTENCES, LABELS),
        (SENTENCES, LABELS),
        compile=lambda model: model.compile(
            keras.optimizers.SGD(0.1),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        ),
        epochs=3,
        batch_size=1,
        seeds=1,
        verbose=False,
    )
    alone, labels = (s.get_weights() for s in students[-2:])
    for one, other in zip(alone, labels, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
