"""Several distillers with one teacher: each trains as if it were alone."""

import threading

import keras
import numpy as np
import pytest
from helpers import assert_same, copies, crossentropy, mlp, moved, randomize
from keras import layers
from keras.distillation import FeatureDistillation

from keras_dts import Distiller
from keras_dts.losses import KD

WORDS, STEPS, REPEATS = 11, 12, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 8)).astype("float32")
Y = RNG.integers(0, 3, 16).astype("int32")
TOKENS = RNG.integers(1, WORDS, (3, 5)).astype("int32")
NEXT = RNG.integers(0, WORDS, (3, 5)).astype("int32")


def writer(width=6, seed=0):
    """A language model whose last layer is `out`."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(WORDS, width)(inputs)
    x = layers.Dense(width, activation="tanh", name="feat")(x)
    x = layers.Dense(WORDS, name="out")(x)
    return randomize(keras.Model(inputs, x), seed)


def features(path="feat"):
    return [KD(), FeatureDistillation("mse", path, path)]


def of_features(teacher, seed):
    return compiled(Distiller(teacher, writer(seed=seed), features()))


def of_the_last_layer(teacher, seed):
    return compiled(Distiller(teacher, writer(seed=seed), features("out")))


def in_chunks(teacher, seed):
    return compiled(Distiller(teacher, writer(seed=seed), chunk_size=4))


def compiled(distiller):
    distiller.compile(keras.optimizers.SGD(0.1), crossentropy())
    return distiller


def step(distiller):
    logs = distiller.train_on_batch(TOKENS, NEXT, return_dict=True)
    return [float(logs[name]) for name in sorted(logs)]


def alone(make, seed):
    """Returns the logs of each step, and the student's weights at the end."""
    distiller = make(writer(seed=1), seed)
    logs = [step(distiller) for _ in range(STEPS)]
    return logs, copies(distiller.student)


def in_threads(distillers):
    """Trains each distiller in a thread of its own, step by step at once."""
    barrier = threading.Barrier(len(distillers))
    logs, errors = [[] for _ in distillers], []

    def train(distiller, mine):
        try:
            for _ in range(STEPS):
                barrier.wait()
                mine.append(step(distiller))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [
        threading.Thread(target=train, args=pair)
        for pair in zip(distillers, logs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return logs


@pytest.mark.torch
@pytest.mark.parametrize(
    "pair",
    [
        (of_features, of_features),
        (of_features, in_chunks),
        (of_the_last_layer, in_chunks),
    ],
)
def test_threads_that_share_a_teacher_train_as_one_after_the_other(pair):
    expected = [alone(make, seed) for seed, make in enumerate(pair)]
    for _ in range(REPEATS):
        teacher = writer(seed=1)
        before = copies(teacher)
        distillers = [make(teacher, seed) for seed, make in enumerate(pair)]
        found = in_threads(distillers)
        for distiller, logs, (theirs, weights) in zip(
            distillers, found, expected, strict=True
        ):
            np.testing.assert_allclose(logs, theirs, rtol=1e-6)
            assert_same(copies(distiller.student), weights, rtol=1e-6)
        assert moved(teacher, before) == 0.0
        for layer in teacher.layers:
            assert "call" not in vars(layer)


def test_distillers_that_take_turns_train_as_alone():
    makers = (of_features, in_chunks, of_the_last_layer)
    expected = [alone(make, seed) for seed, make in enumerate(makers)]
    teacher = writer(seed=1)
    distillers = [make(teacher, seed) for seed, make in enumerate(makers)]
    logs = [[] for _ in distillers]
    for _ in range(STEPS):
        for distiller, mine in zip(distillers, logs, strict=True):
            mine.append(step(distiller))
    for distiller, found, (theirs, weights) in zip(
        distillers, logs, expected, strict=True
    ):
        np.testing.assert_allclose(found, theirs, rtol=1e-5)
        assert_same(copies(distiller.student), weights, rtol=1e-5, atol=1e-6)


def test_a_student_may_be_the_teacher_of_another_distiller():
    def chain():
        first = mlp(seed=2)
        return first, [
            compiled(Distiller(mlp(seed=1), first, features())),
            compiled(Distiller(first, mlp(seed=3), features())),
        ]

    first, (taught, teaching) = chain()
    for _ in range(3):
        taught.train_on_batch(X, Y)
        before = copies(first)
        teaching.train_on_batch(X, Y)
        assert moved(first, before) == 0.0
    alone_first, (taught, _) = chain()
    for _ in range(3):
        taught.train_on_batch(X, Y)
    assert_same(copies(first), copies(alone_first), rtol=1e-6)
