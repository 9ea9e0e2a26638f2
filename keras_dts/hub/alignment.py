"""Which positions of a batch of tokens are compared, and which are padding."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.types import PreprocessedInputs, Tensor


def align_spans(
    outputs: Any, teacher_counts: Tensor, student_counts: Tensor
) -> tuple[Any, Tensor]:
    """Moves a teacher's outputs to the positions of the student's tokens.

    Models with different tokenizers split a text at different places. The
    first position that counts for the teacher is compared with the first
    position that counts for the student, the second with the second, and so
    on to the end of the shorter sequence.

    Args:
        outputs: The teacher's outputs, each of shape
            `(batch, teacher_length, classes)`.
        teacher_counts: Nonzero where the teacher's positions count, without
            gaps, shape `(batch, teacher_length)`.
        student_counts: Nonzero where the student's positions count, without
            gaps, shape `(batch, student_length)`.

    Returns:
        The outputs at the student's positions, each of shape
        `(batch, student_length, classes)`; and 1 where a position counts for
        both models, else 0, float32, shape `(batch, student_length)`.
    """
    theirs, ours = (
        ops.cast(ops.not_equal(ops.cast(counts, "int32"), 0), "int32")
        for counts in (teacher_counts, student_counts)
    )
    length = ops.shape(theirs)[1]
    first = ops.argmax(theirs, axis=1)[:, None]  # (batch, 1)
    place = ops.arange(ops.shape(ours)[1])[None] - ops.argmax(ours, 1)[:, None]
    place = ops.cast(place, "int32")  # (batch, student_length)
    many = ops.sum(theirs, axis=1)[:, None]  # (batch, 1)
    both = ops.logical_and(ours > 0, ops.logical_and(place >= 0, place < many))
    index = ops.clip(ops.cast(first, "int32") + place, 0, length - 1)
    rows = index + length * ops.arange(ops.shape(theirs)[0])[:, None]

    def move(logits: Tensor) -> Tensor:
        size = logits.shape[-1]
        flat = ops.reshape(logits, (-1, size))  # (batch * length, classes)
        return ops.take(flat, rows, axis=0)  # (batch, student_length, classes)

    return keras.tree.map_structure(move, outputs), ops.cast(both, "float32")


def padding_of(inputs: Any) -> Tensor | None:
    """Returns the padding mask of a batch, or `None` if it has none.

    Args:
        inputs: The inputs of a batch, or `PreprocessedInputs`.

    Returns:
        0 where a position is padding for one of the models, else 1, float32,
        shape `(batch, length)`. If the models' sequences differ in length,
        the student's mask.
    """
    read = inputs[:2] if isinstance(inputs, PreprocessedInputs) else (inputs,)
    masks = [
        ops.cast(one["padding_mask"], "float32")
        for one in read
        if isinstance(one, dict) and "padding_mask" in one
    ]
    if not masks or len({tuple(mask.shape) for mask in masks}) > 1:
        return masks[0] if masks else None
    return masks[0] * masks[-1]
