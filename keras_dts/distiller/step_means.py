"""All means of a training step, of which replicas send one message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from keras_dts.backend import joined_replicas
from keras_dts.distiller.softening import Softening
from keras_dts.logits import (
    BatchLogits,
    Faults,
    Part,
    added,
    averaged,
    means,
    means_and_faults,
)
from keras_dts.types import Tensor

Parts = Callable[[], list[Part]]


class StepMeans(NamedTuple):
    """The means of a step, scalars.

    Attributes:
        labels: What the loss on labels is the sum of, penalties included.
        penalties: What the penalties are the sum of.
        terms: The value of each term.
        logged: The gap and the mean temperature by name, where there are some.
    """

    labels: list[Tensor]
    penalties: list[Tensor]
    terms: list[Tensor]
    logged: dict[str, Tensor]


def step_means(
    terms: Sequence[Parts],
    softening: Softening | None,
    logits: BatchLogits,
    label_loss: Parts,
    penalties: Parts,
    faults: Faults,
) -> tuple[StepMeans, Faults]:
    """Computes what a step is made of, and reduces it.

    Args:
        terms: Compute what is no loss on logits, term by term.
        softening: Computes the losses on logits, if there are some.
        logits: The logits of the step.
        label_loss: Computes the loss on labels, penalties included.
        penalties: Computes the penalties alone.
        faults: What is wrong with the data of this replica.

    Returns:
        The means; and the faults: where other replicas share the step, those
        of all, and of their logits too.
    """
    groups = [compute() for compute in terms]
    read: list[list[Part]] = [[], []]
    if softening is not None:
        losses, temperature = softening.begin(logits)
        groups += losses
        read = [temperature, logits.gap_parts()]
    # In chunks, only now are the loss on labels and the faults known.
    groups = [label_loss(), penalties(), *read, *groups]

    def look(suspect: Tensor) -> Faults:
        if softening is None:
            return faults
        return faults | logits.find_faults(suspect)

    if joined_replicas() > 1:
        found, faults = means_and_faults(groups, look)
    else:
        found = means(groups)
    labels, penalty, temperatures, gaps, *rest = found
    values, softened = rest[: len(terms)], rest[len(terms) :]
    logged = {}
    if softening is not None:
        gap = averaged(gaps)
        logits.settle_gap(gap)
        losses_on_logits = [added(x) for x in softened]
        softening.end(logits, losses_on_logits)
        for use, loss in zip(softening.uses, losses_on_logits, strict=True):
            values[use.term].append(loss)
        if logits.has_labels:
            logged["gap"] = gap
    if temperatures:
        logged["temperature"] = averaged(temperatures)
    totals = [added(x) for x in values]
    return StepMeans(labels, penalty, totals, logged), faults
