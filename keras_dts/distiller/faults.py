"""Broken batches: noted by the steps, raised by callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


class FaultGuard(keras.callbacks.Callback):
    """Stops a training on invalid data; `keras_dts.Distiller.fit` adds it.

    Each step notes logits of the teacher that are NaN or infinite and labels
    that name no class, and gives such a batch a loss of 0. The notes are read
    before the second step and after each epoch, so that no other step waits
    for them. If the first step fails, the models get back what they had.

    The first two steps are watched by standing in for the model's
    `train_function`, because Keras calls the batch methods of a callback in
    every step, from another thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._distiller: Any = None
        self._train: Callable[..., Any] | None = None
        self._weights: list[Any] = []

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Remembers the epoch, and before the first one begins to watch."""
        self._epoch = epoch
        if self._distiller is None:
            # On JAX, `self.model` moves the state back into the variables,
            # which the steps below must not do.
            self._distiller = distiller = self.model
            clear_faults(distiller)
            weights = distiller.student.get_weights()
            self._weights = [np.array(w) for w in weights]
            self._train = distiller.train_function
            distiller.train_function = self._first_step

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Reads the notes of the epoch."""
        self._raise(self.model.objective.faults)

    def stop_watching(self) -> None:
        """Gives the distiller its `train_function` back."""
        watching = (self._first_step, self._second_step)
        distiller = self._distiller
        if distiller is not None and distiller.train_function in watching:
            distiller.train_function = self._train

    def _first_step(self, *args: Any) -> Any:
        """Runs the first step; if it fails, no variable has lost its value."""
        held = _values_in_state(self._distiller, *args)
        try:
            result = self._step(*args)
        except BaseException:
            # On JAX, Keras takes the values away before it runs a step, and a
            # step that fails to compile does not return them.
            for variable, value in held:
                variable.assign(value)
            raise
        self._distiller.train_function = self._second_step
        return result

    def _second_step(self, *args: Any) -> Any:
        """Reads the notes of the first step, then runs the second one."""
        noted = self._distiller.objective.faults
        values = _values_in_state(self._distiller, *args)
        found = [value for variable, value in values if variable is noted]
        self._raise(found[0] if found else noted)
        self._distiller.train_function = self._train
        return self._step(*args)

    def _step(self, *args: Any) -> Any:
        train: Any = self._train
        return train(*args)

    def _raise(self, faults: Any) -> None:
        """Raises for broken batches; after the first step, undoes it."""
        when = f"in epoch {self._epoch + 1} of {self.params['epochs']}"
        try:
            raise_faults(self._distiller, faults, when)
        except ValueError:
            if self._weights:
                self.model.student.set_weights(self._weights)
            raise
        self._weights = []


def _values_in_state(distiller: Any, *args: Any) -> list[tuple[Any, Any]]:
    """Returns the variables whose values a step gets, with these values.

    Args:
        distiller: A `keras_dts.Distiller`.
        *args: The arguments of its `train_function`. On JAX, the state comes
            first, with the values that Keras has taken out of the variables.
    """
    if keras.config.backend() != "jax":
        return []
    optimizer = distiller.optimizer
    groups = (
        distiller.trainable_variables,
        distiller.non_trainable_variables,
        optimizer.variables if optimizer else [],
        distiller.metrics_variables,
    )
    return [
        pair
        for variables, values in zip(groups, args[0], strict=True)
        for pair in zip(variables, values, strict=True)
    ]


def clear_faults(distiller: Any) -> None:
    """Forgets the broken batches that a distiller's steps have noted."""
    faults = distiller.objective.faults
    faults.assign(np.zeros(faults.shape, "float32"))


def raise_faults(distiller: Any, faults: Any, when: str) -> None:
    """Raises if the steps of a distiller have noted a broken batch.

    Args:
        distiller: A `keras_dts.Distiller`.
        faults: Its notes, shape `(3,)`.
        when: When that was, for the message.

    Raises:
        ValueError: If the teacher's logits were not finite, labels named no
            class or were no distribution, or an output was not what it was
            taken for.
    """
    teacher, labels, kind = ops.convert_to_numpy(faults) > 0
    if teacher:
        raise ValueError(
            "The logits of `teacher` must be finite. Received: NaN or "
            f"infinite logits from the teacher {distiller.teacher.name!r} "
            f"{when}. The student learned nothing from these batches."
        )
    if labels:
        counts = distiller._models.class_counts(distiller.loss)
        raise ValueError(
            "The class indices in `y` must be at least 0 and less than the "
            f"number of classes, {counts}. Soft labels must be finite, not "
            "negative, and add up to 1. A class index that means no label "
            "must be the `ignore_class` of the loss given to `compile`. "
            f"Received: others {when}. The student learned nothing from "
            "these batches."
        )
    if kind:
        raise ValueError(
            "`from_logits` must say of each model whether its outputs are "
            "logits. Received: rows that are not negative and add up to 1 "
            "from outputs taken for logits, or other rows from outputs taken "
            f"for probabilities, {when}. The student learned nothing from "
            "these batches."
        )
