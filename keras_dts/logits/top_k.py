"""Coarse distributions: some classes, and one tail for all others.

Of a teacher's distribution over a vocabulary only the `k` most probable
classes are kept, and the mass of all others as one more class, the tail.
Softened and compared, these `k + 1` classes are like any others: a KL
divergence between two coarse distributions is never negative, 0 where they
are equal, and at temperature 1 at most that of the whole ones.
"""

from __future__ import annotations

import dataclasses

from keras import ops

from keras_dts.logits.pair import LogitPair
from keras_dts.types import Tensor

# Out of the question at every temperature in use, and still finite.
_NEVER = -1e9


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
    return coarse_logits(whole, classes), classes


def coarse_head(head: LogitPair, classes: Tensor) -> LogitPair:
    """Returns a head that compares coarse distributions.

    Args:
        head: A head whose teacher's logits are coarse, of shape
            `(batch, ..., k + 1)`, and the student's are not.
        classes: Which classes the teacher's are, int32, shape
            `(batch, ..., k)`.
    """
    teacher = _without_unknown(head.teacher, classes, head.student.shape[-1])
    never = ops.full_like(teacher[..., -1:], _NEVER)
    kept, others = _parted(head.student, classes)
    labels = head.labels
    return dataclasses.replace(
        head,
        teacher=teacher,
        student=_with_last(kept, ops.logsumexp(others, axis=-1)),
        labels=None if labels is None else coarse_labels(labels, classes),
        # The tail is no choice: the best of its classes stands for it.
        choices=(
            ops.concatenate([teacher[..., :-1], never], axis=-1),
            _with_last(kept, ops.max(others, axis=-1)),
        ),
    )


def coarse_logits(logits: Tensor, classes: Tensor) -> Tensor:
    """Returns logits of some classes, and one for all others.

    Args:
        logits: Shape `(batch, ..., classes)`.
        classes: Which classes, int32, shape `(batch, ..., k)`.

    Returns:
        Shape `(batch, ..., k + 1)`: the logits of these classes, and the
        logarithm of the sum of the exponentials of the others'.
    """
    kept, others = _parted(logits, classes)
    return _with_last(kept, ops.logsumexp(others, axis=-1))


def coarse_labels(labels: Tensor, classes: Tensor) -> Tensor:
    """Returns labels for a coarse head.

    Args:
        labels: Class indices of shape `(batch, ...)`, or probabilities of
            shape `(batch, ..., classes)`.
        classes: The head's classes, int32, shape `(batch, ..., k)`.

    Returns:
        Indices from 0 to `k`, where `k` is the tail, int32, of shape
        `(batch, ...)`; or probabilities of shape `(batch, ..., k + 1)`.
    """
    if len(labels.shape) < len(classes.shape):
        same = ops.equal(classes, ops.expand_dims(labels, axis=-1))
        index = ops.cast(ops.argmax(ops.cast(same, "int32"), axis=-1), "int32")
        return ops.where(ops.any(same, axis=-1), index, classes.shape[-1])
    known = ops.less(classes, labels.shape[-1])
    kept = ops.take_along_axis(labels, ops.where(known, classes, 0), axis=-1)
    kept = ops.where(known, kept, 0.0)
    return _with_last(kept, ops.sum(labels, axis=-1) - ops.sum(kept, axis=-1))


def _without_unknown(values: Tensor, classes: Tensor, size: int) -> Tensor:
    """Returns a teacher's coarse logits without classes the student lacks.

    Args:
        values: Shape `(batch, ..., k + 1)`.
        classes: Which classes they are, shape `(batch, ..., k)`.
        size: How many classes the student has.
    """
    kept = ops.where(ops.less(classes, size), values[..., :-1], _NEVER)
    return ops.concatenate([kept, values[..., -1:]], axis=-1)


def _with_last(kept: Tensor, last: Tensor) -> Tensor:
    return ops.concatenate([kept, ops.expand_dims(last, axis=-1)], axis=-1)


def _parted(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the logits of some classes, and all with these out of play."""
    size, k = logits.shape[-1], classes.shape[-1]
    rows = ops.reshape(logits, (-1, size))
    classes = ops.reshape(classes, (-1, k))
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
