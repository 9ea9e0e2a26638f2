"""Labels become targets that fit a model's output."""

from __future__ import annotations

from keras import ops

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
    if outputs.shape[-1] > 1:
        return ops.cast(labels, "int32")
    positive = ops.cast(labels, loss_dtype())
    return ops.stack([1 - positive, positive], axis=-1)


def read_labels(
    labels: Tensor, outputs: Tensor, ignore: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Reads one output's labels, so that bad ones can do no harm.

    Args:
        labels: As for `to_labels`.
        outputs: The student's output, shape `(batch, ..., classes)`.
        ignore: A class index that means "no label", or `None`.

    Returns:
        The labels as `to_labels` gives them, with 0 for an index that names
        no class; which entries hold such an index, shape `(batch, ...)`; and
        which hold `ignore`, of the same shape.
    """
    read = to_labels(labels, outputs)
    if len(read.shape) == len(outputs.shape):
        nothing = ops.zeros(ops.shape(outputs)[:-1], dtype="bool")
        return read, nothing, nothing
    bad = ops.logical_or(
        ops.less(read, 0), ops.greater_equal(read, outputs.shape[-1])
    )
    ignored = ops.equal(read, -1 if ignore is None else ignore)
    if ignore is None:
        ignored = ops.zeros_like(bad)
    safe = ops.where(bad, 0, read)
    return safe, ops.logical_and(bad, ops.logical_not(ignored)), ignored
