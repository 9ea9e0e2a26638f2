"""One training of a comparison: seeded, timed and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_dts.cache import teacher_name
from keras_dts.hub import shuffle_like_keras
from keras_dts.utils import EpochBar, versions


@dataclass(frozen=True)
class Recipe:
    """A model to fit, and how its method trains it, for `keras_dts.compare`.

    Args:
        model: The model to fit. It is not compiled.
        callbacks: The method's own callbacks, new ones.
        optimizer: `None`, or a function from the optimizer of `compile` to the
            one that trains, such as `keras_dts.optimizers.LayerRates`.
        train: `None`, or the training data in place of the comparison's, such
            as a part of them where the rest chooses or validates something.
        validation_data: `None`, or what `fit` validates on.

    Example:
    >>> import keras_dts
    >>> def balanced(teacher, student):
    ...     return keras_dts.Recipe(
    ...         keras_dts.Distiller(teacher, student),
    ...         callbacks=[keras_dts.callbacks.TempBalance()],
    ...         optimizer=keras_dts.optimizers.LayerRates,
    ...     )
    """

    model: keras.Model
    callbacks: Sequence[keras.callbacks.Callback] = ()
    optimizer: Callable[[Any], Any] | None = None
    train: Any = None
    validation_data: Any = None


# Returns the model to fit for a teacher and a student, or its recipe.
Method = Callable[[keras.Model, keras.Model], keras.Model | Recipe]

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
        """Makes and compiles each method's model, and evaluates the last.

        It is evaluated on one batch.

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
            recipe = self._recipe(name, method, self.make_student())
        measure(recipe.model, self.test, self.metric, self.batch_size, steps=1)

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
        recipe = self._recipe(name, method, student)
        callbacks = list(recipe.callbacks)
        if self.callbacks:
            callbacks += self.callbacks(name, seed)
        if self.verbose:
            callbacks.append(EpochBar(self.metric))
        keras.utils.set_random_seed(seed)  # the same order of the data
        seconds = timed_fit(
            recipe.model,
            self.train if recipe.train is None else recipe.train,
            epochs=self.epochs,
            batch_size=self.batch_size,
            callbacks=callbacks,
            validation_data=recipe.validation_data,
        )
        return {
            "method": name,
            "seed": seed,
            "parameters": student.count_params(),
            "value": measure(
                recipe.model, self.test, self.metric, self.batch_size
            ),
            "seconds": seconds,
        }

    def _recipe(
        self, name: str, method: Method, student: keras.Model
    ) -> Recipe:
        """Returns what a method makes, compiled."""
        made = method(self.teacher, student)
        recipe = made if isinstance(made, Recipe) else Recipe(made)
        _check_model(name, recipe.model)
        self.compile(recipe.model)
        if recipe.optimizer is not None:
            recipe.model.optimizer = recipe.optimizer(recipe.model.optimizer)
        return recipe

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
    validation_data: Any = None,
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
        validation_data=validation_data,
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
            f"`methods[{name!r}]` must return the model to fit, or a "
            "`keras_dts.Recipe` of it. Received: "
            f"{model!r} of type {type(model).__name__}"
        )
