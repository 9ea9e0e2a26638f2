"""Trainings on raw strings that the tests of text models share."""

import keras
import numpy as np
from helpers import crossentropy
from keras import ops

import keras_dts


def distil(teacher, student, metrics=None, rate=0.1, **kwargs):
    distiller = keras_dts.Distiller(
        teacher, student, student_loss_weight=0.5, **kwargs
    )
    distiller.compile(
        keras.optimizers.SGD(rate),
        crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=metrics,
    )
    return distiller


def fit(distiller, *data, epochs=2, batch_size=2, shuffle=False, **kwargs):
    history = distiller.fit(
        *data,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        verbose=0,
        **kwargs,
    )
    return history.history


def tokens(model, x, y=None, sample_weight=None):
    """What a task's preprocessor makes of strings, as NumPy."""
    read = model.preprocess_samples(x, y=y, sample_weight=sample_weight)
    return keras.tree.map_structure(ops.convert_to_numpy, read)


def same_logs(logs, others, tolerance=2e-5):
    assert set(logs) == set(others)
    for name in logs:
        np.testing.assert_allclose(
            logs[name], others[name], rtol=tolerance, atol=tolerance
        )
