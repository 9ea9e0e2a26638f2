"""The logits of a step, and the means over them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from typing import NamedTuple

from keras import ops

from keras_dts.logits.faults import Faults, teacher_faults
from keras_dts.logits.means import Column, Part, averaged, means, settled
from keras_dts.logits.pair import LogitPair
from keras_dts.types import Tensor

# From the logits of one output to one value for each example or token, shape
# `(batch, ...)`, or to a scalar that all of them share.
EntryFunction = Callable[[LogitPair], Tensor]


class WeightedMean(NamedTuple):
    """A loss of a step: a mean over its entries, summed over outputs.

    Attributes:
        function: Computes the loss of each entry.
        outputs: The numbers of the outputs that it reads.
    """

    function: EntryFunction
    outputs: tuple[int, ...]


class BatchLogits(abc.ABC):
    """The logits of both models for one step, whole or in chunks.

    Temperatures and losses read a step through it, so that they need not know
    whether all logits are in memory at once.

    Attributes:
        is_whole: Whether all logits are in memory.
    """

    is_whole = True

    @property
    @abc.abstractmethod
    def outputs(self) -> tuple[int, ...]:
        """The numbers of the outputs that are read."""

    @property
    @abc.abstractmethod
    def has_labels(self) -> bool:
        """Whether an output has labels that are read."""

    @abc.abstractmethod
    def select(self, outputs: Iterable[int]) -> BatchLogits:
        """Returns the same step with some of the outputs alone."""

    @abc.abstractmethod
    def columns(self, *functions: EntryFunction) -> dict[int, list[Tensor]]:
        """Computes values for every entry, without a gradient.

        Args:
            *functions: What to compute. In chunks, all of them are computed
                in one pass.

        Returns:
            For each output a list with one tensor a function, each of shape
            `(batch, ...)`.
        """

    @abc.abstractmethod
    def means(self, *functions: EntryFunction) -> list[Tensor]:
        """Computes means over the step's entries that count.

        Those of all replicas that share the step, without a gradient.

        Args:
            *functions: What to average. In chunks, all of them are computed
                in one pass.

        Returns:
            A scalar for each function: the mean of the outputs' means, and 0
            where no entry counts.
        """

    @abc.abstractmethod
    def gap(self, needed: Tensor | bool = True) -> Tensor:
        """Computes the mean gap of the step, see `LogitPair.gap`.

        That of all replicas that share it.

        Args:
            needed: A scalar. In chunks, the pass over the logits is saved
                where it is false.

        Returns:
            A scalar in nats: the mean of the gaps of the outputs that have
            one; 0 if none has, or if it is not needed.
        """

    @abc.abstractmethod
    def gap_parts(self) -> list[Part]:
        """Returns what the gap is the mean of: one part an output."""

    @abc.abstractmethod
    def settle_gap(self, gap: Tensor) -> None:
        """Takes the gap that came of `gap_parts`, for who asks later.

        Args:
            gap: A scalar in nats.
        """

    @abc.abstractmethod
    def parts(
        self, losses: list[WeightedMean], temperature: WeightedMean | None
    ) -> tuple[list[list[Part]], list[Part]]:
        """Computes the losses of the step, before they are reduced.

        The gradient flows through them. Their means are reduced with all
        else of the step, so that replicas exchange one message.

        Args:
            losses: The losses.
            temperature: `None`, or what to average for the logs, with the
                outputs that it is averaged over.

        Returns:
            For each loss, what it is the sum of the means of; and what the
            temperature is the mean of, over the entries that count: nothing
            for `None`.
        """

    @abc.abstractmethod
    def find_faults(self, suspect: Tensor) -> Faults:
        """Says what is wrong with the step, after its losses.

        Args:
            suspect: Whether its loss is not finite, a bool scalar. In whole
                batches, the teacher's logits are looked through only then.
        """


class WholeBatch(BatchLogits):
    """A step with all logits in memory.

    Args:
        pairs: The outputs that losses read.
        faults: What is wrong with labels and values.
    """

    def __init__(
        self, pairs: Iterable[LogitPair], faults: Faults | None = None
    ) -> None:
        self.pairs = tuple(pairs)
        self._faults = faults or {}
        self._gap_parts: list[Part] | None = None

    @property
    def outputs(self) -> tuple[int, ...]:
        """The numbers of the outputs that are read."""
        return tuple(pair.output for pair in self.pairs)

    @property
    def has_labels(self) -> bool:
        """Whether an output has labels that are read."""
        return any(pair.labels is not None for pair in self.pairs)

    def select(self, outputs: Iterable[int]) -> WholeBatch:
        """Returns the same step with some of the outputs alone."""
        wanted = set(outputs)
        if wanted == set(self.outputs):
            return self
        return WholeBatch(p for p in self.pairs if p.output in wanted)

    def columns(self, *functions: EntryFunction) -> dict[int, list[Tensor]]:
        """Computes values for every entry, without a gradient."""
        return {
            pair.output: [ops.stop_gradient(f(pair)) for f in functions]
            for pair in self.pairs
        }

    def means(self, *functions: EntryFunction) -> list[Tensor]:
        """Computes means over the entries that count, without a gradient."""
        found = means([self._columns(f) for f in functions])
        return [ops.stop_gradient(averaged(values)) for values in found]

    def gap(self, needed: Tensor | bool = True) -> Tensor:
        """Computes the mean gap, from parts that are computed once."""
        del needed
        return averaged(means([self.gap_parts()])[0])

    def gap_parts(self) -> list[Part]:
        """Returns what the gap is the mean of, computed once."""
        if self._gap_parts is None:
            columns = [p.gap_column() for p in self.pairs if p.has_gap]
            self._gap_parts = settled(columns)
        return self._gap_parts

    def settle_gap(self, gap: Tensor) -> None:
        """Takes the gap that came of `gap_parts`."""
        self._gap_parts = [gap]

    def parts(
        self, losses: list[WeightedMean], temperature: WeightedMean | None
    ) -> tuple[list[list[Part]], list[Part]]:
        """Computes the losses of the step, before they are reduced."""
        columns: list[list[Part]] = [
            [
                Column(loss.function(pair), pair.weights)
                for pair in self.pairs
                if pair.output in loss.outputs
            ]
            for loss in losses
        ]
        if temperature is None:
            return columns, []
        part = self.select(temperature.outputs)
        return columns, part._columns(temperature.function)

    def find_faults(self, suspect: Tensor) -> Faults:
        """Says what is wrong with the step."""
        teacher = (pair.teacher for pair in self.pairs)
        return {**self._faults, **teacher_faults(teacher, suspect)}

    def _columns(self, function: EntryFunction) -> list[Part]:
        """Returns, for each output, what is to be averaged, or a scalar."""
        found = ((pair, function(pair)) for pair in self.pairs)
        return [
            pair.counted_column(values) if len(values.shape) > 0 else values
            for pair, values in found
        ]
