"""One run with DTS, against the same run written in NumPy."""

import json
import pathlib
import sys

import keras
import numpy as np
import pytest
from helpers import crossentropy, mlp

import keras_dts

HERE = pathlib.Path(__file__).parent / "golden"
sys.path.insert(0, str(HERE))
import make_golden as golden

STORED = json.loads((HERE / "dts_run.json").read_text())


class Steps(keras.callbacks.Callback):
    """Undoes the running means, to get each step's own values."""

    def on_train_begin(self, logs=None):
        self.steps = []

    def on_train_batch_end(self, batch, logs=None):
        now = {k: float(logs[k]) for k in ("loss", "temperature", "gap")}
        before = self.means if batch else dict.fromkeys(now, 0.0)
        self.means = now
        self.steps.append(
            {k: (batch + 1) * now[k] - batch * before[k] for k in now}
        )


def distiller():
    models = []
    for seed, name in enumerate(["teacher", "student"], start=1):
        hidden = golden.HIDDEN[name]
        model = mlp(hidden, golden.CLASSES, name=name)
        model.set_weights(golden.weights(seed, hidden, golden.SCALE[name]))
        models.append(model)
    return keras_dts.Distiller(*models)


@pytest.mark.parametrize("jit_compile", ["auto", True])
def test_twenty_steps_agree_with_numpy(jit_compile):
    if keras.backend.backend() == "torch":
        jit_compile = False  # Keras compiles nothing there by itself
    model = distiller()
    model.compile(
        keras.optimizers.SGD(golden.RATE),
        crossentropy(),
        jit_compile=jit_compile,
    )
    x, y = golden.data()
    steps = Steps()
    model.fit(
        x,
        y,
        batch_size=golden.BATCH,
        epochs=golden.EPOCHS,
        shuffle=False,
        callbacks=[
            keras_dts.DTS(golden.INITIAL, golden.MINIMUM, golden.MAXIMUM),
            steps,
        ],
        verbose=0,
    )
    assert len(steps.steps) == len(STORED["steps"]) == 20
    for name in ("loss", "temperature", "gap"):
        np.testing.assert_allclose(
            [step[name] for step in steps.steps],
            [step[name] for step in STORED["steps"]],
            rtol=1e-5,
            atol=1e-5,
            err_msg=name,
        )
    np.testing.assert_allclose(
        model.student.get_layer("out").get_weights()[0],
        STORED["final_kernel"],
        atol=1e-5,
    )


def test_the_stored_run_is_what_the_script_makes():
    steps, _ = golden.train()
    for made, stored in zip(steps, STORED["steps"], strict=True):
        assert made == pytest.approx(stored, rel=1e-9)
