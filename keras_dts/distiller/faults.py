"""Broken batches: what the steps have noted is told."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.distiller.notes import CAUSES
from keras_dts.distiller.state import pairs_in


class FaultGuard(keras.callbacks.Callback):
    """Tells of broken batches; `keras_dts.Distiller.fit` adds it.

    A step notes what is wrong with its batch, and changes nothing else. The
    notes are read before the second step and after each epoch, so that no
    other step waits for them.

    The first two steps are watched by standing in for the model's
    `train_function`, because Keras calls the batch methods of a callback in
    every step, from another thread.

    Args:
        y: The labels given to `fit`, or `None`, for messages.
    """

    def __init__(self, y: Any = None) -> None:
        super().__init__()
        self._y = y
        self._epoch = 0
        self._distiller: Any = None
        self._train: Callable[..., Any] | None = None

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Forgets older notes, and before the first epoch begins to watch."""
        self._epoch = epoch
        self.model.objective.notes.clear()
        if self._distiller is None:
            # On JAX, `self.model` moves the state back into the variables,
            # which the steps below must not do.
            self._distiller = distiller = self.model
            self._train = distiller.train_function
            distiller.train_function = self._first_step

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Reads the notes of the epoch, and logs how many steps it skipped."""
        distiller, steps = self.model, self.params["steps"]
        counts = distiller.objective.notes.counts
        if distiller.on_fault == "raise":
            self._raise(counts)
            return
        skipped = int(ops.convert_to_numpy(ops.sum(counts)))
        if logs is not None:
            logs["skipped_steps"] = skipped
        if skipped == steps:
            self._raise(counts)
        if skipped:
            causes = describe(distiller, counts, self._when(), self._y)
            warnings.warn("\n".join(causes), stacklevel=2)

    def __enter__(self) -> FaultGuard:
        """Begins a training; the steps are watched from its first epoch on."""
        return self

    def __exit__(self, *error: object) -> None:
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
        noted = self._distiller.objective.notes.counts
        values = _values_in_state(self._distiller, *args)
        found = [value for variable, value in values if variable is noted]
        if self._distiller.on_fault == "raise":
            self._raise(found[0] if found else noted)
        self._distiller.train_function = self._train
        return self._step(*args)

    def _step(self, *args: Any) -> Any:
        train: Any = self._train
        return train(*args)

    def _raise(self, counts: Any) -> None:
        raise_faults(self._distiller, counts, self._when(), self._y)

    def _when(self) -> str:
        return f"epoch {self._epoch + 1} of {self.params['epochs']}"


def _values_in_state(distiller: Any, *args: Any) -> list[tuple[Any, Any]]:
    """Returns the variables whose values a step gets, with these values.

    Args:
        distiller: A `keras_dts.Distiller`.
        *args: The arguments of its `train_function`. On JAX, the state comes
            first, with the values that Keras has taken out of the variables.
    """
    if keras.config.backend() != "jax":
        return []
    return pairs_in(distiller, args[0])


def raise_faults(distiller: Any, counts: Any, when: str, y: Any = None) -> None:
    """Raises if the steps of a distiller have noted a broken batch.

    Args:
        distiller: A `keras_dts.Distiller`.
        counts: How many steps were broken, by cause, see `FaultNotes`.
        when: Where they were, for the message.
        y: The labels given, or `None`.

    Raises:
        ValueError: The first of `describe`.
    """
    for message in describe(distiller, counts, when, y):
        raise ValueError(message)


def describe(
    distiller: Any, counts: Any, when: str, y: Any = None
) -> list[str]:
    """Says what was wrong with the steps of a distiller, cause by cause.

    Args:
        distiller: A `keras_dts.Distiller`.
        counts: How many steps were broken, by cause, see `FaultNotes`.
        when: Where they were, for the messages.
        y: The labels given, or `None`.
    """
    counts = ops.convert_to_numpy(counts)
    labels = "others"
    if counts[CAUSES.index("labels")] and y is not None:
        labels = distiller._models.first_bad_label(y, distiller.loss)
    names = {
        "teacher": repr(distiller.teacher.name),
        "student": repr(distiller.student.name),
        "classes": distiller._models.class_counts(distiller.loss),
        "labels": labels,
    }
    noted = zip(CAUSES, counts, strict=True)
    return [
        f"{_MESSAGES[cause].format(**names)}, in {_steps(int(count))} of "
        f"{when}. Such a step changes nothing."
        for cause, count in noted
        if count > 0
    ]


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


_MESSAGES = {
    "inputs": "`x` must be finite. Received: NaN or infinite inputs",
    "weights": (
        "`sample_weight` must be finite. Received: NaN or infinite weights"
    ),
    "schedules": (
        "The weights of losses and the temperature must be finite. Received: "
        "NaN or infinite ones from `student_loss_weight`, "
        "`distillation_loss_weights` or `temperature`"
    ),
    "rate": (
        "The learning rate of `optimizer` must be finite. Received: NaN or "
        "infinity"
    ),
    "labels": (
        "The class indices in `y` must be at least 0 and less than the number "
        "of classes, {classes}. Soft labels must be finite, not negative, and "
        "add up to 1. A class index that means no label must be the "
        "`ignore_class` of the loss given to `compile`. Received: {labels}"
    ),
    "teacher": (
        "The logits of `teacher` must be finite. Received: NaN or infinite "
        "logits from the teacher {teacher}"
    ),
    "ruled out": (
        "A class that the teacher {teacher} rules out by a logit of -inf must "
        "be ruled out by the student too, or the loss must take it. Received: "
        "logits of -inf, and a loss that is not finite"
    ),
    "kind": (
        "`from_logits` must say of each model whether its outputs are logits. "
        "Received: rows that are not negative and add up to 1 from outputs "
        "taken for logits, or other rows from outputs taken for probabilities"
    ),
    "loss": (
        "The loss of `student` must be finite. Received: NaN or infinity, from "
        "finite inputs and finite logits of the teacher: from weights or "
        "outputs of the student {student}, from values of the teacher, from "
        "labels, or from a loss"
    ),
}
