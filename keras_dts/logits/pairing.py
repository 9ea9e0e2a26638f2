"""Outputs, labels and weights become pairs of logits."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_dts.logits.compatibility import OutputSpec
from keras_dts.logits.faults import Faults, join_faults
from keras_dts.logits.labels import fitting_labels
from keras_dts.logits.one_output import OutputTargets, read_output
from keras_dts.logits.pair import LogitPair
from keras_dts.logits.structures import check_counts
from keras_dts.logits.weights import (
    EntryWeights,
    check_sample_weight,
    entry_weights,
)
from keras_dts.types import TeacherOutputs, Tensor
from keras_dts.utils import flatten, is_partial, per_output, repack, spread


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
        y: The labels given; those that mean nothing are replaced, see
            `SafeLabels`.
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
    labels, weights, losses = _per_output(targets, student)
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
    y = _repack(targets, student, labels, losses)
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
    labels, weights, losses = _per_output(targets, student)
    for spec in specs:
        index = spec.index
        spec.kinds_with(losses[index])
        fitting_labels(
            labels[index],
            outputs[index],
            losses[index],
            independent=spec.independent_by(losses[index]),
        )
        if weights[index] is not None:
            check_sample_weight(weights[index], outputs[index].shape[:-1])


def _per_output(
    targets: Targets, student: Any
) -> tuple[list[Any], list[Any], list[Any]]:
    """Returns the labels, the weights and the loss of each output.

    Raises:
        ValueError: If the weights fit no output.
    """
    losses = per_output(targets.loss, student, targets.names)
    given = targets.sample_weight
    if isinstance(given, (list, tuple)):
        given = spread(given, losses)
    labels, weights = (
        per_output(x, student, targets.names)
        for x in (spread(targets.y, losses), given)
    )
    if given is not None and all(w is None for w in weights):
        raise ValueError(
            "`sample_weight` must be one array, or have one for each output. "
            f"Received: {len(given)} for {len(losses)} outputs"
        )
    return labels, weights, losses


def _repack(
    targets: Targets, student: Any, labels: list[Any], losses: list[Any]
) -> Any:
    """Puts the labels of each output back into the structure of `y`."""
    y = targets.y
    if y is None:
        return None
    if is_partial(y, losses):
        flat = [x for x, f in zip(labels, losses, strict=True) if f is not None]
        return flat if isinstance(y, (list, tuple)) else flat[0]
    return repack(y, student, labels, targets.names)


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
