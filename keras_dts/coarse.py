"""Coarse distributions: some classes, and one tail for all others.

Of a teacher's distribution over a vocabulary only the `k` most probable
classes are kept, and the mass of all others as one more class, the tail.
Softened and compared, these `k + 1` classes are like any others: a KL
divergence between two coarse distributions is never negative, 0 where they
are equal, and at temperature 1 at most that of the whole ones.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from keras import ops

from keras_dts.logits import Head, Tensor

# Out of the question at every temperature in use, and still finite.
_NEVER = -1e9


class Coarse(NamedTuple):
    """Which classes of the student the classes of a coarse head are.

    Attributes:
        classes: The student's classes, int32, shape `(batch, ..., k)`. One
            that the student does not have stands for no class.
        size: How many classes the student has.
    """

    classes: Tensor
    size: int


def top_classes(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Returns the coarse distribution of logits.

    Args:
        logits: Shape `(batch, ..., classes)`, with more than `k + 1` classes.
        k: How many classes to keep.

    Returns:
        Log probabilities of shape `(batch, ..., k + 1)`, the highest first
        and the tail's last; and the classes, int32, shape `(batch, ..., k)`.
    """
    classes = ops.cast(ops.top_k(logits, k)[1], "int32")
    whole = ops.log_softmax(logits)
    return coarse_logits(whole, Coarse(classes, logits.shape[-1])), classes


def coarse_head(head: Head, classes: Tensor) -> Head:
    """Returns a head that compares coarse distributions.

    Args:
        head: A head whose teacher's logits are coarse, of shape
            `(batch, ..., k + 1)`, and the student's are not.
        classes: Which classes the teacher's are, int32, shape
            `(batch, ..., k)`.
    """
    coarse = Coarse(classes, head.student.shape[-1])
    teacher = _without_unknown(head.teacher, coarse)
    never = ops.full_like(teacher[..., -1:], _NEVER)
    return dataclasses.replace(
        head,
        teacher=teacher,
        student=coarse_logits(head.student, coarse),
        labels=None
        if head.labels is None
        else coarse_labels(head.labels, coarse),
        choices=(
            ops.concatenate([teacher[..., :-1], never], axis=-1),
            best_logits(head.student, coarse),
        ),
    )


def coarse_logits(logits: Tensor, coarse: Coarse) -> Tensor:
    """Returns logits of some classes, and one for all others.

    Args:
        logits: Shape `(batch, ..., classes)`.
        coarse: Which classes.

    Returns:
        Shape `(batch, ..., k + 1)`: the logits of these classes, and the
        logarithm of the sum of the exponentials of the others'.
    """
    kept, others = _parted(logits, coarse)
    tail = ops.logsumexp(others, axis=-1, keepdims=True)
    return ops.concatenate([kept, tail], axis=-1)


def best_logits(logits: Tensor, coarse: Coarse) -> Tensor:
    """Returns logits of some classes, and the highest of the others.

    Which of these is the highest says whether the model's choice is among the
    classes; by `coarse_logits` the tail would be chosen too often.

    Args:
        logits: Shape `(batch, ..., classes)`.
        coarse: Which classes.

    Returns:
        Shape `(batch, ..., k + 1)`.
    """
    kept, others = _parted(logits, coarse)
    best = ops.max(others, axis=-1, keepdims=True)
    return ops.concatenate([kept, best], axis=-1)


def _without_unknown(values: Tensor, coarse: Coarse) -> Tensor:
    """Returns a teacher's coarse logits without classes the student lacks.

    Args:
        values: Shape `(batch, ..., k + 1)`.
        coarse: Which classes they are.
    """
    known = ops.less(coarse.classes, coarse.size)
    kept = ops.where(known, values[..., :-1], _NEVER)
    return ops.concatenate([kept, values[..., -1:]], axis=-1)


def coarse_labels(labels: Tensor, coarse: Coarse) -> Tensor:
    """Returns labels for a coarse head.

    Args:
        labels: Class indices of shape `(batch, ...)`, or probabilities of
            shape `(batch, ..., classes)`.
        coarse: The head's classes, `k` of them.

    Returns:
        Indices from 0 to `k`, where `k` is the tail, int32, of shape
        `(batch, ...)`; or probabilities of shape `(batch, ..., k + 1)`.
    """
    classes = coarse.classes
    if len(labels.shape) < len(classes.shape):
        same = ops.equal(classes, ops.expand_dims(labels, axis=-1))
        index = ops.cast(ops.argmax(ops.cast(same, "int32"), axis=-1), "int32")
        return ops.where(ops.any(same, axis=-1), index, classes.shape[-1])
    known = ops.less(classes, coarse.size)
    kept = ops.take_along_axis(labels, ops.where(known, classes, 0), axis=-1)
    kept = ops.where(known, kept, 0.0)
    rest = ops.sum(labels, axis=-1) - ops.sum(kept, axis=-1)
    return ops.concatenate([kept, ops.expand_dims(rest, axis=-1)], axis=-1)


def _parted(logits: Tensor, coarse: Coarse) -> tuple[Tensor, Tensor]:
    """Returns the logits of some classes, and all with these out of play."""
    size, k = logits.shape[-1], coarse.classes.shape[-1]
    rows = ops.reshape(logits, (-1, size))
    classes = ops.reshape(coarse.classes, (-1, k))
    known = ops.less(classes, size)
    columns = ops.where(known, classes, 0)
    kept = ops.take_along_axis(rows, columns, axis=-1)
    kept = ops.where(known, kept, _NEVER)
    row = ops.expand_dims(ops.arange(ops.shape(rows)[0]), axis=-1)
    row = ops.broadcast_to(row, ops.shape(columns))
    places = ops.stack(
        [ops.cast(ops.reshape(i, (-1,)), "int32") for i in (row, columns)],
        axis=-1,
    )  # (rows * k, 2)
    taken = ops.reshape(ops.cast(known, logits.dtype) * _NEVER, (-1,))
    # Added, because a class that is not known stands on the first one.
    others = ops.scatter_update(rows, places, taken, reduction="add")
    shape = ops.shape(logits)[:-1]
    return (
        ops.reshape(kept, (*shape, k)),
        ops.reshape(others, (*shape, size)),
    )
