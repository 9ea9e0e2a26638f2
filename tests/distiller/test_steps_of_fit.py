"""The steps of `fit`, as each backend compiles and runs them."""

import threading

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, copies, crossentropy, mlp, moved, number

from keras_dts import DTS, Distiller, DynamicTemperature

X, Y = blobs()
LOGGED = ["distillation_loss", "gap", "loss", "student_loss", "temperature"]


def distiller(**kwargs):
    model = Distiller(mlp(16, seed=1), mlp(seed=2), **kwargs)
    model.compile(keras.optimizers.SGD(0.05), crossentropy())
    return model


@pytest.mark.parametrize("gap_scale", [None, "reference", "smooth"])
def test_a_moving_temperature_traces_nothing_again(gap_scale):
    traces = []

    class Counting(keras.losses.Loss):
        def call(self, y_true, y_pred):
            traces.append(1)
            return crossentropy().call(y_true, y_pred)

    model = distiller(temperature=DynamicTemperature(gap_scale=gap_scale))
    model.compile("sgd", Counting())
    model.fit(X, Y, batch_size=64, epochs=2, verbose=0)
    after_two = len(traces)
    model.fit(X, Y, batch_size=64, epochs=8, initial_epoch=2, verbose=0)
    expected = 6 if BACKEND == "torch" else 0
    assert len(traces) - after_two == expected


def test_jit_compiled_and_eager_runs_agree():
    runs = []
    for options in (
        {"run_eagerly": True},
        {"jit_compile": BACKEND != "torch"},
    ):
        model = Distiller(mlp(16, seed=1), mlp(seed=2))
        before = copies(model.student)
        model.compile(keras.optimizers.SGD(0.1), crossentropy(), **options)
        logs = model.fit(
            X, Y, epochs=2, shuffle=False, callbacks=[DTS()], verbose=0
        ).history
        assert moved(model.student, before) > 1e-4
        runs.append([logs[name] for name in LOGGED])
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-5, atol=1e-6)


def test_fit_waits_for_a_step_only_where_keras_does():
    class Threads(keras.callbacks.Callback):
        """Records the calling thread, another one if Keras does not wait."""

        async_safe = True

        def __init__(self):
            super().__init__()
            self.main = set()

        def on_train_batch_end(self, batch, logs=None):
            current = threading.current_thread()
            self.main.add(current is threading.main_thread())

    found = []
    for model in (mlp(), distiller()):
        model.compile("sgd", crossentropy())
        threads = Threads()
        model.fit(X, Y, callbacks=[threads], verbose=0)
        found.append(threads.main)
    alone, distilled = found
    assert distilled == alone
    assert alone == {BACKEND == "tensorflow"}


def test_a_callback_that_fails_keeps_the_first_step():
    class Failing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("stop here")

    model = distiller()
    before = copies(model.student)
    with pytest.raises(RuntimeError, match="stop here"):
        model.fit(X, Y, callbacks=[Failing()], verbose=0)
    assert moved(model.student, before) > 0.0
    assert number(model.optimizer.iterations) == 1
