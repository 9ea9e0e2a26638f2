"""One output of both models, its labels and its weights, read as logits."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from keras import ops

from keras_dts.backend import fast, some, zero_unless
from keras_dts.logits.compatibility import OutputSpec
from keras_dts.logits.convert import to_logits
from keras_dts.logits.faults import Faults
from keras_dts.logits.kinds import OutputKind, contradicts
from keras_dts.logits.labels import (
    fitting_labels,
    read_label_rows,
    read_labels,
)
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.top_k import top_k_pair
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype, loss_setting


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
        labels: The labels given; those that mean nothing are replaced, see
            `SafeLabels`.
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
    read = _read_targets(targets, outputs[1], independent=kinds[1].independent)
    teacher, student = (
        to_logits(
            output, from_logits=kind.is_logits, independent=kind.independent
        )
        for output, kind in zip(outputs, kinds, strict=True)
    )
    pair = LogitPair(
        _where_weighed(teacher, read.weights),
        student,
        read.labels,
        read.weights,
        spec.index,
        spec.same_tokens is not False,
        labelled=read.labelled,
    )
    if classes is not None:
        pair = top_k_pair(pair, classes)
    pair = _with_first_choices(pair)
    wrong = [
        contradicts(output, kind)
        for output, kind in zip(outputs, kinds, strict=True)
        if kind.is_checked
    ]
    faults = {} if read.fault is None else {"labels": read.fault}
    if wrong:
        faults["kind"] = some(wrong)
    return ReadOutput(pair, faults, read.given)


class _ReadTargets(NamedTuple):
    """The labels and the weights of one output, for losses.

    Attributes:
        labels: The labels, or `None` where nothing reads them.
        labelled: As in `LogitPair`.
        weights: A weight for each entry, or `None`.
        fault: Whether an entry that counts had bad labels, or `None`.
        given: As in `SafeLabels`.
    """

    labels: Tensor | None
    labelled: Tensor | None
    weights: Tensor | None
    fault: Tensor | None
    given: Any


def _read_targets(
    targets: OutputTargets, student: Tensor, *, independent: bool
) -> _ReadTargets:
    """Reads the labels and the weights of one output.

    Args:
        targets: The labels and the weights.
        student: The student's output.
        independent: Whether it is of labels that may all be true.
    """
    weights, loss = targets.weights, targets.loss
    if independent and weights is not None:
        weights = weights[..., None] * fast.ones_like(student)
    labels = fitting_labels(
        targets.labels, student, loss, independent=independent
    )
    if labels is None:
        return _ReadTargets(None, None, weights, None, targets.labels)
    if independent:
        safe = read_label_rows(labels, student)
    else:
        ignore = loss_setting(loss, "ignore_class")
        safe = read_labels(labels, student, ignore)
    labelled = safe.unlabelled
    if labelled is not None:
        labelled = ops.logical_not(labelled)
    is_padding = len(student.shape) > 2 and len(safe.labels.shape) < len(
        student.shape
    )
    if labelled is not None and is_padding:
        # Tokens and pixels without a class are padding or void.
        named = ops.cast(labelled, loss_dtype())
        weights = named if weights is None else weights * named
        labelled = None
    fault = _any(safe.bad, weights)
    return _ReadTargets(safe.labels, labelled, weights, fault, safe.given)


def _with_first_choices(pair: LogitPair) -> LogitPair:
    """Gives examples without a class index the teacher's first choice."""
    labels = pair.labels
    if labels is None or pair.labelled is None:
        return pair
    if not pair.has_class_indices or not pair.same_classes:
        return pair
    first = ops.argmax(pair.argmax_logits[0], axis=-1)
    labels = ops.where(pair.labelled, labels, ops.cast(first, labels.dtype))
    return dataclasses.replace(pair, labels=labels)


def _where_weighed(logits: Tensor, weights: Tensor | None) -> Tensor:
    """Replaces logits of entries that weigh nothing by 0.

    A teacher may answer NaN at padding, which no weight of 0 would take out
    of a gradient.

    Args:
        logits: The teacher's, shape `(batch, ..., classes)`.
        weights: Shape `(batch, ...)`, or `None` where every entry counts.
    """
    if weights is None:
        return logits
    return zero_unless(fast.not_equal(weights[..., None], 0), logits)


def _any(flags: Tensor, weights: Tensor | None) -> Tensor:
    """Says whether a flag is up at an entry that weighs something."""
    if weights is not None:
        flags = ops.logical_and(flags, ops.not_equal(weights, 0))
    return fast.any_(flags)
