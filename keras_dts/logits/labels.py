"""Labels become targets that fit a model's output."""

from __future__ import annotations

from typing import NamedTuple

import keras
from keras import ops

from keras_dts.backend import fast
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype, same_shape, show, static_shape


def are_indices(labels: Tensor, outputs: Tensor) -> bool:
    """Says whether labels are class indices, and not probabilities.

    Args:
        labels: Class indices of shape `(batch, ...)` or `(batch, ..., 1)`,
            or one-hot or soft labels of shape `(batch, ..., classes)`.
        outputs: The model's output, shape `(batch, ..., classes)`.

    Raises:
        ValueError: If the shape of `labels` fits neither.
    """
    entries, shape = outputs.shape[:-1], static_shape(labels)
    if same_shape(shape, entries) or same_shape(shape, (*entries, 1)):
        return True
    if same_shape(shape, outputs.shape):
        return False
    raise ValueError(
        f"`y` must hold class indices of shape {show(entries)} or one-hot "
        f"labels of shape {show(outputs.shape)}, to fit the student's output. "
        f"Received: y.shape={show(shape) if shape else 'unknown'}"
    )


def to_labels(labels: Tensor, outputs: Tensor) -> Tensor:
    """Returns class indices or probabilities that fit a model's output.

    Args:
        labels: As for `are_indices`.
        outputs: The model's output, shape `(batch, ..., classes)`.

    Returns:
        Class indices, int32, of shape `(batch, ...)`, or probabilities, of
        shape `(batch, ..., max(classes, 2))`.
    """
    if not are_indices(labels, outputs):
        return ops.cast(labels, loss_dtype())
    if len(labels.shape) == len(outputs.shape):
        labels = ops.squeeze(labels, axis=-1)
    if outputs.shape[-1] != 1:
        is_int32 = keras.backend.standardize_dtype(labels.dtype) == "int32"
        return labels if is_int32 else ops.cast(labels, "int32")
    positive = ops.cast(labels, loss_dtype())
    return ops.stack([1 - positive, positive], axis=-1)


class SafeLabels(NamedTuple):
    """The labels of one output, with no index that names no class.

    Attributes:
        labels: The labels as `to_labels` returns them; an index that names no
            class is replaced by the nearest one that does.
        bad: Which entries held such an index, bool, shape `(batch, ...)`;
            `None` for probabilities.
        ignored: Which entries held the index that means "no label", of the
            same shape; `None` where no index means that.
    """

    labels: Tensor
    bad: Tensor | None
    ignored: Tensor | None


def read_labels(
    labels: Tensor, outputs: Tensor, ignore: int | None
) -> SafeLabels:
    """Reads the labels of one output, so that bad ones can do no harm.

    Args:
        labels: As for `to_labels`.
        outputs: The student's output, shape `(batch, ..., classes)`.
        ignore: A class index that means "no label", or `None`.
    """
    read = to_labels(labels, outputs)
    if len(read.shape) == len(outputs.shape):
        return SafeLabels(read, None, None)
    safe = fast.clip(read, 0, ops.shape(outputs)[-1] - 1)
    bad = fast.not_equal(safe, read)
    if ignore is None:
        return SafeLabels(safe, bad, None)
    ignored = ops.equal(read, ignore)
    return SafeLabels(safe, ops.logical_and(bad, ~ignored), ignored)


def read_label_rows(labels: Tensor, outputs: Tensor) -> SafeLabels:
    """Reads labels that may all be true, each as a choice between two classes.

    Args:
        labels: How true each label is, from 0 to 1, shape `(batch, ...,
            labels)`.
        outputs: The student's output, of the same shape.

    Returns:
        Probabilities of false and true, shape `(batch, ..., labels, 2)`.

    Raises:
        ValueError: If the shapes differ.
    """
    check_label_rows(labels, outputs)
    positive = ops.cast(labels, loss_dtype())
    both = ops.stack([1 - positive, positive], axis=-1)
    return SafeLabels(both, None, None)


def check_label_rows(labels: Tensor, outputs: Tensor) -> None:
    """Raises a `ValueError` unless labels have the shape of the output."""
    if not same_shape(static_shape(labels), outputs.shape):
        raise ValueError(
            "`y` must say of each label whether it is true, shape "
            f"{show(outputs.shape)}, where the loss is a binary cross entropy "
            "or the outputs are sigmoids. Received: "
            f"y.shape={show(static_shape(labels))}"
        )


def restore_labels(
    safe: Tensor, labels: Tensor, ignored: Tensor | None
) -> Tensor:
    """Gives safe labels the shape and the dtype of the labels given.

    Args:
        safe: Class indices, shape `(batch, ...)`.
        labels: The labels given, shape `(batch, ...)` or `(batch, ..., 1)`.
        ignored: Which entries keep the index that was given, or `None`.
    """
    if len(labels.shape) > len(safe.shape):
        safe = ops.expand_dims(safe, axis=-1)
        ignored = None if ignored is None else ops.expand_dims(ignored, -1)
    if safe.dtype != labels.dtype:
        safe = ops.cast(safe, labels.dtype)
    return safe if ignored is None else ops.where(ignored, labels, safe)
