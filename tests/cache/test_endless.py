"""Data that never end, and a part of them."""

import itertools

import grain
import numpy as np
import pytest
import tensorflow as tf
from caches import Pages, X, Y, cached, net

import keras_dts

TEACHER = net(16, 1)


class EndlessPages(Pages):
    @property
    def num_batches(self):
        return None

    def __getitem__(self, index):
        return super().__getitem__(index % 4)


def generator():
    for i in itertools.count():
        yield EndlessPages()[i]


ENDLESS = {
    "tf.data": lambda: (
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat()
    ),
    "PyDataset": EndlessPages,
    "Grain": lambda: grain.MapDataset.source(X).batch(16).repeat(),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_data_are_refused_before_the_teacher_runs(tmp_path, kind):
    path = tmp_path / "cache"
    with pytest.raises(ValueError, match=r"`steps` must say.*steps=None"):
        cached(TEACHER, ENDLESS[kind](), path)
    assert not path.exists()


@pytest.mark.parametrize("kind", [*ENDLESS, "a generator"])
def test_steps_take_a_part(tmp_path, kind):
    data = (ENDLESS | {"a generator": generator})[kind]
    cache = cached(TEACHER, data(), tmp_path, steps=2)
    assert len(cache) == 32
    inputs = cache.take(np.arange(32))[0].inputs
    np.testing.assert_array_equal(inputs, X[:32])
    assert cache.verify(TEACHER, data()) < 1e-5
    assert len(keras_dts.TeacherCache(tmp_path, data())) == 32


def test_another_part_is_another_cache(tmp_path):
    cached(TEACHER, generator(), tmp_path, steps=2)
    with pytest.raises(ValueError, match="made with steps=2, not 3"):
        cached(TEACHER, generator(), tmp_path, steps=3)


def test_data_that_end_too_early_are_refused_and_resumed(tmp_path):
    with pytest.raises(ValueError, match=r"Received: 4 batches, and steps=5"):
        cached(TEACHER, Pages(), tmp_path, steps=5)
    assert len(cached(TEACHER, EndlessPages(), tmp_path, steps=5)) == 66


@pytest.mark.parametrize(
    ("data", "steps", "message"),
    [
        (X, 2, "`steps` must be `None` if `data` are arrays"),
        (Pages(), 0, "`steps` must be"),
    ],
)
def test_steps_are_checked(tmp_path, data, steps, message):
    with pytest.raises(ValueError, match=message):
        cached(TEACHER, data, tmp_path, steps=steps)
