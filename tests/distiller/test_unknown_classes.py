"""Outputs whose number of classes a run alone knows."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import crossentropy, randomize
from keras import layers, ops
from methods import LOSSES, POLICIES

import keras_dts

TOKENS = np.random.default_rng(0).integers(0, 20, (4, 6)).astype("int32")
STARTS = np.array([0, 3, 5, 2], "int32")


def pointer(width, seed, length=None):
    """A model that says at which token an answer begins."""
    inputs = keras.Input((length,), dtype="int32")
    x = layers.Embedding(20, width)(inputs)
    scores = layers.Dense(1)(x)
    outputs = layers.Lambda(lambda t: t[..., 0], output_shape=(length,))(scores)
    return randomize(keras.Model(inputs, outputs), seed)


class Retriever(keras.Model):
    """Compares each query with all documents of the batch."""

    def __init__(self, width, seed):
        super().__init__()
        self.side = layers.Dense(width)
        self.side.build((None, 6))
        self.built = True
        randomize(self, seed)

    def call(self, x):
        return ops.matmul(
            self.side(x["query"]), ops.transpose(self.side(x["document"]))
        )


def trained(teacher, student, data):
    distiller = keras_dts.Distiller(teacher, student, [keras_dts.losses.KD()])
    distiller.compile(
        keras.optimizers.SGD(0.1),
        crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=[keras_dts.metrics.TeacherKL()],
    )
    return distiller.fit(data, epochs=2, shuffle=False, verbose=0).history


def batches(x, y, specs):
    """Batches whose size and length TensorFlow does not know."""
    data = tf.data.Dataset.from_generator(
        lambda: ((x, y) for _ in range(2)),
        output_signature=(specs, tf.TensorSpec((None,), "int32")),
    )
    return data.apply(tf.data.experimental.assert_cardinality(2))


def same(logs, others):
    assert set(logs) == set(others)
    for name, values in logs.items():
        np.testing.assert_allclose(values, others[name], rtol=1e-4, atol=1e-5)


def test_an_answer_begins_at_one_of_some_tokens():
    data = batches(TOKENS, STARTS, tf.TensorSpec((None, None), "int32"))
    known = tf.data.Dataset.from_tensors((TOKENS, STARTS)).repeat(2)
    same(
        trained(pointer(8, 1), pointer(3, 2), data),
        trained(pointer(8, 1, 6), pointer(3, 2, 6), known),
    )


def test_the_classes_are_the_documents_of_the_batch():
    rng = np.random.default_rng(0)
    x = {
        name: rng.normal(size=(4, 6)).astype("float32")
        for name in ("query", "document")
    }
    y = np.arange(4, dtype="int32")
    data = batches(
        x, y, {name: tf.TensorSpec((None, 6), "float32") for name in x}
    )
    known = tf.data.Dataset.from_tensors((x, y)).repeat(2)
    same(
        trained(Retriever(8, 1), Retriever(3, 2), data),
        trained(Retriever(8, 1), Retriever(3, 2), known),
    )


EVERY = {f"loss {name}": make for name, make in LOSSES.items()} | {
    f"policy {name}": lambda make=make: keras_dts.losses.KD(make())
    for name, make in POLICIES.items()
    if name != "CTKD, per instance"
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", EVERY)
def test_losses_and_policies_need_no_number_of_classes(name):
    loss = EVERY[name]()
    # Else it would make one in the function.
    loss.temperature = loss.temperature or POLICIES["constant"]()
    logits = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")

    def value(teacher, student, labels):
        return loss.compute_loss(teacher, student, labels=labels)

    known = value(*logits, STARTS)
    unknown = tf.function(
        value,
        input_signature=[
            *[tf.TensorSpec((None, None))] * 2,
            tf.TensorSpec((None,), "int32"),
        ],
    )
    np.testing.assert_allclose(
        unknown(*logits, STARTS), known, rtol=1e-5, atol=1e-6
    )


def test_a_network_of_the_logits_needs_their_number():
    policy = keras_dts.temperatures.CurriculumTemperature(instance=True)
    with pytest.raises(ValueError, match=r"is known before a run.*None, 3"):
        policy.build((None, None), (None, 3))
