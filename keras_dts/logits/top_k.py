"""Top-k distributions: the most probable classes, and one for the rest.

Of a teacher's distribution over a vocabulary a cache may keep the `k` most
probable classes, and the mass of all others as one more class, the rest.
Softened and compared, these `k + 1` classes are like any others: a KL
divergence between two top-k distributions is never negative, 0 where they are
equal, and at temperature 1 at most that of the whole distributions.
"""

from __future__ import annotations

import dataclasses

from keras import ops

from keras_dts.logits.pair import LogitPair
from keras_dts.types import Tensor

# Out of the question at every temperature in use, and still finite.
_NEVER = -1e9


def top_classes(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Returns the top-k distribution of logits.

    Args:
        logits: Shape `(batch, ..., classes)`, with more than `k + 1` classes.
        k: How many classes to keep.

    Returns:
        Log probabilities of shape `(batch, ..., k + 1)`, the highest first
        and the rest's last; and the classes, int32, shape `(batch, ..., k)`.
    """
    classes = ops.cast(ops.top_k(logits, k)[1], "int32")
    return top_k_logits(ops.log_softmax(logits), classes), classes


def top_k_pair(pair: LogitPair, classes: Tensor) -> LogitPair:
    """Returns a pair that compares top-k distributions.

    Args:
        pair: A pair whose teacher's logits are top-k logits, of shape
            `(batch, ..., k + 1)`, and the student's are not.
        classes: Which classes the teacher's are, int32, shape
            `(batch, ..., k)`.
    """
    teacher = _without_unknown(pair.teacher, classes, pair.student.shape[-1])
    never = ops.full_like(teacher[..., -1:], _NEVER)
    kept, others = _split(pair.student, classes)
    labels = pair.labels
    return dataclasses.replace(
        pair,
        teacher=teacher,
        student=_with_last(kept, ops.logsumexp(others, axis=-1)),
        labels=None if labels is None else top_k_labels(labels, classes),
        # The rest is none to choose: the best of its classes stands for it.
        argmax_pair=(
            ops.concatenate([teacher[..., :-1], never], axis=-1),
            _with_last(kept, ops.max(others, axis=-1)),
        ),
    )


def top_k_logits(logits: Tensor, classes: Tensor) -> Tensor:
    """Returns the logits of some classes, and one for the rest.

    Args:
        logits: Shape `(batch, ..., classes)`.
        classes: Which classes, int32, shape `(batch, ..., k)`.

    Returns:
        Shape `(batch, ..., k + 1)`: the logits of these classes, and the
        logarithm of the sum of the exponentials of all others.
    """
    kept, others = _split(logits, classes)
    return _with_last(kept, ops.logsumexp(others, axis=-1))


def top_k_labels(labels: Tensor, classes: Tensor) -> Tensor:
    """Returns labels for top-k logits.

    Args:
        labels: Class indices of shape `(batch, ...)`, or probabilities of
            shape `(batch, ..., classes)`.
        classes: The classes of the logits, int32, shape `(batch, ..., k)`.

    Returns:
        Indices from 0 to `k`, where `k` is the rest, int32, of shape
        `(batch, ...)`; or probabilities of shape `(batch, ..., k + 1)`.
    """
    if len(labels.shape) < len(classes.shape):
        same = ops.equal(classes, ops.expand_dims(labels, axis=-1))
        index = ops.cast(ops.argmax(ops.cast(same, "int32"), axis=-1), "int32")
        return ops.where(ops.any(same, axis=-1), index, classes.shape[-1])
    known = ops.less(classes, labels.shape[-1])
    kept = ops.take_along_axis(labels, ops.where(known, classes, 0), axis=-1)
    kept = ops.where(known, kept, 0.0)  # (batch, ..., k)
    return _with_last(kept, ops.sum(labels, axis=-1) - ops.sum(kept, axis=-1))


def _without_unknown(values: Tensor, classes: Tensor, size: int) -> Tensor:
    """Returns a teacher's top-k logits without classes the student lacks.

    Args:
        values: Shape `(batch, ..., k + 1)`.
        classes: Which classes they are, shape `(batch, ..., k)`.
        size: How many classes the student has.
    """
    kept = ops.where(ops.less(classes, size), values[..., :-1], _NEVER)
    return ops.concatenate([kept, values[..., -1:]], axis=-1)


def _with_last(kept: Tensor, last: Tensor) -> Tensor:
    """Appends one more class: `(batch, ..., k)` to `(batch, ..., k + 1)`."""
    return ops.concatenate([kept, ops.expand_dims(last, axis=-1)], axis=-1)


def _split(logits: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the logits of some classes, and all with these ruled out."""
    size, k = logits.shape[-1], classes.shape[-1]
    rows = ops.reshape(logits, (-1, size))  # (entries, size)
    classes = ops.reshape(classes, (-1, k))  # (entries, k)
    known = ops.less(classes, size)
    columns = ops.where(known, classes, 0)
    kept = ops.take_along_axis(rows, columns, axis=-1)
    kept = ops.where(known, kept, _NEVER)  # (entries, k)
    row = ops.expand_dims(ops.arange(ops.shape(rows)[0]), axis=-1)
    row = ops.broadcast_to(row, ops.shape(columns))  # (entries, k)
    places = ops.stack(
        [ops.cast(ops.reshape(i, (-1,)), "int32") for i in (row, columns)],
        axis=-1,
    )  # (entries * k, 2)
    taken = ops.reshape(ops.cast(known, logits.dtype) * _NEVER, (-1,))
    # Added, because a class that is not known stands on the first one.
    others = ops.scatter_update(rows, places, taken, reduction="add")
    shape = ops.shape(logits)[:-1]
    return (
        ops.reshape(kept, (*shape, k)),
        ops.reshape(others, (*shape, size)),
    )
