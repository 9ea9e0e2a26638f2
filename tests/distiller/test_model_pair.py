"""The teacher and the student, built and checked together."""

import keras
import numpy as np
import pytest
from helpers import blobs, mlp, randomize
from keras import layers, ops
from keras.distillation import FeatureDistillation

from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.terms import Terms
from keras_dts.losses import KD
from keras_dts.temperatures import CurriculumTemperature, to_policy
from keras_dts.types import PreprocessedInputs

X, _ = blobs(examples=4)


def pair_of(teacher, student, losses=None, policy=None, inputs=(None, None)):
    """Returns a pair, and its terms."""
    terms = Terms([KD()] if losses is None else losses, teacher, student)
    shared = to_policy(4.0) if policy is None else policy
    policies = terms.policies_with(shared)
    pair = ModelPair(
        teacher, student, terms, policies, ("auto", "auto"), *inputs
    )
    return pair, terms


def array(x):
    return ops.convert_to_numpy(x)


class Counting(keras.Model):
    """A subclassed model that counts how often it runs."""

    def __init__(self, classes=3):
        super().__init__()
        self.dense = layers.Dense(classes)
        self.modes = []

    def call(self, x, training=None):
        self.modes.append(training)
        return self.dense(x)


def test_each_model_gets_its_own_input():
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    pair, _ = pair_of(
        teacher,
        student,
        inputs=(lambda x: x["teacher"], lambda x: 2.0 * x["student"]),
    )
    x = {"teacher": X, "student": X - 1}
    assert pair.teacher_input(x) is x["teacher"]
    np.testing.assert_array_equal(pair.student_input(x), 2 * (X - 1))
    np.testing.assert_array_equal(
        array(pair.teacher(x).outputs), array(teacher(X))
    )
    np.testing.assert_array_equal(
        array(pair.student(x, training=True).outputs),
        array(student(2 * (X - 1))),
    )


def test_without_functions_both_get_the_batch():
    pair, _ = pair_of(mlp(16), mlp())
    assert pair.teacher_input(X) is X
    assert pair.student_input(X) is X


def test_tokenized_inputs_are_those_of_each_model():
    pair, _ = pair_of(mlp(16), mlp(), inputs=(len, len))
    x = PreprocessedInputs("of the student", "of the teacher", ())
    assert pair.teacher_input(x) == "of the teacher"
    assert pair.student_input(x) == "of the student"


def test_models_are_built_and_checked_once():
    teacher, student = models = Counting(), Counting()
    for model in models:
        model(X)  # builds it, for which Keras runs it twice
        model.modes.clear()
    pair, terms = pair_of(teacher, student)
    assert not pair.is_ready
    assert pair.specs == ()
    for _ in range(3):
        pair.ensure_ready(X)
    assert pair.is_ready
    assert teacher.modes == student.modes == [False]
    (spec,) = pair.specs
    assert (spec.index, spec.student_classes) == (0, 3)
    (use,) = pair.uses
    assert use == (0, terms.losses_on_logits[0], (0,))
    # Only the student may run in training mode.
    pair.teacher(X)
    pair.student(X, training=True)
    assert (teacher.modes, student.modes) == ([False] * 2, [False, True])


def test_models_with_known_inputs_are_built_without_data():
    inputs = keras.Input((8,))
    student = randomize(
        keras.Model(
            inputs,
            {
                "b": layers.Dense(3)(inputs),
                "a": layers.Dense(5, activation="softmax")(inputs),
            },
        )
    )
    losses = [{"a": KD(), "b": None}, KD(2.0)]
    pair, terms = pair_of(keras.models.clone_model(student), student, losses)
    assert pair.build_symbolically() is True
    assert pair.is_ready
    assert [(s.index, s.student_kind.is_logits) for s in pair.specs] == [
        (0, False),
        (1, True),
    ]
    first, second = terms.losses_on_logits
    assert pair.uses == [(0, first, (0,)), (1, second, (0, 1))]
    keras.tree.assert_same_structure(pair.teacher_structure, {"a": 0, "b": 0})


@pytest.mark.parametrize("which", [0, 1])
def test_models_with_unknown_inputs_wait_for_data(which):
    models = [mlp(16), mlp()]
    models[which] = Counting()
    pair, _ = pair_of(*models)
    assert pair.build_symbolically() is False
    assert not pair.is_ready
    models[which](X)  # built, but by a call that says no input
    assert pair.build_symbolically() is False
    pair.ensure_ready(X)
    assert pair.is_ready


def test_what_depends_on_the_models_is_built_with_them():
    policy = CurriculumTemperature(instance=True)
    loss = FeatureDistillation("mse", "feat", "feat")
    pair, terms = pair_of(mlp(16), mlp(6), [KD(), loss], policy)
    assert not policy.built
    assert pair.build_symbolically()
    assert policy.built
    (projector,) = terms.projectors
    assert projector.dense.kernel.shape == (6, 16)


def test_features_come_with_the_outputs():
    teacher, student = mlp(seed=1), mlp(seed=2)
    loss = FeatureDistillation("mse", "feat", "out")
    pair, _ = pair_of(teacher, student, [loss])
    outputs, features = pair.teacher(X)
    assert list(features) == ["feat"]
    np.testing.assert_array_equal(
        array(features["feat"]), array(teacher.get_layer("feat")(X))
    )
    outputs, features = pair.student(X, training=False)
    np.testing.assert_array_equal(array(features["out"]), array(outputs))


def test_models_that_do_not_fit_are_refused_at_their_first_batch():
    teacher = Counting(4)
    teacher(X)
    pair, _ = pair_of(teacher, Counting(3))
    with pytest.raises(ValueError, match="must have the same classes"):
        pair.ensure_ready(X)
    assert not pair.is_ready
