"""The loss on labels, as the student's own `fit` computes it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.backend import joined_replicas, replica_count
from keras_dts.chunking import ChunkedBatch, ReducedLabelLoss
from keras_dts.logits import (
    Column,
    EntryWeights,
    Part,
    Sums,
    TokenMask,
    added,
    broadcast_weights,
    means,
    reads_classes,
)
from keras_dts.types import HiddenStates, Tensor
from keras_dts.utils import (
    flatten,
    loss_dtype,
    loss_setting,
    per_output,
    same_shape,
    spread,
    static_shape,
)

# Keras's name of the reduction that losses have where nothing is said.
_MEAN = "sum_over_batch_size"


class StudentLoss:
    """What the student's own `fit` would minimise, penalties included.

    Tokens whose sample weight is 0 are left out of its mean, as padding is.

    Args:
        model: The distiller, whose `compile` gets the loss.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._token_mask = TokenMask(name="token_mask")
        self._entry_weights = EntryWeights(name="label_weights")

    def __call__(self, y: Any, outputs: Any, sample_weight: Any) -> Tensor:
        """Computes the loss of a batch, a scalar; see `parts`."""
        return added(means([self.parts(y, outputs, sample_weight)])[0])

    def parts(self, y: Any, outputs: Any, sample_weight: Any) -> list[Part]:
        """Computes the loss of a batch, before replicas share it.

        Args:
            y: The labels, or `None`.
            outputs: The student's outputs.
            sample_weight: The user's weights, or `None`.

        Returns:
            What it is the sum of the means of.
        """
        if y is None or self._model.loss is None:
            return self.penalties()
        sample_weight = self._for_outputs(outputs, sample_weight)
        outputs = self._with_masks(outputs, sample_weight)
        loss: Tensor = keras.Model.compute_loss(
            self._model, None, y, outputs, sample_weight
        )
        replicas = replica_count()
        if joined_replicas() == 1:
            return [loss if replicas == 1 else loss * replicas]
        label_loss = loss - self._penalties() / replicas
        reduction, count = self._divisor(outputs, sample_weight)
        label_loss = _unscaled(label_loss, reduction)
        return [*self.penalties(), _shared(label_loss, reduction, count)]

    def of_chunks(
        self, batch: ChunkedBatch, student: HiddenStates, sample_weight: Any
    ) -> list[Part]:
        """Computes the loss of a batch that was computed chunk by chunk.

        Args:
            batch: The batch, after its losses were computed.
            student: The student's hidden states, with their mask.
            sample_weight: The user's weights, or `None`.

        Returns:
            As `parts`.
        """
        (function,) = per_output(self._model.loss, student)
        y = batch.tokens.batch.get("y")
        if function is None or y is None:
            return self.penalties()
        loss = keras.losses.get(function)
        sample_weight = self._for_outputs(student.states, sample_weight)
        masked = self._with_masks(student.states, sample_weight)
        ignore = loss_setting(loss, "ignore_class")
        if ignore is not None:
            labels = ops.reshape(y, batch.tokens.shape)  # (batch, length)
            named = ops.cast(ops.not_equal(labels, ignore), loss_dtype())
            masked = self._with_masks(masked, named)
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        reduced = ReducedLabelLoss(reduction=reduction, dtype=loss_dtype())
        (weights,) = per_output(sample_weight, student)
        value = _unscaled(
            reduced(batch.label_values, masked, weights), reduction
        )
        if joined_replicas() == 1:
            return [*self.penalties(), value]
        _, count = self._divisor(masked, sample_weight)
        return [*self.penalties(), _shared(value, reduction, count)]

    def penalties(self) -> list[Part]:
        """Returns the student's regularizers and `add_loss`, if it has some."""
        if not self._model.losses:
            return []
        return [Column(self._penalties(), None)]

    @staticmethod
    def for_keras(loss: Tensor) -> Tensor:
        """Returns what a step minimises, of which replicas sum the gradients.

        Args:
            loss: The loss of the whole batch, or of a replica's own.
        """
        replicas = replica_count()
        return loss if replicas == 1 else loss / replicas

    def _penalties(self) -> Tensor:
        parts = [ops.sum(ops.cast(p, loss_dtype())) for p in self._model.losses]
        return sum(parts[1:], parts[0]) if parts else ops.zeros(())

    def _divisor(self, outputs: Any, sample_weight: Any) -> tuple[str, Tensor]:
        """Returns the loss's reduction, and what it divides by on this replica.

        Raises:
            ValueError: If there is no one such number: for several outputs of
                which some have masks, or whose reductions differ.
        """
        losses = per_output(self._model.loss, outputs, self._names)
        flat = flatten(outputs)
        given = per_output(sample_weight, outputs, self._names)
        found = [
            (getattr(keras.losses.get(loss), "reduction", _MEAN), output, w)
            for loss, output, w in zip(losses, flat, given, strict=True)
            if loss is not None
        ]
        reduction, output, weights = found[0]
        mask = self._masks(output)
        if len(found) > 1 and (
            any(self._masks(o) is not None for _, o, _ in found)
            or {r for r, _, _ in found} - {_MEAN, "mean"}
        ):
            raise ValueError(
                "`loss` on several outputs must be a mean over whole examples "
                "where replicas share a step. Received: outputs with masks, or "
                "another `reduction`"
            )
        counted = ops.ones(ops.shape(output)[:1], dtype=loss_dtype())
        if mask is not None:
            counted = ops.cast(mask, loss_dtype())
        if reduction == "mean_with_sample_weight" and weights is not None:
            counted = broadcast_weights(weights, counted) * counted
        return reduction, ops.sum(counted)

    def _masks(self, output: Tensor) -> Tensor | None:
        """Returns which tokens of an output count, or `None` if all do."""
        if len(output.shape) < 3:
            return None
        return self._entry_weights(output)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(getattr(self._model, "output_names", None) or ())

    def _for_outputs(self, outputs: Any, sample_weight: Any) -> Any:
        """Gives weights the structure of the outputs, and the shape of tokens.

        The shape only where the loss is known to have a value for each token.
        Keras would take weights of examples for those of positions, or refuse
        them, and cannot broadcast others where there is a mask.
        """
        if sample_weight is None:
            return None
        losses = per_output(self._model.loss, outputs, self._names)
        nested = isinstance(sample_weight, (list, tuple, dict))
        if nested:
            sample_weight = spread(sample_weight, losses)
        flat = [
            _of_tokens(weights, output) if reads_classes(loss) else weights
            for weights, output, loss in zip(
                per_output(sample_weight, outputs, self._names),
                flatten(outputs),
                losses,
                strict=True,
            )
        ]
        if nested:
            return keras.tree.pack_sequence_as(outputs, flat)
        return flat[0] if len(flat) == 1 else sample_weight

    def _with_masks(self, outputs: Any, sample_weight: Any) -> Any:
        """Returns outputs whose tokens of weight 0 are masked."""
        if sample_weight is None:
            return outputs
        flat = [
            output
            if weights is None
            or len(output.shape) < 3
            or not _fits(weights, output)
            else self._token_mask((output, weights))
            for output, weights in zip(
                keras.tree.flatten(outputs),
                per_output(sample_weight, outputs, self._names),
                strict=True,
            )
        ]
        return keras.tree.pack_sequence_as(outputs, flat)


