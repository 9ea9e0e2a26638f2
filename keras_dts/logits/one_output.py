"""One output of both models, its labels and its weights, read as logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_dts.backend import fast, zero_unless
from keras_dts.logits.compatibility import OutputSpec
from keras_dts.logits.convert import to_logits
from keras_dts.logits.faults import Faults
from keras_dts.logits.kinds import OutputKind, contradicts
from keras_dts.logits.labels import (
    SafeLabels,
    read_label_rows,
    read_labels,
    restore_labels,
)
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.top_k import top_k_pair
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


class OutputTargets(NamedTuple):
    """What one output is compared with beside the teacher's.

    Attributes:
        labels: The labels, or `None`.
        weights: A weight for each entry, shape `(batch, ...)`, or `None`.
        loss: The loss given to `compile` for this output, or `None`.
    """

    labels: Tensor | None
    weights: Tensor | None
    loss: Any


class ReadOutput(NamedTuple):
    """One output as `read_output` returns it.

    Attributes:
        pair: The logits of both models.
        faults: What is wrong with labels and values.
        labels: The labels given; indices that name no class are replaced by
            one that does.
    """

    pair: LogitPair
    faults: Faults
    labels: Tensor | None


def read_output(
    spec: OutputSpec,
    outputs: tuple[Tensor, Tensor],
    targets: OutputTargets,
    classes: Tensor | None,
) -> ReadOutput:
    """Reads one output of both models as logits.

    Args:
        spec: How it is read.
        outputs: The teacher's and the student's output.
        targets: The labels and the weights.
        classes: The classes of the teacher's top-k logits, or `None`.

    Raises:
        ValueError: If shapes do not fit each other, or the output is no
            distribution.
    """
    if targets.labels is not None:  # NumPy's, in `train_on_batch`
        labels = ops.convert_to_tensor(targets.labels)
        targets = targets._replace(labels=labels)
    kinds = spec.kinds_with(targets.loss)
    if classes is None:
        spec.check_shapes(*outputs)
    else:  # log probabilities, whatever the teacher returns
        kinds = (OutputKind(source="told"), kinds[1])
    read, weights, label_fault = _read_targets(
        targets, outputs[1], independent=kinds[1].independent
    )
    teacher, student = (
        to_logits(
            output, from_logits=kind.is_logits, independent=kind.independent
        )
        for output, kind in zip(outputs, kinds, strict=True)
    )
    pair = LogitPair(
        teacher if weights is None else _where_weighed(teacher, weights),
        student,
        None if read is None else read.labels,
        weights,
        spec.index,
        spec.same_tokens is not False,
    )
    if classes is not None:
        pair = top_k_pair(pair, classes)
    wrong = [
        contradicts(output, kind)
        for output, kind in zip(outputs, kinds, strict=True)
        if kind.is_checked
    ]
    faults = {} if label_fault is None else {"labels": label_fault}
    if wrong:
        faults["kind"] = fast.any_(fast.stack(wrong))
    safe = targets.labels
    if read is not None and read.bad is not None:
        safe = restore_labels(read.labels, safe, read.ignored)
    return ReadOutput(pair, faults, safe)


def _read_targets(
    targets: OutputTargets, student: Tensor, *, independent: bool
) -> tuple[SafeLabels | None, Tensor | None, Tensor | None]:
    """Returns labels and weights for losses, and the labels' fault.

    Args:
        targets: The labels and the weights.
        student: The student's output.
        independent: Whether it is of labels that may all be true.
    """
    weights = targets.weights
    if independent and weights is not None:
        weights = weights[..., None] * fast.ones_like(student)
    if targets.labels is None:
        return None, weights, None
    if independent:
        return read_label_rows(targets.labels, student), weights, None
    ignore = getattr(targets.loss, "ignore_class", None)
    safe = read_labels(targets.labels, student, ignore)
    if safe.ignored is not None:
        named = ops.cast(ops.logical_not(safe.ignored), loss_dtype())
        weights = named if weights is None else weights * named
    fault = None if safe.bad is None else _any(safe.bad, weights)
    return safe, weights, fault


def _where_weighed(logits: Tensor, weights: Tensor) -> Tensor:
    """Replaces logits of entries that weigh nothing by 0.

    A teacher may answer NaN at padding, which no weight of 0 would take out
    of a gradient.

    Args:
        logits: The teacher's, shape `(batch, ..., classes)`.
        weights: Shape `(batch, ...)`.
    """
    return zero_unless(fast.not_equal(weights[..., None], 0), logits)


def _any(flags: Tensor, weights: Tensor | None) -> Tensor:
    """Says whether a flag is up at an entry that weighs something."""
    if weights is not None:
        flags = ops.logical_and(flags, ops.not_equal(weights, 0))
    return fast.any_(flags)
