"""Everything runs compiled by XLA, and gives what an eager run gives."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, crossentropy, mlp, randomize, tagger
from keras import layers
from keras.distillation import FeatureDistillation, LogitsDistillation

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.losses import KD

X, Y = blobs()


def plain():
    return Distiller(mlp(16, seed=1), mlp(seed=2)), X, Y, crossentropy()


def features_with_projector():
    distiller = Distiller(
        mlp(16, seed=1),
        mlp(6, seed=2),
        [KD(), FeatureDistillation("mse", "feat", "feat")],
    )
    for weight in distiller.trainable_weights[4:]:
        weight.assign(np.full(weight.shape, 0.1))
    return distiller, X, Y, crossentropy()


def tokens_with_padding():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 11, (16, 9)), rng.integers(0, 5, (16, 9))
    return Distiller(tagger(12, 1), tagger(4, 2)), x, y, crossentropy()


def two_outputs():
    def model(hidden, seed):
        inputs = keras.Input((8,))
        x = layers.Dense(hidden)(inputs)
        x = layers.BatchNormalization()(x)
        outputs = {"a": layers.Dense(3)(x), "b": layers.Dense(2)(x)}
        return randomize(keras.Model(inputs, outputs), seed)

    distiller = Distiller(model(16, 1), model(6, 2), {"a": KD(), "b": None})
    loss = {"a": crossentropy(), "b": crossentropy()}
    return distiller, X, {"a": Y, "b": Y % 2}, loss


def ends_in_a_softmax_without_labels():
    models = [mlp(h, seed=h, activation="softmax") for h in (16, 6)]
    return Distiller(*models, LogitsDistillation(3.0)), X, None, None


def every_option_of_the_temperature():
    policy = DynamicTemperature(
        6.0, 1.0, 9.0, 0.5, 0.8, "smooth", "after", "step"
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 8)
    distiller = Distiller(
        mlp(16, seed=1),
        mlp(seed=2),
        student_loss_weight=schedule,
        temperature=policy,
    )
    return distiller, X, Y, crossentropy()


@pytest.mark.parametrize(
    "case",
    [
        plain,
        features_with_projector,
        tokens_with_padding,
        two_outputs,
        ends_in_a_softmax_without_labels,
        every_option_of_the_temperature,
    ],
)
def test_compiled_equals_eager(case):
    compiled = {"jit_compile": True}
    if BACKEND == "torch":
        compiled = {}  # where XLA is not at home
    runs = []
    for options in (compiled, {"run_eagerly": True}):
        distiller, x, y, loss = case()
        distiller.compile(keras.optimizers.SGD(0.05), loss, **options)
        callbacks = [DTS()] if distiller.uses_temperature else []
        history = distiller.fit(
            x,
            y,
            batch_size=8,
            epochs=2,
            shuffle=False,
            callbacks=callbacks,
            verbose=0,
        ).history
        runs.append((history, distiller.student.get_weights()))
    (logs, weights), (eager_logs, eager_weights) = runs
    assert set(logs) == set(eager_logs)
    for name, values in logs.items():
        np.testing.assert_allclose(
            values, eager_logs[name], rtol=1e-4, atol=1e-5, err_msg=name
        )
    for one, two in zip(weights, eager_weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
