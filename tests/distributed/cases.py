"""Trainings that replicas must do as one device does, and what they end with.

A process of replicas runs them one after the other, and writes what it found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import keras_dts
from keras_dts import losses, temperatures

ROWS, WIDTH, CLASSES, BATCH, EPOCHS = 80, 8, 5, 16, 4
LENGTH, TOKENS = 6, 11


@dataclass
class Case:
    """One training.

    Attributes:
        distiller: Makes it from a teacher and a student.
        tokens: Whether the models are language models.
        weights: Sample weights, or `None`.
        rows: The number of examples.
        options: Of `compile`.
        regularizer: Of the student.
    """

    distiller: Callable[[Any, Any], Any]
    tokens: bool = False
    weights: Any = None
    rows: int = ROWS
    options: dict[str, Any] = field(default_factory=dict)
    regularizer: Any = None


class Stop(keras.callbacks.Callback):
    """Ends a training early, which has the schedule of the whole.

    Args:
        epochs: The epochs that it has.
    """

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.epochs


def dts(**options: Any) -> keras_dts.DynamicTemperature:
    """Returns a policy whose temperature moves at once."""
    return keras_dts.DynamicTemperature(8.0, 1.0, 8.0, momentum=0.5, **options)


def by_dts(t: Any, s: Any) -> Any:
    """Returns a distiller by a smooth DTS."""
    return keras_dts.Distiller(t, s, temperature=dts(gap_scale="smooth"))


def focused(t: Any, s: Any) -> Any:
    """Returns a distiller by AdaKD with its focus."""
    policy = temperatures.TokenDifficultyTemperature(
        focus=temperatures.TokenFocus(0.01, 0.2, warmup=0.1)
    )
    return keras_dts.Distiller(t, s, losses.ReverseKL(policy))


def features(t: Any, s: Any) -> Any:
    """Returns a distiller of a hidden layer, by a projector."""
    loss = keras.distillation.FeatureDistillation(
        loss="mse", teacher_layer_name="hidden", student_layer_name="hidden"
    )
    return keras_dts.Distiller(t, s, [loss, losses.KD(3.0)])


def one_sided() -> np.ndarray:
    """Returns weights of tokens: the first half of a batch has few of them."""
    lengths = np.where(np.arange(ROWS) % BATCH < BATCH // 2, 2, LENGTH)
    return (np.arange(LENGTH) < lengths[:, None]).astype("float32")


def silent() -> np.ndarray:
    """Returns weights of examples: 0 in the first half of each batch."""
    return (np.arange(ROWS) % BATCH >= BATCH // 2).astype("float32")


def light() -> np.ndarray:
    """Returns weights of examples whose sum is small."""
    return np.linspace(0.001, 0.01, ROWS).astype("float32")


def reduced(reduction: str) -> Any:
    """Returns a loss on labels with a reduction of Keras's."""
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=reduction
    )


CASES = {
    "reference": Case(
        lambda t, s: keras_dts.Distiller(t, s, temperature=dts())
    ),
    "after": Case(
        lambda t, s: keras_dts.Distiller(
            t, s, temperature=dts(gap_scale="smooth", update="after")
        )
    ),
    "auto": Case(lambda t, s: keras_dts.Distiller(t, s, temperature="auto")),
    "curriculum": Case(
        lambda t, s: keras_dts.Distiller(
            t, s, temperature=temperatures.CurriculumTemperature()
        )
    ),
    "similarity": Case(
        lambda t, s: keras_dts.Distiller(
            t, s, temperature=temperatures.CosineSimilarityTemperature()
        )
    ),
    "features": Case(features),
    "uneven": Case(by_dts, rows=ROWS - 10),
    "empty": Case(by_dts, rows=ROWS - 15),  # the last batch has one example
    "silent": Case(by_dts, weights=silent()),
    "penalty": Case(by_dts, regularizer="l2"),
    "sum": Case(by_dts, options={"loss": reduced("sum")}),
    "light": Case(
        by_dts,
        weights=light(),
        options={"loss": reduced("mean_with_sample_weight")},
    ),
    "tokens": Case(by_dts, tokens=True, weights=one_sided()),
    "difficulty": Case(focused, tokens=True, weights=one_sided()),
    "chunks": Case(
        lambda t, s: keras_dts.Distiller(
            t, s, temperature=dts(gap_scale="smooth"), chunk_size=12
        ),
        tokens=True,
        weights=one_sided(),
    ),
}


def classifier(width: int, regularizer: Any) -> keras.Model:
    """Returns a classifier with a hidden layer."""
    return keras.Sequential(
        [
            keras.Input((WIDTH,)),
            keras.layers.Dense(
                width,
                activation="tanh",
                name="hidden",
                kernel_regularizer=regularizer,
            ),
            keras.layers.Dense(CLASSES),
        ]
    )


def language_model(width: int, regularizer: Any) -> keras.Model:
    """Returns a model of a logit for each next token, whose steps can be cut.

    Its last layer is the only one on tokens.
    """
    return keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(TOKENS, width),
            keras.layers.Dense(
                width, activation="tanh", kernel_regularizer=regularizer
            ),
            keras.layers.Dense(TOKENS),
        ]
    )


def make(case: Case, teacher_scope: Any = None) -> Any:
    """Returns the compiled distiller of a case, with planted weights.

    Args:
        case: The case.
        teacher_scope: `None`, or a context in which the teacher is made.
    """
    rng = np.random.default_rng(7)
    model = language_model if case.tokens else classifier
    with teacher_scope or contextlib.nullcontext():
        teacher = model(12, None)
    student = model(6, case.regularizer)
    for one, scale in ((teacher, 1.5), (student, 0.5)):
        one.set_weights(
            [
                scale * rng.normal(size=w.shape).astype("float32")
                for w in one.weights
            ]
        )
    distiller = case.distiller(teacher, student)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"loss": crossentropy, **case.options}
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    on_jax = keras.config.backend() == "jax"  # which has no graphs but XLA's
    distiller.compile(optimizer, jit_compile=on_jax, **options)
    return distiller


def data(case: Case) -> dict[str, Any]:
    """Returns the examples of a case as the arguments of `fit`."""
    rng = np.random.default_rng(1)
    if case.tokens:
        x = rng.integers(0, TOKENS, (case.rows, LENGTH)).astype("int32")
        y = np.roll(x, -1, axis=1)
    else:
        x = rng.normal(size=(case.rows, WIDTH)).astype("float32")
        y = rng.integers(0, CLASSES, case.rows).astype("int32")
    return {"x": x, "y": y, "sample_weight": case.weights}


def found(distiller: Any, history: Any) -> dict[str, np.ndarray]:
    """Returns what a training ended with, and what it logged, as arrays."""
    arrays = {
        f"log {name}": np.array(values) for name, values in history.items()
    }
    state = {"student": distiller.student.weights}
    for i, policy in enumerate(distiller.policies):
        state[f"policy {i}"] = policy.variables
    for i, projector in enumerate(distiller.projectors):
        state[f"projector {i}"] = projector.variables
    for role, variables in state.items():
        for i, v in enumerate(variables):
            value = np.array(v.numpy())
            if np.issubdtype(value.dtype, np.floating):
                arrays[f"{role} {i}"] = value
    return arrays


def run(name: str) -> dict[str, np.ndarray]:
    """Trains a case, and returns what it ended with."""
    case = CASES[name]
    keras.utils.set_random_seed(3)  # for projectors
    distiller = make(case)
    history = distiller.fit(
        **data(case),
        batch_size=BATCH,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
    ).history
    return found(distiller, history)
