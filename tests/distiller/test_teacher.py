"""Where the teacher's outputs come from: the teacher, or a cache."""

import types

import keras
import numpy as np
import pytest
from helpers import blobs, copies, moved, randomize
from keras import layers, ops
from scipy.special import expit, log_softmax, softmax

from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.teacher import (
    CachedTeacher,
    LiveTeacher,
    TeacherSource,
)
from keras_dts.distiller.terms import Terms
from keras_dts.losses import KD
from keras_dts.types import CachedBatch

X, _ = blobs(examples=4)
LOGITS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
NOTHING = (None, None)


class Restless(layers.Layer):
    """A layer that changes its state in every mode."""

    def build(self, shape):
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="count"
        )

    def call(self, x):
        self.count.assign_add(1.0)
        return x + self.count


def model(activation=None, classes=3, seed=0):
    inputs = keras.Input((8,))
    x = layers.BatchNormalization()(Restless()(inputs))
    x = layers.Dropout(0.5)(x)
    x = layers.Dense(classes, activation=activation)(x)
    return randomize(keras.Model(inputs, x), seed)


def pair_of(teacher, student):
    terms = Terms([KD(2.0)], teacher, student)
    pair = ModelPair(
        teacher, student, terms, list(terms.policies), ("auto",) * 2, *NOTHING
    )
    assert pair.build_symbolically()
    return pair


def distiller_of(teacher, student):
    """Stands for a distiller: its teacher, and the variables of a state."""
    both = [teacher, student]
    return types.SimpleNamespace(
        teacher=teacher,
        trainable_variables=[v for m in both for v in m.trainable_variables],
        non_trainable_variables=[
            v for m in both for v in m.non_trainable_variables
        ],
    )


def test_a_live_teacher_runs_for_inference_and_changes_nothing():
    teacher, student = model(seed=1), model(seed=2)
    live = LiveTeacher(
        pair_of(teacher, student), distiller_of(teacher, student)
    )
    before = copies(teacher)
    found = [ops.convert_to_numpy(live(X, None, None).outputs) for _ in "ab"]
    assert moved(teacher, before) == 0.0
    np.testing.assert_array_equal(*found)
    kernel, bias = teacher.layers[-1].get_weights()
    gamma, beta, mean, variance = teacher.layers[-3].get_weights()
    normal = (X + 1 - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(
        found[0], normal @ kernel + bias, rtol=1e-4, atol=1e-5
    )


@pytest.mark.torch
def test_nothing_is_recorded_of_a_live_teacher():
    teacher, student = model(seed=1), model(seed=2)
    live = LiveTeacher(
        pair_of(teacher, student), distiller_of(teacher, student)
    )
    assert not live(X, None, None).outputs.requires_grad
    assert teacher(X).requires_grad


def test_a_live_teacher_takes_its_values_from_the_state():
    teacher, student = model(seed=1), model(seed=2)
    distiller = distiller_of(teacher, student)
    live = LiveTeacher(pair_of(teacher, student), distiller)
    state = [
        [ops.zeros_like(v.value) for v in distiller.trainable_variables],
        [ops.ones_like(v.value) for v in distiller.non_trainable_variables],
    ]
    before = copies(teacher)
    found = ops.convert_to_numpy(live(X, state, None).outputs)
    np.testing.assert_array_equal(found, np.zeros((4, 3)))
    assert moved(teacher, before) == 0.0
    found = ops.convert_to_numpy(live(X, None, None).outputs)
    assert np.max(np.abs(found)) > 0.1


@pytest.mark.parametrize(
    ("activation", "classes", "stored", "expected"),
    [
        (None, 3, LOGITS, LOGITS),
        ("softmax", 3, log_softmax(LOGITS, -1), softmax(LOGITS, -1)),
        ("sigmoid", 1, LOGITS[:, :1], expit(LOGITS[:, :1])),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_cached_teacher_returns_what_the_teacher_returns(
    activation, classes, stored, expected, dtype
):
    teacher, student = (model(activation, classes, seed=s) for s in (1, 2))
    cached = CachedTeacher(pair_of(teacher, student), teacher)
    output = ops.convert_to_tensor(stored.astype(dtype))
    features = {"layer": ops.ones((4, 2))}
    found = cached(CachedBatch(X, (output,), {}, features))
    assert keras.backend.standardize_dtype(found.outputs.dtype) == "float32"
    np.testing.assert_allclose(
        ops.convert_to_numpy(found.outputs),
        expected,
        rtol=1e-5 if dtype == "float32" else 3e-3,
    )
    assert found.features is features
    assert found.classes == [None]
    assert found.overlap is None


def test_top_classes_of_a_softmax_stay_log_probabilities():
    teacher, student = (model("softmax", 5, seed=s) for s in (1, 2))
    cached = CachedTeacher(pair_of(teacher, student), teacher)
    log_probs = ops.convert_to_tensor(log_softmax(LOGITS, -1))
    classes = ops.convert_to_tensor(np.zeros((4, 2), "int32"))
    found = cached(CachedBatch(X, (log_probs,), {"0": classes}, {}))
    np.testing.assert_array_equal(
        *map(ops.convert_to_numpy, (found.outputs, log_probs))
    )
    assert found.classes[0] is classes


def test_cached_outputs_get_the_structure_of_the_teachers():
    def two(seed):
        inputs = keras.Input((8,))
        outputs = {k: layers.Dense(3, name=k)(inputs) for k in ("b", "a")}
        return randomize(keras.Model(inputs, outputs), seed)

    teacher, student = two(1), two(2)
    source = TeacherSource(
        pair_of(teacher, student), distiller_of(teacher, student)
    )
    live = source.outputs(X)
    assert sorted(live.outputs) == ["a", "b"]
    flat = tuple(keras.tree.flatten(live.outputs))
    cached = source.outputs(CachedBatch(X, flat, {}, {}))
    assert sorted(cached.outputs) == ["a", "b"]
    for name in "ab":
        np.testing.assert_array_equal(
            *(ops.convert_to_numpy(x.outputs[name]) for x in (live, cached))
        )


def test_a_cached_batch_does_not_run_the_teacher():
    teacher, student = model(seed=1), model(seed=2)
    source = TeacherSource(
        pair_of(teacher, student), distiller_of(teacher, student)
    )
    output = ops.convert_to_tensor(LOGITS)
    # The inputs are none that the teacher could take.
    found = source.outputs(CachedBatch("anything", (output,), {}, {}))
    np.testing.assert_array_equal(ops.convert_to_numpy(found.outputs), LOGITS)
