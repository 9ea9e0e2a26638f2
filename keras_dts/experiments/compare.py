"""Compares methods: the same student, trained in several ways."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_dts.experiments.journal import Trainings
from keras_dts.experiments.training import Callbacks, Method, Training
from keras_dts.results import Comparison
from keras_dts.utils import check_count, print_now, versions


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
    callbacks: Callbacks | None = None,
    resume: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Comparison:
    """Trains the same student by several methods, and compares the results.

    Each method trains one student for each seed: 0, 1, and so on. All students
    of one seed start from the same weights and see the data in the same order,
    because Keras's random seed is set before the student is made and again
    before it is fitted.

    Args:
        teacher: A trained model.
        make_student: Returns a new student. It is called once for each
            method before the first training, and once for each training.
        methods: A dictionary from the name of a method to a function
            `(teacher, student)` that returns the model to fit: the student
            itself, or a new `keras_dts.Distiller` of the two. Losses and
            temperatures hold state, so the function makes new ones. A method
            that needs callbacks, another optimizer or part of the data for
            itself returns a `keras_dts.Recipe`.
        train: The training data: `(x,)`, `(x, y)` or `(x, y, sample_weight)`,
            or a data set that `fit` takes. The order of a data set that
            shuffles itself is not controlled.
        test: The test data, in the same forms.
        compile: Compiles a model, with a new optimizer.
        epochs: The epochs of each training, at least 1.
        batch_size: The batch size of arrays; data sets have their own.
        seeds: The number of seeds, at least 1.
        metric: The name of the metric to compare, as `evaluate` reports it.
            Accuracies are shown in %.
        callbacks: `None`, or a function from the name of a method and a seed
            to the callbacks of that training.
        resume: `None`, or a file that records each finished training. A
            training in this file is not run again: an interrupted comparison
            is resumed, and a finished one can get more methods or seeds. The
            file must be of the same teacher, metric, `epochs` and
            `batch_size`. Methods, students and data must be the same too, which
            is not checked.
        verbose: Whether to print each training's name and progress.

    Returns:
        A `Comparison`: `rows`, one for each method, with the `values` and
        `seconds` of each seed, their `mean` and `std`; `table()` to print;
        `to_dict()` for JSON. `keras_dts.plots.plot_comparison` draws it.

    Raises:
        ValueError: Before any training, if an argument is not as described,
            a method returns no model, `evaluate` does not report the metric,
            or `resume` is no file that can be written, none that `compare`
            wrote, or one of another comparison.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> def model(width):
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
    training = Training(
        teacher=teacher,
        make_student=make_student,
        train=train,
        test=test,
        compile=compile,
        epochs=epochs,
        batch_size=batch_size,
        metric=metric,
        callbacks=callbacks,
        verbose=verbose,
    )
    finished = Trainings(resume, {} if resume is None else training.about())
    training.try_methods(methods)
    runs = [*itertools.product(range(seeds), methods)]
    if any(finished.find(name, seed) is None for seed, name in runs):
        finished.check_writable()
    for seed, name in runs:
        is_new = finished.find(name, seed) is None
        if verbose:
            again = "" if is_new else ", done before"
            print_now(f"\nseed {seed + 1} of {seeds}: {name}{again}")
        if is_new:
            finished.add(training.run(name, methods[name], seed))
    rows = [finished.row(name, range(seeds)) for name in methods]
    return Comparison(rows, list(range(seeds)), metric, versions())


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
