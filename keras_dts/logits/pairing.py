"""Outputs, labels and weights become pairs of logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from keras_dts.backend import fast, zero_unless
from keras_dts.logits.batch import no_faults
from keras_dts.logits.compatibility import OutputSpec, check_counts
from keras_dts.logits.convert import to_logits
from keras_dts.logits.labels import are_indices, read_labels, restore_labels
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.top_k import top_k_pair
from keras_dts.logits.weights import (
    EntryWeights,
    check_sample_weight,
    entry_weights,
)
from keras_dts.types import TeacherOutputs, Tensor
from keras_dts.utils import flatten, loss_dtype, per_output, repack


class Targets(NamedTuple):
    """What the student's outputs are compared with beside the teacher's.

    Attributes:
        y: The labels, or `None`.
        sample_weight: The user's weights, or `None`.
        loss: The loss given to `compile`; its `ignore_class`, if it has one,
            means "no label".
    """

    y: Any
    sample_weight: Any
    loss: Any = None


class PairedOutputs(NamedTuple):
    """The outputs as `pair_outputs` returns them.

    Attributes:
        pairs: A pair of logits for each output that losses read.
        faults: 1 where the teacher's logits are not all finite, and where
            some labels name no class, else 0; float32, shape `(2,)`.
        y: The labels given; indices that name no class are replaced by one
            that does.
    """

    pairs: list[LogitPair]
    faults: Tensor
    y: Any


def pair_outputs(
    specs: tuple[OutputSpec, ...],
    teacher: TeacherOutputs,
    student: Any,
    targets: Targets,
    weights_layer: EntryWeights,
) -> PairedOutputs:
    """Pairs the outputs of both models as logits.

    Args:
        specs: How each output is read.
        teacher: The teacher's outputs.
        student: The student's outputs, with their masks.
        targets: The labels and the weights.
        weights_layer: Reads the masks of the student's outputs.

    Raises:
        ValueError: If shapes do not fit each other.
    """
    outputs = flatten(student)
    theirs = flatten(teacher.outputs)
    check_counts(theirs, outputs)
    labels, weights, losses = (per_output(x, student) for x in targets)
    pairs, faults = [], []
    for spec in specs:
        i = spec.index
        pair, fault, labels[i] = _pair(
            spec,
            spec.cut(theirs[i], outputs[i]),
            labels[i],
            _weights(outputs[i], weights[i], teacher.overlap, weights_layer),
            getattr(losses[i], "ignore_class", None),
            teacher.classes[i] if teacher.classes else None,
        )
        pairs.append(pair)
        faults.append(fault)
    y = targets.y
    y = None if y is None else repack(y, student, labels)
    return PairedOutputs(pairs, _worst(faults), y)


def check_targets(
    specs: tuple[OutputSpec, ...], student: Any, y: Any, sample_weight: Any
) -> None:
    """Raises unless labels and weights fit the outputs that losses read.

    Args:
        specs: How each output is read.
        student: The student's outputs.
        y: The labels, or `None`.
        sample_weight: The user's weights, or `None`.

    Raises:
        ValueError: If a shape does not fit.
    """
    outputs = flatten(student)
    labels, weights = (per_output(x, student) for x in (y, sample_weight))
    for index in (spec.index for spec in specs):
        if labels[index] is not None:
            are_indices(labels[index], outputs[index])
        if weights[index] is not None:
            check_sample_weight(weights[index], outputs[index].shape[:-1])


def _pair(
    spec: OutputSpec,
    outputs: tuple[Tensor, Tensor],
    labels: Tensor | None,
    weights: Tensor | None,
    ignore: int | None,
    classes: Tensor | None,
) -> tuple[LogitPair, Tensor, Tensor | None]:
    """Returns the pair of one output, its faults, and its safe labels."""
    teacher, student = outputs
    if classes is None:
        spec.check_shapes(teacher, student)
    read, safe, weights, label_fault = _read(labels, student, weights, ignore)
    # Top-k outputs are log probabilities whatever the teacher returns.
    is_logits = spec.teacher_logits or classes is not None
    teacher, teacher_fault = _finite_or_zero(
        to_logits(teacher, from_logits=is_logits), weights
    )
    pair = LogitPair(
        teacher,
        to_logits(student, from_logits=spec.student_logits),
        read,
        weights,
        spec.index,
        spec.same_tokens is not False,
    )
    if classes is not None:
        pair = top_k_pair(pair, classes)
    faults = ops.cast(fast.stack([teacher_fault, label_fault]), loss_dtype())
    return pair, faults, safe


def _read(
    labels: Tensor | None,
    student: Tensor,
    weights: Tensor | None,
    ignore: int | None,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]:
    """Returns labels for losses, and for Keras; weights; and the fault."""
    fault = ops.zeros((), dtype="bool")
    if labels is None:
        return None, None, weights, fault
    labels = ops.convert_to_tensor(labels)  # NumPy's, in `train_on_batch`
    safe = read_labels(labels, student, ignore)
    if safe.ignored is not None:
        named = ops.cast(ops.logical_not(safe.ignored), loss_dtype())
        weights = named if weights is None else weights * named
    if safe.bad is not None:
        fault = _any(safe.bad, weights)
        labels = restore_labels(safe.labels, labels, safe.ignored)
    return safe.labels, labels, weights, fault


def _weights(
    output: Tensor,
    sample_weight: Tensor | None,
    overlap: Tensor | None,
    layer: EntryWeights,
) -> Tensor | None:
    weights = entry_weights(output, sample_weight, layer)
    if overlap is None:
        return weights
    return overlap if weights is None else weights * overlap


def _finite_or_zero(
    logits: Tensor, weights: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Replaces logits that are not finite by 0, and reports them.

    Args:
        logits: The teacher's, shape `(batch, ..., classes)`.
        weights: Shape `(batch, ...)`, or `None` where every entry counts.

    Returns:
        The logits, and whether an entry that counts had such logits.
    """
    # A sum is finite only where all its terms are.
    if weights is None:
        finite = fast.isfinite(fast.sum_(logits))
        fault = ~finite
    else:
        rows = fast.isfinite(fast.sum_(logits, -1))
        fault = _any(~rows, weights)
        finite = rows[..., None]  # (batch, ..., 1)
    return zero_unless(finite, logits), fault


def _any(flags: Tensor, weights: Tensor | None) -> Tensor:
    """Says whether a flag is up at an entry that weighs something."""
    if weights is not None:
        flags = ops.logical_and(flags, ops.not_equal(weights, 0))
    return fast.any_(flags)


def _worst(faults: list[Tensor]) -> Tensor:
    if not faults:
        return no_faults()
    return faults[0] if len(faults) == 1 else ops.max(ops.stack(faults), axis=0)
