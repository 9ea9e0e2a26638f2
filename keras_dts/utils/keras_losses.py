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


def loss_setting(loss: Any, name: str, default: Any = None) -> Any:
    """Returns a setting that a loss was made with.

    Some of Keras's losses have it as an attribute, others in their
    configuration alone, as `SparseCategoricalCrossentropy` does in Keras 3.16.

    Args:
        loss: A loss as `compile` takes it for one output, or `None`.
        name: The name of the setting.
        default: What is returned for a loss without it.
    """
    if hasattr(loss, name) or not isinstance(loss, keras.losses.Loss):
        return getattr(loss, name, default)
    return loss.get_config().get(name, default)


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
