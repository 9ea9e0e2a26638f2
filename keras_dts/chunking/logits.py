"""The logits of a step, computed chunk of tokens by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.backend import fold_chunks, map_chunks
from keras_dts.logits import (
    FAULTS,
    BatchLogits,
    Column,
    EntryFunction,
    Faults,
    LogitPair,
    Part,
    Sums,
    WeightedMean,
    averaged,
    broadcast_weights,
    means,
    settled,
    sum_and_count,
)
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype, to_loss_dtype, unreduced


class LogitChunk(NamedTuple):
    """Some tokens, as both models see them.

    Attributes:
        pair: Both models' logits, labels and weights, `(size, 1, ...)`.
        faults: What is wrong with the chunk.
        y: The labels; an index that names no class is replaced by one that
            does. `None` without labels.
        outputs: The student's outputs, for the loss on labels.
    """

    pair: LogitPair
    faults: Faults
    y: Tensor | None
    outputs: Tensor


class TokenStream(NamedTuple):
    """The tokens of a batch, and how a chunk of them becomes logits.

    Attributes:
        read: From the values of `trained`, and a chunk of `batch`, to a
            `LogitChunk`.
        trained: Values that the gradient flows to, beside the batch.
        batch: Tensors of shape `(tokens, 1, ...)`.
        shape: The shape of the tokens, `(batch, length)`.
        size: The number of tokens in a chunk.
        jit: As for `backend.map_chunks`.
    """

    read: Callable[[list[Tensor], dict[str, Tensor]], LogitChunk]
    trained: list[Tensor]
    batch: dict[str, Tensor]
    shape: tuple[Any, ...]
    size: int
    jit: bool

    def columns(
        self, row: Callable[[LogitChunk], list[Tensor]], count: int
    ) -> list[Tensor]:
        """Computes values for each token, in one pass.

        Args:
            row: From a chunk to `count` values, each a scalar or one for
                each token, shape `(size, 1)`.
            count: The number of values.

        Returns:
            The values, each of shape `(batch, length)`.
        """

        def rows(trained: list[Tensor], chunk: dict[str, Tensor]) -> Tensor:
            values = map(to_loss_dtype, row(self.read(trained, chunk)))
            return ops.concatenate(
                [ops.broadcast_to(x, (self.size, 1)) for x in values], axis=-1
            )

        table = map_chunks(
            rows, self.trained, self.batch, self.size, count, jit=self.jit
        )  # (tokens, count)
        return [ops.reshape(table[:, i], self.shape) for i in range(count)]

    def frozen(self) -> TokenStream:
        """Returns the same tokens, without a gradient."""
        trained, batch = keras.tree.map_structure(
            ops.stop_gradient, (self.trained, self.batch)
        )
        return self._replace(trained=trained, batch=batch)


class ChunkedBatch(BatchLogits):
    """A step that never holds all logits: each pass computes them anew.

    Args:
        tokens: The tokens of the step.
        label_loss: `None`, or the loss on labels before its reduction, a
            `keras.losses.Loss` or a function of labels and outputs.

    Attributes:
        label_values: After `parts`, the loss on labels of each
            token, shape `(batch, length)`.
    """

    is_whole = False
    outputs = (0,)

    def __init__(self, tokens: TokenStream, label_loss: Any = None) -> None:
        self.tokens = tokens
        self.label_values: Tensor | None = None
        self._label_loss = label_loss
        self._gap_parts: list[Part] = []
        self._faults: Faults = {}

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return "y" in self.tokens.batch

    def select(self, outputs: Iterable[int]) -> ChunkedBatch:
        """Returns the step: there is one output."""
        del outputs
        return self

    def columns(self, *functions: EntryFunction) -> dict[int, list[Tensor]]:
        """Computes values for every token, without a gradient."""
        return {0: self._frozen_columns(*functions)}

    def means(self, *functions: EntryFunction) -> list[Tensor]:
        """Computes means over the tokens that count, without a gradient."""
        *values, weights = self._frozen_columns(*functions, _weights)
        counted = _counted(weights)
        return means([[Column(column, counted) for column in values]])[0]

    def gap(self, needed: Tensor | bool = True) -> Tensor:
        """Computes the mean gap, by a pass of its own unless it is known."""
        if self._gap_parts:
            return averaged(means([self._gap_parts])[0])
        nothing = ops.zeros((), dtype=loss_dtype())
        if not self.has_labels:
            return nothing

        def measure() -> Tensor:
            values, weights = self._frozen_columns(
                LogitPair.gap_values, _weights
            )
            return ops.stack([*sum_and_count(values, _counted(weights))])

        # Replicas wait for each other behind the branch, and not inside.
        if isinstance(needed, bool):
            if not needed:
                return nothing
            sums = measure()
        else:
            sums = ops.cond(needed, measure, lambda: ops.stack([nothing] * 2))
        return means([[Sums(sums[0], sums[1])]])[0][0]

    def gap_parts(self) -> list[Part]:
        """Returns what the gap is the mean of: nothing before `parts`."""
        return self._gap_parts

    def settle_gap(self, gap: Tensor) -> None:
        """Takes the gap that came of `gap_parts`."""
        self._gap_parts = [gap]

    def parts(
        self, losses: list[WeightedMean], temperature: WeightedMean | None
    ) -> tuple[list[list[Part]], list[Part]]:
        """Computes the losses, and all else that the step logs, in one pass."""

        def row(chunk: LogitChunk) -> list[Tensor]:
            nothing = warmth = ops.zeros(())
            if temperature is not None:
                warmth = temperature.function(chunk.pair)
            return [
                self._label_row(chunk),
                ops.stop_gradient(warmth),
                chunk.pair.gap_values(),
                _weights(chunk.pair),
                *[chunk.faults.get(name, nothing) for name in FAULTS],
                *[loss.function(chunk.pair) for loss in losses],
            ]

        labels, warmth, gaps, weights, *rest = self.tokens.columns(
            row, 4 + len(FAULTS) + len(losses)
        )
        self.label_values = labels
        faults, columns = rest[: len(FAULTS)], rest[len(FAULTS) :]
        flags = (ops.any(ops.greater(column, 0)) for column in faults)
        self._faults = dict(zip(FAULTS, flags, strict=True))
        counted = _counted(weights)
        self._gap_parts = settled([Column(gaps, counted)])
        found: list[list[Part]] = [[Column(x, weights)] for x in columns]
        return found, [] if temperature is None else [Column(warmth, counted)]

    def find_faults(self, suspect: Tensor) -> Faults:
        """Says what is wrong with the step."""
        del suspect
        return self._faults

    def fold(
        self,
        update: Callable[[LogitChunk, Tensor | None, Tensor | None], None],
        variables: list[Any],
        sample_weight: Tensor | None,
    ) -> None:
        """Updates variables chunk by chunk, without a gradient.

        Args:
            update: Updates them, from a chunk, its labels as they came, or
                `None`, and its sample weights, or `None`.
            variables: The variables.
            sample_weight: The user's weights, or `None`.
        """
        batch = dict(self.tokens.batch)
        if sample_weight is not None:
            ones = ops.ones(self.tokens.shape, dtype=loss_dtype())
            weights = broadcast_weights(sample_weight, ones) * ones
            batch["sample_weight"] = one_by_one(weights)
        frozen = self.tokens._replace(batch=batch).frozen()

        def body(
            values: list[Tensor], chunk: dict[str, Tensor]
        ) -> list[Tensor]:
            read = frozen.read(frozen.trained, chunk)
            mapping = zip(variables, values, strict=True)
            with keras.StatelessScope(mapping) as scope:
                update(read, chunk.get("y"), chunk.get("sample_weight"))
            return [scope.get_current_value(v) for v in variables]

        start = [v.value for v in variables]
        end = fold_chunks(body, start, frozen.batch, frozen.size)
        for variable, value in zip(variables, end, strict=True):
            variable.assign(value)

    def _frozen_columns(self, *functions: EntryFunction) -> list[Tensor]:
        return self.tokens.frozen().columns(
            lambda chunk: [f(chunk.pair) for f in functions], len(functions)
        )

    def _label_row(self, chunk: LogitChunk) -> Tensor:
        """Computes the loss on labels of each token of a chunk."""
        if self._label_loss is None or chunk.y is None:
            return ops.zeros(())
        return unreduced(
            self._label_loss,
            to_loss_dtype(chunk.y),
            to_loss_dtype(chunk.outputs),
        )


def one_by_one(x: Tensor) -> Tensor:
    """Makes a batch of rows a batch of single tokens.

    Args:
        x: Shape `(batch, length, ...)`.

    Returns:
        Shape `(batch * length, 1, ...)`.
    """
    return ops.reshape(x, (-1, 1, *x.shape[2:]))


def _weights(pair: LogitPair) -> Tensor:
    if pair.weights is None:
        return ops.ones_like(pair.student[..., 0])
    return pair.weights


def _counted(weights: Tensor) -> Tensor:
    """Returns 1 where an entry weighs something, else 0."""
    return ops.cast(ops.not_equal(weights, 0), weights.dtype)