def _shared(label_loss: Tensor, reduction: str, count: Tensor) -> Part:
    """Returns what a replica adds to the loss on labels.

    Args:
        label_loss: The replica's.
        reduction: How Keras has reduced it.
        count: What it was divided by.
    """
    label_loss = ops.sum(label_loss)  # of no examples, Keras reduces nothing
    if reduction == "sum":
        return Column(joined_replicas() * label_loss, None)
    return Sums(ops.where(count > 0, label_loss * count, 0.0), count)


def _unscaled(loss: Tensor, reduction: str | None) -> Tensor:
    """Undoes that Keras divides each mean by the number of replicas."""
    replicas = replica_count()
    return loss if replicas == 1 or reduction == "sum" else loss * replicas


def _fits(weights: Tensor, output: Tensor) -> bool:
    """Says whether there is a weight for each token of an output."""
    entries = tuple(output.shape[:-1])
    return same_shape(static_shape(weights)[: len(entries)], entries)


def _of_tokens(weights: Tensor | None, output: Tensor) -> Tensor | None:
    """Returns a weight for each token of an output, if it has tokens."""
    if weights is None or len(output.shape) < 3 or _fits(weights, output):
        return weights
    ones = ops.ones(ops.shape(output)[:-1], dtype=loss_dtype())
    return broadcast_weights(weights, ones) * ones
