"""One training of a comparison: seeded, timed and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_dts.cache import teacher_name
from keras_dts.hub import shuffle_like_keras
from keras_dts.utils import EpochBar, versions

# Returns the model to fit for a teacher and a student.
Method = Callable[[keras.Model, keras.Model], keras.Model]

# Returns the callbacks of one training for the name of its method and its seed.
Callbacks = Callable[[str, int], list[keras.callbacks.Callback]]


@dataclass(frozen=True)
class Training:
    """Trains one student by one method; all else is the same for each student.

    Args:
        teacher: A trained model.
        make_student: Returns a new student.
        train: The training data, as `keras_dts.compare` takes it.
        test: The test data, in the same forms.
        compile: Compiles the model to fit.
        epochs: The epochs of each training.
        batch_size: The batch size of arrays.
        metric: The name of the metric.
        callbacks: `None`, or what returns the callbacks of a training.
        verbose: Whether to show a progress bar.
    """

    teacher: keras.Model
    make_student: Callable[[], keras.Model]
    train: Any
    test: Any
    compile: Callable[[keras.Model], Any]
    epochs: int
    batch_size: int
    metric: str
    callbacks: Callbacks | None
    verbose: bool

    def try_methods(self, methods: Mapping[str, Method]) -> None:
        """Makes each method's model, and evaluates one of them on one batch.

        A method that fails or a misspelt metric is thus found before the first
        training. The models are not trained later: a model that was evaluated
        would draw its batches in another order.

        Args:
            methods: The methods by their names.

        Raises:
            ValueError: If a method returns no model, or `evaluate` does not
                report the metric.
        """
        for name, method in methods.items():
            model = method(self.teacher, self.make_student())
            _check_model(name, model)
        self.compile(model)
        measure(model, self.test, self.metric, self.batch_size, steps=1)

    def run(self, name: str, method: Method, seed: int) -> dict[str, Any]:
        """Trains a student, and returns its test metric and its costs.

        Args:
            name: The name of the method.
            method: The method.
            seed: The seed of the student's weights and of the data's order.

        Returns:
            The method's name, the seed, the student's number of parameters,
            the value of the metric and the seconds of the training.
        """
        keras.utils.set_random_seed(seed)  # the same initial weights
        student = self.make_student()
        model = method(self.teacher, student)
        self.compile(model)
        callbacks = list(self.callbacks(name, seed)) if self.callbacks else []
        if self.verbose:
            callbacks.append(EpochBar(self.metric))
        keras.utils.set_random_seed(seed)  # the same order of the data
        seconds = timed_fit(
            model,
            self.train,
            epochs=self.epochs,
            batch_size=self.batch_size,
            callbacks=callbacks,
        )
        return {
            "method": name,
            "seed": seed,
            "parameters": student.count_params(),
            "value": measure(model, self.test, self.metric, self.batch_size),
            "seconds": seconds,
        }

    def about(self) -> dict[str, Any]:
        """Returns what another run must share to be the same comparison.

        All weights of the teacher are read for it.
        """
        return {
            "metric": self.metric,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "teacher": teacher_name(self.teacher),
            "versions": versions(),
        }


def timed_fit(
    model: keras.Model,
    train: Any,
    *,
    epochs: int,
    batch_size: int,
    callbacks: list[keras.callbacks.Callback],
) -> float:
    """Trains a compiled model, and returns the seconds of its training.

    The `on_train_end` of the callbacks is not included.
    """
    options = _data_options(train, batch_size)
    shuffle_like_keras(model, options)
    clock = _Clock()
    start = time.perf_counter()
    model.fit(
        **options,
        epochs=epochs,
        verbose=0,
        callbacks=[clock, *callbacks],
    )
    return clock.ended - start


class _Clock(keras.callbacks.Callback):
    """Notes the end of a training, as the first of its callbacks."""

    ended = 0.0

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Notes the time."""
        self.ended = time.perf_counter()


def measure(
    model: keras.Model,
    test: Any,
    metric: str,
    batch_size: int,
    steps: int | None = None,
) -> float:
    """Returns a metric of a compiled model on `steps` batches, or on all.

    Raises:
        ValueError: If `evaluate` does not report the metric.
    """
    logs = model.evaluate(
        **_data_options(test, batch_size),
        steps=steps,
        verbose=0,
        return_dict=True,
    )
    if metric not in logs:
        raise ValueError(
            "`metric` must be one that `evaluate` reports: "
            f"{', '.join(map(repr, logs))}. Received: metric={metric!r}"
        )
    return float(logs[metric])


def _data_options(data: Any, batch_size: int) -> dict[str, Any]:
    """Returns the arguments by which `fit` and `evaluate` take the data."""
    if not isinstance(data, tuple):
        return {"x": data}
    names = ("x", "y", "sample_weight")
    return {**dict(zip(names, data, strict=False)), "batch_size": batch_size}


def _check_model(name: str, model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`methods[{name!r}]` must return the model to fit. Received: "
            f"{model!r} of type {type(model).__name__}"
        )
