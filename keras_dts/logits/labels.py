"""Labels become targets that fit a model's output."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.backend import answer, fast, zero_unless
from keras_dts.logits.families import reads_classes
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype, same_shape, show, static_shape

# How far the sum of soft labels may be from 1, in half precision.
TOLERANCE = 1e-2
# How far their sum may be from that of their sizes, by what rounding leaves.
_NEGATIVE = 1e-4
# Integers that int32 holds, or that it turns into negative ones.
_EXACT = {"bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"}


def fitting_labels(
    labels: Tensor | None, outputs: Tensor, loss: Any, *, independent: bool
) -> Tensor | None:
    """Returns the labels of one output, if they say something of its entries.

    Other labels, such as the letters of a CTC loss, are what the loss given to
    `compile` reads, and nothing else does.

    Args:
        labels: The labels given, or `None`.
        outputs: The student's output.
        loss: The loss given to `compile` for this output, or `None`.
        independent: Whether the output is of labels that may all be true.

    Raises:
        ValueError: If they do not fit, and there is no loss that could be the
            one to read them.
    """
    known = reads_classes(loss)
    if labels is None or known is False:
        return None
    try:
        if independent:
            check_label_rows(labels, outputs)
        else:
            are_indices(labels, outputs)
    except ValueError:
        if known or loss is None:
            raise
        return None
    return labels


def are_indices(labels: Tensor, outputs: Tensor) -> bool:
    """Says whether labels are class indices, and not probabilities.

    Args:
        labels: Class indices of shape `(batch, ...)` or `(batch, ..., 1)`,
            or one-hot or soft labels of shape `(batch, ..., classes)`.
        outputs: The model's output, shape `(batch, ..., classes)`.

    Raises:
        ValueError: If the shape of `labels` fits neither, or they are no real
            numbers.
    """
    entries, shape = outputs.shape[:-1], static_shape(labels)
    _check_dtype(labels)
    if same_shape(shape, entries) or same_shape(shape, (*entries, 1)):
        return True
    if same_shape(shape, outputs.shape):
        return False
    raise ValueError(
        f"`y` must hold class indices of shape {show(entries)} or one-hot "
        f"labels of shape {show(outputs.shape)}, to fit the student's output. "
        f"Received: y.shape={show(shape) if shape else 'unknown'}"
    )


def check_label_rows(labels: Tensor, outputs: Tensor) -> None:
    """Checks labels that may all be true.

    Args:
        labels: The labels.
        outputs: The student's output.

    Raises:
        ValueError: Unless they are real numbers of the output's shape.
    """
    _check_dtype(labels)
    if not same_shape(static_shape(labels), outputs.shape):
        raise ValueError(
            "`y` must say of each label whether it is true, shape "
            f"{show(outputs.shape)}, where the loss is a binary cross entropy "
            "or the outputs are sigmoids. Received: "
            f"y.shape={show(static_shape(labels))}"
        )


def _check_dtype(labels: Tensor) -> None:
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if "int" not in dtype and "float" not in dtype and dtype != "bool":
        raise ValueError(
            "`y` must hold class indices or probabilities. Received: "
            f"y.dtype={dtype}"
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
    labels = _without_column(labels, outputs)
    if outputs.shape[-1] != 1:
        return _cast(labels, "int32")
    return _both(ops.cast(labels, loss_dtype()))


class SafeLabels(NamedTuple):
    """The labels of one output, without those that mean nothing.

    Attributes:
        labels: The labels as `to_labels` returns them. A class index that
            names no class is replaced by the nearest one that does, and soft
            labels that are no probabilities by zeros.
        bad: Which entries held such labels, bool, shape `(batch, ...)`.
        unlabelled: Which entries have no label: their index is the one that
            means it, or their soft labels are all 0. Bool, of the same shape;
            `None` where no index means that, or where there are none.
        given: The safe labels with the shape and the dtype of those given.
    """

    labels: Tensor
    bad: Tensor
    unlabelled: Tensor | None
    given: Tensor


def read_labels(
    labels: Tensor, outputs: Tensor, ignore: int | None
) -> SafeLabels:
    """Reads the labels of one output, so that bad ones can do no harm.

    Args:
        labels: As for `to_labels`.
        outputs: The student's output, shape `(batch, ..., classes)`.
        ignore: A class index that means "no label", or `None`.
    """
    if not are_indices(labels, outputs):
        return _read_distributions(labels)
    row = _without_column(labels, outputs)
    if outputs.shape[-1] == 1:
        positive, bad = _read_truths(row)
        safe, unlabelled, given = _both(positive), None, positive
    else:
        safe, bad, unlabelled = _read_indices(
            row, ops.shape(outputs)[-1], ignore
        )
        given = _cast(safe, labels.dtype)
        if unlabelled is not None:
            given = ops.where(unlabelled, row, given)
    if len(labels.shape) > len(given.shape):
        given = ops.expand_dims(given, axis=-1)
    return SafeLabels(safe, bad, unlabelled, _cast(given, labels.dtype))


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
    positive, bad = _read_truths(labels)
    given = _cast(positive, labels.dtype)
    return SafeLabels(_both(positive), bad, None, given)


def _read_indices(
    labels: Tensor, classes: int, ignore: int | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Returns safe indices, which were bad, and which mean "no label"."""
    whole = labels
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if dtype != "int64":
        whole = _cast(labels, "int32")
    safe = fast.clip(whole, 0, classes - 1)
    bad = fast.not_equal(safe, whole)
    unlabelled = None
    if ignore is not None:
        labelled = fast.not_equal(whole, ignore)
        bad = bad & labelled
        unlabelled = _unless_none(~labelled)
    if dtype != "int64" and dtype not in _EXACT:
        # Fractions, NaN, and what is too large for int32.
        wide = dtype if "int" in dtype else loss_dtype()
        changed = ops.not_equal(ops.cast(whole, wide), ops.cast(labels, wide))
        bad = ops.logical_or(bad, changed)
    return _cast(safe, "int32"), bad, unlabelled


