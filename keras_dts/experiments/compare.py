"""Compares methods: the same student, trained in several ways."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_dts.cache import teacher_name
from keras_dts.experiments.journal import Trainings
from keras_dts.results import Comparison, Row
from keras_dts.text import is_task, shuffle_like_keras
from keras_dts.utils import EpochBar, check_count, say, versions

# Makes of teacher and student the model to fit.
Method = Callable[[keras.Model, keras.Model], keras.Model]


def compare(
    teacher: keras.Model,
    make_student: Callable[[], keras.Model],
    methods: Mapping[str, Method],
    train: Any,
    test: Any,
    *,
    compile: Callable[[keras.Model], Any],
    epochs: int,
    batch_size: int = 32,
    seeds: int = 3,
    metric: str = "accuracy",
    callbacks: Callable[[str, int], list[keras.callbacks.Callback]]
    | None = None,
    resume: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Comparison:
    """Trains the same student in several ways, and compares what came out.

    Each method trains one student for each seed: 0, 1, and so on. The
    students of one seed start from the same weights and see the data in the
    same order, whatever the method, because Keras's random seed is set before
    the student is made and again before it is fitted.

    Args:
        teacher: A trained model.
        make_student: Returns a new student. It is called once for each
            training, and before the first to try each method.
        methods: A dictionary from the name of a method to a function
            `(teacher, student)` that returns the model to fit: the student
            itself, or a new `keras_dts.Distiller` of the two. Losses and
            temperatures hold state, so the function makes those too.
        train: What the students learn from: `(x,)`, `(x, y)` or
            `(x, y, sample_weight)`, or a data set that `fit` takes. The order
            of a data set that shuffles by itself is its own affair.
        test: What they are tested on, in the same forms.
        compile: Compiles the model that it gets, with a new optimizer.
        epochs: Epochs of each training, at least 1.
        batch_size: The batch size of arrays; data sets bring their own.
        seeds: How many seeds, at least 1.
        metric: The name of what to compare, as `evaluate` reports it.
            Accuracies are shown in %.
        callbacks: `None`, or a function from the name of a method and a seed
            to that training's callbacks.
        resume: `None`, or a file to note each finished training in. Those
            that are in it already are not run again, so that a comparison
            that was stopped goes on, and one that has ended can be given
            more methods or seeds. It is a file of the same teacher, metric,
            `epochs` and `batch_size`; that methods, students and data are the
            same is yours to see to.
        verbose: Whether to print each training's name and progress.

    Returns:
        A `Comparison`: `rows`, one for each method, with the `values` and
        `seconds` of each seed, their `mean` and `std`; `table()` to print;
        `to_dict()` for JSON. `keras_dts.plots.plot_comparison` draws it.

    Raises:
        ValueError: Before any training, if an argument is none of the above,
            a method returns no model, `evaluate` does not report the metric,
            or `resume` is a file of another comparison.

    Example:
    >>> import keras
    >>> import numpy as np
    >>>     >>> def model(width):
    ...     return keras.Sequential(
    ...         [
    ...             keras.Input((8,)),
    ...             keras.layers.Dense(width, activation="relu"),
    ...             keras.layers.Dense(3),
    ...         ]
    ...     )
    >>> def compile(model):
    ...     model.compile(
    ...         "adam",
    ...         keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ...         metrics=["accuracy"],
    ...     )
    >>> data = np.eye(8, dtype="float32"), np.arange(8) % 3
    >>> comparison = keras_dts.compare(
    ...     model(64),
    ...     lambda: model(4),
    ...     {
    ...         "alone": lambda teacher, student: student,
    ...         "KD": keras_dts.Distiller,
    ...     },
    ...     train=data,
    ...     test=data,
    ...     compile=compile,
    ...     epochs=2,
    ...     seeds=2,
    ...     verbose=False,
    ... )
    >>> [(row.method, len(row.values)) for row in comparison.rows]
    [('alone', 2), ('KD', 2)]
    >>> print(comparison.table())  # doctest: +SKIP
    """
    _check_functions(make_student, methods, compile)
    check_count("epochs", epochs)
    check_count("seeds", seeds)
    for name, data in (("train", train), ("test", test)):
        _check_data(name, data)
    about: dict[str, Any] = {}
    if resume is not None:
        about = {
            "metric": metric,
            "epochs": epochs,
            "batch_size": batch_size,
            "teacher": teacher_name(teacher),  # which reads all its weights
            "versions": versions(),
        }
    trainings = Trainings(resume, about)
    # A method that fails and a misspelt metric must not cost a training. What
    # is tried here is not trained: a first look shifts the order of the data.
    for name, method in methods.items():
        model = method(teacher, make_student())
        _check_model(name, model)
    compile(model)
    measure(model, test, metric, batch_size, steps=1)
    rows: dict[str, Row] = {}
    for seed in range(seeds):
        for name, method in methods.items():
            done = trainings.find(name, seed)
            if verbose:
                again = ", done before" if done else ""
                say(f"\nseed {seed + 1} of {seeds}: {name}{again}")
            if done is None:
                keras.utils.set_random_seed(seed)  # the same first weights
                student = make_student()
                model = method(teacher, student)
                compile(model)
                keras.utils.set_random_seed(seed)  # the same order
                seconds = timed_fit(
                    model,
                    train,
                    epochs=epochs,
                    batch_size=batch_size,
                    callbacks=[
                        *(callbacks(name, seed) if callbacks else []),
                        *([EpochBar(metric)] if verbose else []),
                    ],
                )
                done = trainings.note(
                    method=name,
                    seed=seed,
                    parameters=student.count_params(),
                    value=measure(model, test, metric, batch_size),
                    seconds=seconds,
                )
            row = rows.setdefault(name, Row(name, done["parameters"]))
            row.values.append(done["value"])
            row.seconds.append(done["seconds"])
    return Comparison(
        list(rows.values()), list(range(seeds)), metric, versions()
    )


def timed_fit(
    model: keras.Model,
    train: Any,
    *,
    epochs: int,
    batch_size: int,
    callbacks: list[keras.callbacks.Callback],
) -> float:
    """Trains a compiled model, and returns the seconds that it took.

    What callbacks do when the training has ended does not count.
    """
    options = _data_options(train, batch_size)
    if is_task(model):
        shuffle_like_keras(options)
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
    """Notes when a training has ended, before other callbacks hear of it."""

    ended = 0.0

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Looks at the time."""
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
    """Returns the arguments of `fit` and `evaluate` that give them data."""
    if not isinstance(data, tuple):
        return {"x": data}
    names = ("x", "y", "sample_weight")
    return {**dict(zip(names, data, strict=False)), "batch_size": batch_size}


def _check_functions(make_student: Any, methods: Any, compile: Any) -> None:
    if not isinstance(methods, Mapping) or not methods:
        raise ValueError(
            "`methods` must be a dictionary with at least one method. "
            f"Received: methods={methods!r}"
        )
    named = {"make_student": make_student, "compile": compile}
    named.update((f"methods[{name!r}]", f) for name, f in methods.items())
    for name, function in named.items():
        if not callable(function) or isinstance(function, keras.Model):
            raise ValueError(
                f"`{name}` must be a function. Received: {function!r} of type "
                f"{type(function).__name__}"
            )


def _check_data(name: str, data: Any) -> None:
    if isinstance(data, tuple) and len(data) not in (1, 2, 3):
        raise ValueError(
            f"`{name}` must be `(x,)`, `(x, y)`, `(x, y, sample_weight)` or a "
            f"data set. Received: a tuple of {len(data)}"
        )


def _check_model(name: str, model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`methods[{name!r}]` must return the model to fit. Received: "
            f"{model!r} of type {type(model).__name__}"
        )
