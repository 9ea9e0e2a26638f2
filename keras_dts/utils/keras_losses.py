"""Keras's own losses, before they reduce."""

from __future__ import annotations

from typing import Any

import keras


def unreduced(function: Any, teacher: Any, student: Any) -> Any:
    """Returns a Keras loss before its reduction, one value per example.

    Args:
        function: A `keras.losses.Loss`, or a function of two tensors.
        teacher: Shape `(batch, ...)`.
        student: Of the same shape.
    """
    if isinstance(function, keras.losses.Loss):
        return function.call(teacher, student)
    return function(teacher, student)


def is_keras_loss(loss: Any, kind: Any) -> bool:
    """Says whether a loss computes what a class of Keras's computes.

    Args:
        loss: The loss.
        kind: The class; a subclass with a `compute_loss` of its own does not
            count.
    """
    return isinstance(loss, kind) and (
        type(loss).compute_loss is kind.compute_loss
    )
