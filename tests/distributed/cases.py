"""Distillations that must come to the same, however many devices train them.

Each is 20 steps of 16 examples. A case is the same on every backend.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from helpers import blobs, crossentropy, mlp, randomize
from keras import layers, ops
from keras.distillation import FeatureDistillation, LogitsDistillation

from keras_dts import Distiller, DynamicTemperature, losses, temperatures

BATCH, EXAMPLES, EPOCHS = 16, 64, 5
WORDS, LENGTH = 11, 4


@dataclasses.dataclass(frozen=True)
class Case:
    """Two models, what they are trained on, and how.

    Attributes:
        options: Makes the arguments of the distiller besides the models.
        data: Makes `x`, `y` and weights or `None`, of 64 examples.
        models: Makes the teacher and the student.
    """

    options: Callable[[], dict[str, Any]]
    data: Callable[[], tuple[Any, Any, Any]] = lambda: (*blobs(EXAMPLES), None)
    models: Callable[[], tuple[Any, Any]] = lambda: (
        mlp(16, seed=1),
        mlp(6, seed=2),
    )

    def distiller(self, teacher=None):
        """Returns the distiller, compiled; its teacher may be made before."""
        keras.utils.set_random_seed(0)  # of the projectors
        own, student = self.models()
        model = Distiller(
            own if teacher is None else teacher,
            student,
            student_loss_weight=0.3,
            **self.options(),
        )
        sgd = keras.optimizers.SGD(0.05, momentum=0.9)
        model.compile(sgd, crossentropy())
        return model

    def part(self, index, count):
        """Returns the part of each batch that a process has of `count`."""
        rows = np.arange(EXAMPLES).reshape(-1, count, BATCH // count)
        rows = rows[:, index].reshape(-1)
        return tuple(a if a is None else a[rows] for a in self.data())


def fit(distiller, x, y=None, weights=None, processes=1):
    """Trains by 20 steps, and returns what came of it as lists."""
    options = {} if weights is None else {"sample_weight": weights}
    history = distiller.fit(
        x,
        y,
        batch_size=BATCH // processes,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        **options,
    ).history
    state = [w for policy in distiller.policies for w in policy.weights]
    return {
        "loss": history["loss"],
        "gap": history["gap"],
        "temperatures": [flat(w) for w in state],
        "student": [flat(w) for w in distiller.student.weights],
    }


def flat(variable):
    return ops.convert_to_numpy(variable).astype(float).ravel().tolist()


def worst(run, other):
    """Returns the largest difference of two runs, by kind."""
    return {
        kind: max(
            float(np.max(np.abs(np.subtract(one, two)), initial=0.0))
            for one, two in zip(run[kind], other[kind], strict=True)
        )
        for kind in run
    }


def dynamic(**kwargs):
    """A temperature that depends on the gap to its end."""
    return DynamicTemperature(8.0, 1.0, 12.0, momentum=0.5, curve=0.5, **kwargs)


def smooth(**kwargs):
    return dynamic(gap_scale="smooth", **kwargs)


def writers():
    return writer(12, 1), writer(6, 2)


def writer(width, seed):
    """A language model of dense layers."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(WORDS, width)(inputs)
    x = layers.Dense(width, activation="tanh", name="feat")(x)
    return randomize(keras.Model(inputs, layers.Dense(WORDS)(x)), seed)


def texts():
    """Tokens; the second half of each batch is almost all padding."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, WORDS, (EXAMPLES, LENGTH)).astype("int32")
    y = rng.integers(0, WORDS, (EXAMPLES, LENGTH)).astype("int32")
    weights = np.ones((EXAMPLES, LENGTH), "float32")
    weights[np.arange(EXAMPLES) % BATCH >= BATCH // 2, 1:] = 0.0
    return x, y, weights


def half_without_weight():
    """Examples of which the second half of each batch has a weight of 0."""
    x, y = blobs(EXAMPLES)
    weights = np.arange(EXAMPLES) % BATCH < BATCH // 2
    return x, y, weights.astype("float32")


def adakd():
    focus = temperatures.TokenFocus(tolerance=0.0, change=0.2, warmup=0.1)
    return {
        "distillation_losses": losses.ReverseKL(),
        "temperature": temperatures.TokenDifficultyTemperature(focus=focus),
    }


CASES = {
    "DTS reference": Case(lambda: {"temperature": dynamic()}),
    "DTS smooth, after": Case(lambda: {"temperature": smooth(update="after")}),
    "AdaKD with focus": Case(adakd, texts, writers),
    "features": Case(
        lambda: {
            "distillation_losses": [
                LogitsDistillation(3.0),
                FeatureDistillation("mse", "feat", "feat"),
            ],
        }
    ),
    "chunks": Case(
        lambda: {"temperature": smooth(), "chunk_size": 8}, texts, writers
    ),
    "weights 0": Case(lambda: {"temperature": smooth()}, half_without_weight),
}
