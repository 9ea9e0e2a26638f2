"""The outputs, labels and class names of classifiers, for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from keras_dts.distiller import Distiller
from keras_dts.logits import (
    find_output_kinds,
    gives_logits,
    read_labels,
    to_logits,
)


def logits_of(
    name: str, model: keras.Model, x: Any, from_logits: bool | str
) -> npt.NDArray[Any]:
    """Returns a model's logits, float64, shape `(batch, classes)`.

    Args:
        name: The name of the model's argument, for the error message.
        model: The model.
        x: The model's inputs.
        from_logits: Whether the outputs are logits, or `"auto"`.

    Raises:
        ValueError: If the outputs are not of shape `(batch, classes)`.
    """
    if isinstance(model, Distiller):
        model = model.student  # whose last activation can be detected
    outputs = keras.tree.flatten(model.predict(x, verbose=0))
    if len(outputs) != 1 or np.ndim(outputs[0]) != 2:
        shapes = [np.shape(output) for output in outputs]
        raise ValueError(
            f"`{name}` must be a classifier with one output of shape (batch, "
            f"classes). Received: {model.name!r}, with outputs of shapes "
            f"{shapes}"
        )
    find_output_kinds(model, from_logits)
    is_logits = gives_logits(model, 0, from_logits)
    logits = to_logits(outputs[0], from_logits=is_logits)
    return np.asarray(ops.convert_to_numpy(logits), "float64")


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the probabilities of logits, over the last axis.

    NumPy computes them in float64, which `keras.ops` on JAX does not have.
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: npt.NDArray[Any] = powers / powers.sum(
        axis=-1, keepdims=True
    )
    return probabilities


def indices(y: Any, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns labels as class indices, shape `(batch,)`.

    Args:
        y: The labels, as `fit` takes them.
        outputs: The outputs that the labels belong to, shape
            `(batch, classes)`.

    Raises:
        ValueError: If the labels do not fit the outputs.
    """
    y = np.asarray(y)
    if len(y) != len(outputs):
        raise ValueError(
            "`y` must have a label for each example. Received: "
            f"{len(y)} labels, {len(outputs)} examples"
        )
    given, logits = (
        ops.convert_to_tensor(a, dtype="float32") for a in (y, outputs)
    )
    safe = read_labels(given, logits, ignore=None)
    read: npt.NDArray[Any] = ops.convert_to_numpy(safe.labels)
    if np.any(ops.convert_to_numpy(safe.bad)):
        wanted = (
            "The class indices in `y` must be at least 0 and less than the "
            f"number of classes, {outputs.shape[-1]}"
            if read.ndim == 1
            else "The soft labels in `y` must not be negative, and add up to 1"
        )
        raise ValueError(
            f"{wanted}. Received: numbers from {y.min()} to {y.max()}"
        )
    return read.argmax(axis=-1) if read.ndim > 1 else read


def names_of(classes: int, class_names: Sequence[str] | None) -> list[str]:
    """Returns a name for each class.

    Raises:
        ValueError: If the number of names is another one.
    """
    if class_names is None:
        return [str(i) for i in range(classes)]
    if len(class_names) != classes:
        raise ValueError(
            f"`class_names` must name each of the {classes} classes. "
            f"Received: {len(class_names)} names"
        )
    return [plain(name) for name in class_names]


def plain(text: Any) -> str:
    """Returns a text in which Matplotlib takes no `$` for a formula."""
    return str(text).replace("$", r"\$")
