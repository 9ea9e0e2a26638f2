"""Prepares the outputs of both models for the losses that read logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.logits import (
    EntryWeights,
    Head,
    Tensor,
    are_indices,
    check_sample_weight,
    read_labels,
    show,
    to_logits,
    wide,
)


class Reading(NamedTuple):
    """How one output is to be read.

    Attributes:
        teacher_logits: Whether the teacher's output is logits.
        student_logits: Whether the student's output is logits.
        ignore: The class index that means "no label", or `None`.
    """

    teacher_logits: bool
    student_logits: bool
    ignore: int | None


class Prepared(NamedTuple):
    """What `prepare` returns.

    Attributes:
        heads: For each output a `Head`, or `None` where no loss reads it.
        faults: Whether the teacher's logits are not all finite, and whether
            some labels name no class: 0 or 1 each, float32, shape `(2,)`.
        y: The labels given, with 0 for indices that name no class.
    """

    heads: list[Head | None]
    faults: Tensor
    y: Any


def prepare(
    teacher: Any,
    student: Any,
    y: Any,
    sample_weight: Any,
    readings: list[Reading | None],
    entry_weights: EntryWeights,
) -> Prepared:
    """Prepares the outputs of both models.

    Args:
        teacher: The teacher's outputs: a tensor, list or dictionary.
        student: The student's outputs, of the same structure.
        y: The labels, or `None`.
        sample_weight: The user's weights, or `None`.
        readings: How to read each output; `None` where no loss reads it.
        entry_weights: Makes weights of masks and sample weights.
    """
    heads: list[Head | None] = []
    faults = [ops.zeros((2,), dtype=wide())]
    all_labels = one_for_each(y, student)
    for i, (theirs, ours, labels, weight, reading) in enumerate(
        zip(
            keras.tree.flatten(teacher),
            keras.tree.flatten(student),
            all_labels,
            one_for_each(sample_weight, student),
            readings,
            strict=True,
        )
    ):
        if reading is None:
            heads.append(None)
            continue
        weights = (
            entry_weights(ours)
            if weight is None
            else entry_weights(ours, sample_weight=weight)
        )
        head, fault = _head(theirs, ours, labels, weights, reading)
        if labels is not None and len(head.labels.shape) < len(ours.shape):
            all_labels[i] = _restored(head.labels, labels, reading.ignore)
        heads.append(head)
        faults.append(fault)
    y = None if y is None else _like(y, student, all_labels)
    return Prepared(heads, ops.max(ops.stack(faults), axis=0), y)


def _head(
    teacher: Tensor,
    student: Tensor,
    labels: Tensor | None,
    weights: Tensor,
    reading: Reading,
) -> tuple[Head, Tensor]:
    label_fault = ops.zeros((), dtype=wide())
    safe = None
    if labels is not None:
        safe, bad, ignored = read_labels(labels, student, reading.ignore)
        weights = ops.where(ignored, 0.0, weights)
        label_fault = _any(bad, weights)
    theirs = to_logits(teacher, from_logits=reading.teacher_logits)
    # A sum is finite only where all that it adds up is.
    finite = ops.isfinite(ops.sum(theirs, axis=-1))
    teacher_fault = _any(ops.logical_not(finite), weights)
    head = Head(
        teacher=ops.where(ops.expand_dims(finite, axis=-1), theirs, 0.0),
        student=to_logits(student, from_logits=reading.student_logits),
        labels=safe,
        weights=weights,
    )
    return head, ops.stack([teacher_fault, label_fault])


def _any(flags: Tensor, weights: Tensor) -> Tensor:
    """Returns 1 if a flag is up at an entry that weighs something, else 0."""
    counted = ops.logical_and(flags, ops.not_equal(weights, 0))
    return ops.cast(ops.any(counted), wide())


def _restored(safe: Tensor, labels: Tensor, ignore: int | None) -> Tensor:
    """Gives safe labels the shape and dtype that the user's had."""
    safe = ops.cast(ops.reshape(safe, ops.shape(labels)), labels.dtype)
    if ignore is None:
        return safe
    return ops.where(ops.equal(labels, ignore), labels, safe)


def one_for_each(structure: Any, outputs: Any) -> list[Any]:
    """Returns labels or sample weights for each output, as a flat list.

    A structure that does not fit is left for Keras to complain about.
    """
    count = len(keras.tree.flatten(outputs))
    if isinstance(structure, dict) and isinstance(outputs, dict):
        return [structure.get(key) for key in sorted(outputs)]
    if isinstance(structure, (list, tuple, dict)):
        flat = keras.tree.flatten(structure)
        return flat if len(flat) == count else [None] * count
    return [structure] * count


def _like(y: Any, outputs: Any, flat: list[Any]) -> Any:
    """Puts flat labels back into the structure the user gave them in."""
    if isinstance(y, dict) and isinstance(outputs, dict):
        new = dict(zip(sorted(outputs), flat, strict=True))
        return {key: new.get(key, value) for key, value in y.items()}
    if isinstance(y, (list, tuple, dict)):
        if len(keras.tree.flatten(y)) != len(flat):
            return y
        return keras.tree.pack_sequence_as(y, flat)
    return flat[0] if len(flat) == 1 else y


def check_targets(
    y: Any, sample_weight: Any, student: Any, read: list[bool]
) -> None:
    """Raises unless labels and weights fit the outputs that losses read.

    Args:
        y: The labels, or `None`.
        sample_weight: The user's weights, or `None`.
        student: The student's outputs.
        read: For each of them, whether a loss on logits reads it.

    Raises:
        ValueError: If a shape does not fit.
    """
    for output, labels, weight, checked in zip(
        keras.tree.flatten(student),
        one_for_each(y, student),
        one_for_each(sample_weight, student),
        read,
        strict=True,
    ):
        if checked and labels is not None:
            are_indices(labels, output)
        if checked and weight is not None:
            check_sample_weight(weight, output[..., 0])


def check_outputs(teacher: Any, student: Any, read: list[bool]) -> None:
    """Raises unless the outputs that losses read fit each other.

    Args:
        teacher: The teacher's outputs.
        student: The student's outputs.
        read: For each of the student's outputs, whether a loss on logits
            reads it.

    Raises:
        ValueError: If the models have different numbers of outputs or of
            classes, or the shapes differ.
    """
    theirs, ours = keras.tree.flatten(teacher), keras.tree.flatten(student)
    if len(theirs) != len(ours):
        raise ValueError(
            "`teacher` and `student` must have the same outputs. Received: "
            f"{len(theirs)} outputs of the teacher, {len(ours)} of the student"
        )
    for t, s, checked in zip(theirs, ours, read, strict=True):
        sizes = zip(t.shape, s.shape, strict=False)
        if checked and (
            len(t.shape) != len(s.shape)
            or any(a != b for a, b in sizes if None not in (a, b))
        ):
            what = "classes" if t.shape[-1] != s.shape[-1] else "output shape"
            raise ValueError(
                f"`teacher` and `student` must have the same {what}. "
                f"Received: outputs of shape {show(t.shape)} from the teacher "
                f"and {show(s.shape)} from the student"
            )
