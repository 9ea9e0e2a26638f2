"""Histories, comparisons and models whose pictures the tests draw."""

import keras
import numpy as np

from keras_dts import plots
from keras_dts.results import Comparison, Row

RUN = {
    "loss": [40.0, 9.0, 1.0],
    "student_loss": [2.0, 0.8, 0.2],
    "distillation_loss": [44.0, 10.0, 1.1],
    "temperature": [8.0, 5.5, 4.0],
    "gap": [1.9, 0.7, -0.1],
    "accuracy": [0.25, 0.75, 0.875],
    "val_accuracy": [0.2, 0.7, 0.8],
}
RESULTS = [
    Row("student alone", 10, [0.5, 0.75], [1.0, 1.0]),
    Row("KD", 10, [0.75, 1.0], [1.0, 1.0]),
]
COMPARISON = Comparison(RESULTS, [0, 1], "accuracy", {})


def many(number):
    """A comparison of many methods with long names."""
    rng = np.random.default_rng(0)
    rows = [
        Row(f"method number {i}", 10, list(rng.uniform(0.9, 1, 3)), [1.0] * 3)
        for i in range(number)
    ]
    teacher = Row("teacher", 100, [0.99], [1.0])
    return Comparison(rows, [0, 1, 2], "accuracy", {}, teacher)


def fixed(logits, softmaxed=False):
    """A classifier whose outputs for one-hot rows are these rows."""
    logits = np.asarray(logits, "float32")
    kind = keras.layers.Dense(
        logits.shape[1],
        use_bias=False,
        activation="softmax" if softmaxed else None,
    )
    model = keras.Sequential([keras.Input((len(logits),)), kind])
    model.set_weights([logits])
    return model


LOGITS = np.array([[2.0, 5.0, -1.0, 0.5], [1.0, 0.0, 3.0, 0.0]])
INPUTS = np.eye(2, dtype="float32")

THEIRS = [0, 0, 0, 1, 1, 2, 2, 2, 3]
OURS = [0, 0, 1, 1, 0, 2, 1, 1, 3]


def choosing(choices):
    return fixed(5 * np.eye(4)[choices])


TABLE = [("conv_1", 2.1, 0.5), ("conv_2", 3.4, 1.5), ("dense", 3.0, 1.19)]
PICTURES = {
    "layer rates": lambda ax=None: plots.plot_layer_rates(TABLE, ax=ax),
    "run": lambda ax=None: plots.plot_run({"loss": [2.0, 1.0]}, ax=ax)[0],
    "comparison": lambda ax=None: plots.plot_comparison(COMPARISON, ax=ax),
    "softening": lambda ax=None: plots.plot_softening(
        fixed(LOGITS), INPUTS, ax=ax
    ),
    "calibration": lambda ax=None: plots.plot_calibration(
        fixed(LOGITS), INPUTS, [1, 2], ax=ax
    ),
    "agreement": lambda ax=None: plots.plot_agreement(
        fixed(LOGITS), fixed(LOGITS[::-1]), INPUTS, [1, 2], ax=ax
    ),
}


def tick_labels(axis):
    """The labels that are seen: an axis also holds some beyond its ends."""
    low, high = sorted(axis.get_view_interval())
    return [
        tick.label1
        for tick in axis.get_major_ticks()
        if low <= tick.get_loc() <= high
    ]
