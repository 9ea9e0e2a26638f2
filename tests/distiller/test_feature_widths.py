"""Losses on features of different widths: as they are, or projected."""

import keras
import numpy as np
import pytest
from helpers import crossentropy, randomize
from keras import layers, ops
from keras.distillation import FeatureDistillation

from keras_dts import Distiller

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6, 6, 3)).astype("float32")
Y = RNG.integers(0, 3, 8)


def net(width, seed, size=6):
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(width, 3, padding="same", name="feat")(inputs)
    outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
    return randomize(keras.Model(inputs, outputs), seed)


@keras.saving.register_keras_serializable(package="tests")
def attention(teacher, student):
    """Attention transfer: maps that are means over the channels."""

    def maps(features):
        flat = ops.reshape(ops.mean(features**2, axis=-1), (-1, 36))
        return flat / ops.sqrt(ops.sum(flat**2, axis=-1, keepdims=True))

    return ops.mean((maps(teacher) - maps(student)) ** 2, axis=-1)


class Attention(FeatureDistillation):
    """The same as a loss of its own class."""

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return attention(teacher_outputs, student_outputs)


def mean_of_squares(teacher, student):
    return ops.mean((teacher - student) ** 2, axis=-1)


def distiller(loss, widths=(8, 4)):
    teacher, student = net(widths[0], 1), net(widths[1], 2)
    model = Distiller(teacher, student, loss)
    model.compile(keras.optimizers.SGD(0.0), crossentropy())
    return model


def attention_by_hand(model):
    def maps(one):
        features = keras.Model(one.input, one.get_layer("feat").output)
        found = features.predict(X, verbose=0).astype("float64")
        flat = (found**2).mean(axis=-1).reshape(8, -1)
        return flat / np.linalg.norm(flat, axis=-1, keepdims=True)

    apart = maps(model.teacher) - maps(model.student)
    return (apart**2).mean()


def projected(model):
    """Returns how many weights of the projectors train."""
    return sum("projector" in w.path for w in model.trainable_weights)


@pytest.mark.parametrize("kind", [FeatureDistillation, Attention])
def test_a_loss_that_takes_both_widths_gets_them_as_they_are(kind):
    model = distiller(kind(attention, "feat", "feat"))
    assert projected(model) == 0
    logs = model.fit(X, Y, verbose=0).history
    expected = attention_by_hand(model)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-4)
    # Nothing is built, and thus tried, anew in each step.
    assert model._models.is_ready


def test_a_saved_distiller_compares_as_before(tmp_path):
    model = distiller(FeatureDistillation(attention, "feat", "feat"))
    model.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    logs = loaded.fit(X, Y, verbose=0).history
    assert projected(loaded) == 0
    expected = attention_by_hand(model)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", ["mse", mean_of_squares])
@pytest.mark.parametrize("widths", [(8, 4), (8, 1), (1, 4)])
def test_a_loss_that_compares_one_by_one_gets_a_projector(loss, widths):
    model = distiller(FeatureDistillation(loss, "feat", "feat"), widths)
    assert projected(model) == 2
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"][0])


def test_features_of_other_sizes_need_a_loss_that_takes_them():
    def smaller(width):
        inputs = keras.Input((6, 6, 3))
        x = layers.Conv2D(width, 3, name="feat")(inputs)
        outputs = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, outputs)

    def means(teacher, student):
        return mean_of_squares(
            ops.mean(teacher, axis=(1, 2)), ops.mean(student, axis=(1, 2))
        )

    message = "must name layers whose outputs differ in the last axis at most"
    with pytest.raises(ValueError, match=message):
        Distiller(
            net(4, 1), smaller(4), FeatureDistillation("mse", "feat", "feat")
        )
    loss = FeatureDistillation(means, "feat", "feat")
    assert projected(Distiller(net(4, 1), smaller(4), loss)) == 0