def _read_distributions(labels: Tensor) -> SafeLabels:
    """Reads one-hot or soft labels."""
    read = _cast(labels, loss_dtype())
    sums = fast.sum_(read, -1)
    negative = fast.sum_(abs(read), -1) - sums
    labelled = fast.not_equal(sums, 0)
    adds_up = (abs(sums - 1) < TOLERANCE) | ~labelled
    good = adds_up & (negative < _NEGATIVE)  # NaN is neither
    safe = zero_unless(good[..., None], read)
    unlabelled = _unless_none(~labelled)
    return SafeLabels(safe, ~good, unlabelled, _cast(safe, labels.dtype))


def _unless_none(flags: Tensor) -> Tensor | None:
    """Returns flags, or `None` where Python can know that none is up."""
    return None if answer(fast.any_(flags)) is False else flags


def _read_truths(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns how true labels are, from 0 to 1, and which were bad."""
    read = _cast(labels, loss_dtype())
    good = (read >= 0) & (read <= 1)  # NaN is neither
    return zero_unless(good, read), ~good


def _both(positive: Tensor) -> Tensor:
    """Returns the probabilities of false and true, shape `(..., 2)`."""
    return ops.stack([1 - positive, positive], axis=-1)


def _without_column(labels: Tensor, outputs: Tensor) -> Tensor:
    """Makes `(batch, ..., 1)` of class indices `(batch, ...)`."""
    if len(labels.shape) < len(outputs.shape):
        return labels
    return ops.squeeze(labels, axis=-1)


def _cast(labels: Tensor, dtype: str) -> Tensor:
    dtype = keras.backend.standardize_dtype(dtype)
    known = keras.backend.standardize_dtype(labels.dtype) == dtype
    return labels if known else ops.cast(labels, dtype)
