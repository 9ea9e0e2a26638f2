"""Outputs, labels and weights become pairs of logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_dts.logits.compatibility import OutputSpec, check_counts
from keras_dts.logits.faults import Faults, join_faults
from keras_dts.logits.labels import are_indices, check_label_rows
from keras_dts.logits.one_output import OutputTargets, read_output
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.weights import (
    EntryWeights,
    check_sample_weight,
    entry_weights,
)
from keras_dts.types import TeacherOutputs, Tensor
from keras_dts.utils import flatten, per_output, repack


class Targets(NamedTuple):
    """What the student's outputs are compared with beside the teacher's.

    Attributes:
        y: The labels, or `None`.
        sample_weight: The user's weights, or `None`.
        loss: The loss given to `compile`; its `ignore_class`, if it has one,
            means "no label".
        names: The names of the student's outputs, which dictionaries of the
            above may use where the outputs are a list.
    """

    y: Any
    sample_weight: Any
    loss: Any = None
    names: tuple[str, ...] = ()


class PairedOutputs(NamedTuple):
    """The outputs as `pair_outputs` returns them.

    Attributes:
        pairs: A pair of logits for each output that losses read.
        faults: What is wrong with labels and values.
        y: The labels given; indices that name no class are replaced by one
            that does.
    """

    pairs: list[LogitPair]
    faults: Faults
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
    labels, weights, losses = (
        per_output(x, student, targets.names) for x in targets[:3]
    )
    pairs, faults = [], []
    for spec in specs:
        i = spec.index
        one = read_output(
            spec,
            spec.cut(theirs[i], outputs[i]),
            OutputTargets(
                labels[i],
                _weights(
                    outputs[i], weights[i], teacher.overlap, weights_layer
                ),
                losses[i],
            ),
            teacher.classes[i] if teacher.classes else None,
        )
        pairs.append(one.pair)
        faults.append(one.faults)
        labels[i] = one.labels
    y = targets.y
    y = None if y is None else repack(y, student, labels, targets.names)
    return PairedOutputs(pairs, join_faults(faults), y)


def check_targets(
    specs: tuple[OutputSpec, ...], student: Any, targets: Targets
) -> None:
    """Raises unless labels, weights and losses fit the outputs that are read.

    Args:
        specs: How each output is read.
        student: The student's outputs.
        targets: The labels and the weights.

    Raises:
        ValueError: If a shape does not fit, or a loss compares values.
    """
    outputs = flatten(student)
    labels, weights, losses = (
        per_output(x, student, targets.names) for x in targets[:3]
    )
    for spec in specs:
        index = spec.index
        spec.kinds_with(losses[index])
        if labels[index] is not None:
            independent = spec.independent_by(losses[index])
            check = check_label_rows if independent else are_indices
            check(labels[index], outputs[index])
        if weights[index] is not None:
            check_sample_weight(weights[index], outputs[index].shape[:-1])


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
