"""Data that Keras would not take: what `fit` and related methods convert."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_dts.backend import checked_batches, shares_arrays, undivided
from keras_dts.cache import TeacherCache
from keras_dts.distiller.batch_sizes import check_fit_sizes, check_sizes
from keras_dts.distiller.given_labels import with_no_labels
from keras_dts.hub import is_in_memory
from keras_dts.utils import DataAdapter, flatten

_NAMES = ("x", "y", "sample_weight")


class FitData:
    """Converts the data among the arguments of Keras's methods.

    Args:
        adapters: The data adapters. Each one sees what the adapters before it
            have made of the data, so that a cache of raw inputs is first
            opened and then preprocessed.
        evaluates_teacher: Returns whether evaluations run the teacher.
        check_labels: Raises for labels that Keras would change.
        check_engine: Raises if `fit` cannot train by the replicas there are,
            and returns how many must divide the first batch.
    """

    def __init__(
        self,
        adapters: tuple[DataAdapter, ...],
        evaluates_teacher: Callable[[], bool],
        check_labels: Callable[[Any], None],
        check_engine: Callable[[], int],
    ) -> None:
        self._adapters = adapters
        self._evaluates_teacher = evaluates_teacher
        self._check = check_labels
        self._check_engine = check_engine

    def add_first(self, adapter: DataAdapter) -> None:
        """Adds an adapter that sees the data before all others."""
        self._adapters = (adapter, *self._adapters)

    def for_fit(self, options: dict[str, Any]) -> None:
        """Converts the training and the validation data of `fit`.

        Args:
            options: The arguments by name, which are changed in place.

        Raises:
            ValueError: If devices do not divide a batch evenly, or replicas
                cannot train as `fit` is to.
        """
        check_fit_sizes(options, self._check_engine())
        # First, because adapters take the batch size out of the arguments.
        size = options.get("validation_batch_size") or options.get("batch_size")
        self._adapt(options, teacher=True, training=True)
        given = options.get("validation_data")
        if given is None:
            return
        data = keras.utils.unpack_x_y_sample_weight(given)
        part = dict(zip(_NAMES, data, strict=True), batch_size=size)
        adapted = self._adapt(part, teacher=self._evaluates_teacher())
        if not adapted:
            self._check_is_evaluated(part, "validation_data")
        y = part.get("y")
        if y is not None and y is not data[1]:  # arrays, with other labels
            options["validation_data"] = tuple(part[n] for n in _NAMES)
        elif adapted:  # batches
            options["validation_data"] = part["x"]
            options.pop("validation_batch_size", None)

    def for_evaluation(self, options: dict[str, Any]) -> None:
        """Converts the data of `evaluate`.

        Raises:
            ValueError: If arrays are given that nothing evaluates, or devices
                do not divide a batch evenly.
        """
        check_sizes(options)
        if not self._adapt(options, teacher=self._evaluates_teacher()):
            self._check_is_evaluated(options, "x")

    def for_prediction(self, options: dict[str, Any]) -> None:
        """Converts the data of `predict`; checks batches as `evaluate` does."""
        check_sizes(options)
        self._adapt(options, teacher=False)

    def for_training_batch(self, options: dict[str, Any]) -> None:
        """Converts the data of `train_on_batch`."""
        self._adapt_batch(options, teacher=True)

    def for_evaluation_batch(self, options: dict[str, Any]) -> None:
        """Converts the data of `test_on_batch`."""
        self._adapt_batch(options, teacher=self._evaluates_teacher())

    def for_prediction_batch(self, options: dict[str, Any]) -> None:
        """Converts the data of `predict_on_batch`."""
        self._adapt_batch(options, teacher=False)

    def _check_is_evaluated(self, data: dict[str, Any], argument: str) -> None:
        """Raises for inputs alone, if no metric compares the models."""
        is_array = all(hasattr(x, "shape") for x in flatten(data.get("x")))
        if data.get("y") is None and is_array and not self._evaluates_teacher():
            raise ValueError(
                f"`{argument}` must have labels, or `compile` needs "
                "`distillation_metrics`, such as `keras_dts.metrics."
                "TeacherKL()`. Received: inputs alone, and no such metrics"
            )

    def _adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> bool:
        """Lets the adapters convert `x`, and returns whether one did."""
        given = options.get("x")
        for adapter in self._adapters:
            if adapter.takes(options.get("x")):
                adapter.adapt(options, teacher=teacher, training=training)
        adapted = options.get("x") is not given
        self._check(options.get("y"))
        y = with_no_labels(options.get("y"), options.get("sample_weight"))
        if y is not None:
            options["y"] = y
        return adapted

    def _adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        for adapter in self._adapters:
            if adapter.takes(options.get("x")):
                adapter.adapt_batch(options, teacher=teacher)
        self._check(options.get("y"))


@contextlib.contextmanager
def reading(x: Any) -> Iterator[None]:
    """A context in which Keras reads what became of data.

    Batches that devices do not divide are named. What each process is given
    whole has been dealt to it, or is read whole, and Keras does not divide it.

    Args:
        x: The inputs, as they were given.
    """
    is_whole = isinstance(x, TeacherCache) or (
        shares_arrays() and is_in_memory(x)
    )
    whole = undivided() if is_whole else contextlib.nullcontext()
    with whole, checked_batches():
        yield


def converted(
    method: Callable[..., Any], change: Callable[[FitData, Any], None]
) -> Callable[..., Any]:
    """Returns a method of Keras that converts its data first.

    Args:
        method: The method of `keras.Model`. Its class overrides it in a model
            that has a `FitData` as `fit_data`.
        change: Changes the arguments by name, as far as they were given; a
            method of `FitData`.
    """

    @functools.wraps(method)
    def convert(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(method).bind(self, *args, **kwargs)
        x = bound.arguments.get("x")
        change(self.fit_data, bound.arguments)
        with reading(x):
            return method(*bound.args, **bound.kwargs)

    return convert
