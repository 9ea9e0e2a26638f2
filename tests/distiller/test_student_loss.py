"""The loss on labels, as the student's own `fit` computes it."""

import keras
import numpy as np
import pytest
from helpers import (
    crossentropy,
    logits_and_labels,
    mlp,
    number,
    randomize,
    two_replicas,
)
from keras import layers, ops
from scipy.special import log_softmax

from keras_dts.distiller.student_loss import StudentLoss
from keras_dts.logits import means

_, LOGITS, LABELS, _ = logits_and_labels((6, 3))
_, TOKENS, NEXT, _ = logits_and_labels((2, 4, 3), seed=1)
WEIGHTS = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 0.0], "float32")
PADDING = np.array([[1, 1, 0, 0], [2, 1, 1, 0]], "float32")


def tensors(*arrays):
    return [None if x is None else ops.convert_to_tensor(x) for x in arrays]


def student_loss(loss, model=None):
    """Returns the loss of a model that compiled `loss`."""
    model = mlp() if model is None else model
    model.compile("sgd", loss)
    return StudentLoss(model)


def values_of(logits, labels):
    log_probs = log_softmax(logits.astype("float64"), axis=-1)
    return -np.take_along_axis(log_probs, labels[..., None], -1)[..., 0]


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_examples_are_weighed_as_keras_weighs_them(weights):
    found = student_loss(crossentropy())(*tensors(LABELS, LOGITS, weights))
    values = values_of(LOGITS, LABELS)
    expected = np.mean(values * (1 if weights is None else weights))
    assert number(found) == pytest.approx(expected, rel=1e-6)


def test_tokens_of_weight_0_are_left_out_of_the_mean():
    found = student_loss(crossentropy())(*tensors(NEXT, TOKENS, PADDING))
    values = values_of(TOKENS, NEXT) * PADDING
    expected = np.sum(values) / np.sum(PADDING > 0)
    assert number(found) == pytest.approx(expected, rel=1e-6)


def test_each_output_is_masked_by_its_own_weights():
    inputs = keras.Input((2,))
    first, second = layers.Dense(3)(inputs), layers.Dense(3)(inputs)
    model = keras.Model(inputs, [first, second])
    loss = student_loss([crossentropy(), crossentropy()], model)
    y, outputs = tensors(LABELS, NEXT), tensors(LOGITS, TOKENS)
    values = values_of(TOKENS, NEXT) * PADDING
    expected = np.mean(values_of(LOGITS, LABELS) * WEIGHTS)
    expected += np.sum(values) / np.sum(PADDING > 0)
    found = loss(y, outputs, tensors(WEIGHTS, PADDING))
    assert number(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "labels"), [(None, LABELS), (crossentropy(), None), (None, None)]
)
def test_without_labels_or_a_loss_the_penalties_are_left(loss, labels):
    plain = student_loss(loss)
    assert number(plain(*tensors(labels, LOGITS, WEIGHTS))) == 0.0
    model = mlp(regularizer=keras.regularizers.L2(0.1))
    penalty = 0.1 * np.sum(model.get_weights()[0] ** 2)
    found = student_loss(loss, model)(*tensors(labels, LOGITS, WEIGHTS))
    assert number(found) == pytest.approx(penalty, rel=1e-6)


def test_penalties_count_once():
    model = mlp(regularizer=keras.regularizers.L2(0.1))
    penalty = 0.1 * np.sum(model.get_weights()[0] ** 2)
    loss = student_loss(crossentropy(), model)
    found = loss(*tensors(LABELS, LOGITS, None))
    expected = np.mean(values_of(LOGITS, LABELS)) + penalty
    assert number(found) == pytest.approx(expected, rel=1e-6)
    (found,) = means([loss.penalties()])[0]
    assert number(found) == pytest.approx(penalty, rel=1e-6)


def test_on_one_device_nothing_is_shared():
    loss = student_loss(crossentropy())
    assert loss.penalties() == []
    assert number(loss.for_keras(ops.convert_to_tensor(3.0))) == 3.0


@pytest.mark.tensorflow
def test_replicas_of_tensorflow_sum_their_gradients():
    import tensorflow as tf

    strategy = two_replicas()
    with strategy.scope():
        loss = student_loss(crossentropy())
    parts = strategy.experimental_local_results(
        strategy.run(loss.for_keras, (tf.constant(3.0),))
    )
    assert [float(x) for x in parts] == [1.5, 1.5]


def test_the_loss_is_that_of_the_students_own_fit():
    x = np.random.default_rng(2).normal(size=(6, 8)).astype("float32")
    model = randomize(mlp(regularizer="l2"), 3)
    loss = student_loss(crossentropy(), model)
    expected = model.evaluate(
        x, LABELS, sample_weight=WEIGHTS, verbose=0, batch_size=6
    )
    found = loss(*tensors(LABELS), model(x), *tensors(WEIGHTS))
    assert number(found) == pytest.approx(expected, rel=1e-6)
