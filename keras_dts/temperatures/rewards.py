"""What the agent of RLKD sees of a batch, and what it is rewarded for."""

from __future__ import annotations

import dataclasses
import math

from keras import ops

from keras_dts.logits import BatchLogits, LogitPair
from keras_dts.types import Tensor

# The epochs that the published factor of the reward is for.
EPOCHS = 240


def reward_factor(epoch: float) -> float:
    """Returns the published factor of the reward.

    Args:
        epoch: Of 240, counted from 1.
    """
    if epoch < 150:
        return 10.0 * (1.0 + (math.cos(math.pi * epoch / 75) + 1.0) / 2.0)
    factor = 5.0 if epoch < 210 else 2.0
    return factor * (1.0 + (math.cos(math.pi * epoch / 30) + 1.0) / 2.0)


def batch_quality(batch: BatchLogits, name: str) -> tuple[Tensor, Tensor]:
    """Returns how good the student is, and whether the batch says it.

    Args:
        batch: The logits of the step.
        name: One of `QUALITIES`.

    Returns:
        The mean over the entries that tell it, a scalar, and a bool scalar.
    """
    quality = QUALITIES[name]
    total, count = batch.means(
        lambda pair: ops.where(_labelled(pair), quality(pair), 0.0),
        lambda pair: ops.cast(_labelled(pair), pair.student.dtype),
    )
    known = ops.greater(count, 0.0)
    return total / ops.where(known, count, 1.0), known


def observe(pair: LogitPair) -> Tensor:
    """Returns what the agent sees of each entry, shape `(batch, ..., 3)`."""
    student = ops.softmax(ops.stop_gradient(pair.student), axis=-1)
    best = ops.top_k(student, 2)[0]  # (batch, ..., 2)
    teacher = ops.max(ops.softmax(pair.teacher, axis=-1), axis=-1)
    margin = best[..., 0] - best[..., 1]
    return ops.stack([best[..., 0], teacher, margin], axis=-1)


def _labelled(pair: LogitPair) -> Tensor:
    """Says which entries tell how good the student is, shape `(batch, ...)`."""
    if pair.labelled is None:
        return ops.ones_like(pair.student[..., 0], dtype="bool")
    return pair.labelled


def _accuracy(pair: LogitPair) -> Tensor:
    """Returns 1 where the student's choice is the label, else 0."""
    if pair.labels is None:
        return ops.zeros_like(pair.student[..., 0])
    labels = pair.labels
    if not pair.has_class_indices:
        labels = ops.argmax(labels, axis=-1)
    choice = ops.argmax(pair.argmax_logits[1], axis=-1)
    right = ops.equal(ops.cast(choice, "int32"), ops.cast(labels, "int32"))
    return ops.cast(right, pair.student.dtype)


def _nearness(pair: LogitPair) -> Tensor:
    """Returns minus the gap of each entry, in nats."""
    pair.check_same_classes('ReinforcedTemperature(reward="gap")')
    if pair.labels is None:
        labels = ops.softmax(pair.teacher, axis=-1)
        pair = dataclasses.replace(pair, labels=labels)
    return -pair.gap_values()


QUALITIES = {"accuracy": _accuracy, "gap": _nearness}
