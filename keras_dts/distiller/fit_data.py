"""Data that Keras would not take: what `fit` and related methods convert."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_dts.utils import DataAdapter

_NAMES = ("x", "y", "sample_weight")


class FitData:
    """Converts the data among the arguments of Keras's methods.

    An overridden method of a `keras.Model` is one line:

    ```
    return self._data.call(
        super().evaluate, args, kwargs, self._data.for_evaluation, teacher=True
    )
    ```

    Args:
        adapters: The data adapters. Each one sees what the adapters before it
            have made of the data, so that a cache of raw strings is first
            opened and then tokenized.
    """

    def __init__(self, adapters: tuple[DataAdapter, ...]) -> None:
        self._adapters = adapters

    def call(
        self,
        method: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        change: Callable[..., None],
        **flags: bool,
    ) -> Any:
        """Calls a method of Keras with changed arguments.

        Args:
            method: The bound method.
            args: The positional arguments of the call.
            kwargs: The keyword arguments of the call, Keras's private ones
                included.
            change: A function that gets the arguments by name, as far as they
                were given, and changes them in place, such as `for_fit`.
            **flags: Keyword arguments of `change`.

        Returns:
            What the method returns.
        """
        bound = inspect.signature(method).bind(*args, **kwargs)
        change(bound.arguments, **flags)
        return method(*bound.args, **bound.kwargs)

    def for_fit(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Converts the training and the validation data of `fit`.

        Args:
            options: The arguments by name, which are changed in place.
            teacher: Whether the teacher runs on the validation data too.
        """
        # First, because adapters take the batch size out of the arguments.
        size = options.get("validation_batch_size") or options.get("batch_size")
        self._adapt(options, teacher=True, training=True)
        given = options.get("validation_data")
        if given is None:
            return
        data = keras.utils.unpack_x_y_sample_weight(given)
        part = dict(zip(_NAMES, data, strict=True), batch_size=size)
        if self._adapt(part, teacher=teacher):
            options["validation_data"] = part["x"]
            options.pop("validation_batch_size", None)

    def for_evaluation(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Converts the data of `evaluate` or `predict`.

        Args:
            options: The arguments by name, which are changed in place.
            teacher: Whether the teacher runs on the data.
        """
        self._adapt(options, teacher=teacher)

    def for_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Converts the data of `train_on_batch` and its kind.

        Args:
            options: The arguments by name, which are changed in place.
            teacher: Whether the teacher runs on the batch.
        """
        for adapter in self._adapters:
            if adapter.takes(options.get("x")):
                adapter.adapt_batch(options, teacher=teacher)

    def _adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> bool:
        """Lets the adapters convert `x`, and returns whether one did."""
        adapted = False
        for adapter in self._adapters:
            if adapter.takes(options.get("x")):
                adapter.adapt(options, teacher=teacher, training=training)
                adapted = True
        return adapted
