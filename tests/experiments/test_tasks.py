"""The demo's tasks: parts of the data, and models that train on them."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops
from texts import LABELS, SENTENCES, bert, gpt2

import keras_dts
from keras_dts import data
from keras_dts.experiments import TEXT_SETTINGS, run_task
from keras_dts.experiments.image_task import _augmented
from keras_dts.experiments.task import stratified
from keras_dts.experiments.text_task import Size
from keras_dts.hub import shuffle_like_keras


def test_augmented_images_are_the_images_and_similar_ones():
    images = data.load("digits").x_train[:8]
    seen = _augmented(images, 3).reshape(3, *images.shape)
    np.testing.assert_array_equal(seen[0], images)
    for moved, other in ((seen[1], seen[2]), (seen[2], seen[1])):
        assert moved.min() >= 0
        assert moved.max() <= 1
        assert not np.allclose(moved, other, atol=0.01)
        # Most are nearest to the image that they are copies of.
        distances = np.abs(moved[:, None] - images).mean(axis=(2, 3, 4))
        assert np.mean(distances.argmin(axis=1) == range(8)) > 0.5


def test_a_stratified_part_has_its_share_of_each_class():
    labels = np.repeat([3, 7, 9], [50, 100, 3])
    part = stratified(labels, 0.2)
    assert len(set(part)) == len(part)
    np.testing.assert_array_equal(
        np.unique_counts(labels[part]), [[3, 7, 9], [10, 20, 1]]
    )
    np.testing.assert_array_equal(part, stratified(labels, 0.2))
    np.testing.assert_array_equal(
        stratified(labels, 1.0), np.arange(len(labels))
    )


TEXTS = np.array([f"{s} {i}" for i in range(12) for s in SENTENCES], object)
SMALL = {
    "teacher": Size(layers=1, width=8, heads=2),
    "teacher_epochs": 1,
    "teacher_share": 0.5,
    "student": Size(layers=1, width=4, heads=2),
    "student_epochs": 1,
    "student_share": 0.25,
    "test_share": 0.5,
    "length": 16,
    "vocabulary": 300,
}


@pytest.fixture(params=TEXT_SETTINGS)
def text_task(request, monkeypatch):
    """A small task on few texts, in the place of the data set."""
    loaded = []

    def load(name):
        loaded.append(name)
        labels = np.tile(LABELS, 12)
        return data.Splits(TEXTS[:40], labels[:40], TEXTS[40:], labels[40:], 2)

    def load_corpus(name):
        loaded.append(name)
        return data.Corpus(TEXTS[:40], TEXTS[40:])

    monkeypatch.setattr(data, "load", load)
    monkeypatch.setattr(data, "load_corpus", load_corpus)
    setting = dataclasses.replace(TEXT_SETTINGS[request.param], **SMALL)
    task = setting.task()
    assert loaded == [setting.data]
    return task


def test_texts_are_split_into_parts_of_their_shares(text_task):
    parts = [text_task.teacher_data()[0], text_task.train[0], text_task.test[0]]
    assert [len(part) for part in parts] == [20, 10, 4]
    assert list(text_task.counts.values()) == [20, 10, 4]
    teachers, students, tests = (set(part) for part in parts)
    assert students < teachers
    assert not tests & teachers


def test_methods_are_compared_on_texts(text_task, tmp_path):
    methods = {"KD": keras_dts.Distiller}
    found = run_task(text_task, methods, seeds=1, out=tmp_path, verbose=False)
    teacher, (student,) = found.teacher, found.rows
    values = *teacher.values, *student.values
    if text_task.setting.language_model:
        assert found.label == "test perplexity"
        # One over the probability of a token: at most a little above chance.
        assert all(1 < value < 400 for value in values)
    else:
        assert found.label == "test accuracy (%)"
        assert all(0 <= value <= 1 for value in values)
    assert teacher.parameters > student.parameters


def test_tokens_of_a_task_are_shuffled_as_arrays_are():
    """KerasHub's `fit` takes them in their order, with a warning or without."""
    task = gpt2()
    task.preprocessor = None
    ids = np.arange(3, 35, dtype="int32").reshape(32, 1)
    options = {"x": {"token_ids": ids, "padding_mask": ids > 0}, "y": ids}
    shuffle_like_keras(task, options)
    assert options.pop("shuffle") is False
    seen = [ops.convert_to_numpy(batch[1]) for batch in options.pop("x")]
    assert options == {}
    seen = np.concatenate(seen).ravel()
    assert sorted(seen) == ids.ravel().tolist() != seen.tolist()


def test_the_student_alone_gets_the_strings_in_the_same_order():
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
