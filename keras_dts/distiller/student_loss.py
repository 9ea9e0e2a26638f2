"""The loss on labels, as the student's own `fit` computes it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.backend import replica_count
from keras_dts.chunking import ChunkedBatch, ReducedLabelLoss
from keras_dts.logits import TokenMask, broadcast_weights, reads_classes
from keras_dts.types import HiddenStates, Tensor
from keras_dts.utils import (
    flatten,
    loss_dtype,
    per_output,
    same_shape,
    spread,
    static_shape,
)


class StudentLoss:
    """What the student's own `fit` would minimise, penalties included.

    Tokens whose sample weight is 0 are left out of its mean, as padding is.

    Args:
        model: The distiller, whose `compile` gets the loss.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._token_mask = TokenMask(name="token_mask")

    def __call__(self, y: Any, outputs: Any, sample_weight: Any) -> Tensor:
        """Computes the loss of a batch, a scalar.

        Args:
            y: The labels, or `None`.
            outputs: The student's outputs.
            sample_weight: The user's weights, or `None`.
        """
        if y is None or self._model.loss is None:
            return self.with_penalties(None)
        sample_weight = self._for_outputs(outputs, sample_weight)
        outputs = self._with_masks(outputs, sample_weight)
        loss: Tensor = keras.Model.compute_loss(
            self._model, None, y, outputs, sample_weight
        )
        return loss

    def of_chunks(
        self, batch: ChunkedBatch, student: HiddenStates, sample_weight: Any
    ) -> Tensor:
        """Computes the loss of a batch that was computed chunk by chunk.

        Args:
            batch: The batch, after its losses were computed.
            student: The student's hidden states, with their mask.
            sample_weight: The user's weights, or `None`.
        """
        (function,) = per_output(self._model.loss, student)
        y = batch.tokens.batch.get("y")
        if function is None or y is None:
            return self.with_penalties(None)
        loss = keras.losses.get(function)
        sample_weight = self._for_outputs(student.states, sample_weight)
        masked = self._with_masks(student.states, sample_weight)
        ignore = getattr(loss, "ignore_class", None)
        if ignore is not None:
            labels = ops.reshape(y, batch.tokens.shape)  # (batch, length)
            named = ops.cast(ops.not_equal(labels, ignore), loss_dtype())
            masked = self._with_masks(masked, named)
        reduction = getattr(loss, "reduction", "sum_over_batch_size")
        reduced = ReducedLabelLoss(reduction=reduction, dtype=loss_dtype())
        (weights,) = per_output(sample_weight, student)
        value = reduced(batch.label_values, masked, weights)
        return value + self.with_penalties(None)

    def with_penalties(self, loss: Tensor | None) -> Tensor:
        """Adds the student's regularizers and `add_loss` to a loss.

        Args:
            loss: A scalar that counts whole on each replica, or `None`.

        Returns:
            A scalar, divided by the number of replicas, as Keras divides its
            own loss, since the gradients of the replicas are summed.
        """
        parts = [ops.sum(ops.cast(p, loss_dtype())) for p in self._model.losses]
        parts += [] if loss is None else [loss]
        total = sum(parts[1:], parts[0]) if parts else ops.zeros(())
        replicas = replica_count()
        return total if replicas == 1 else total / replicas

    @staticmethod
    def unshare(loss: Tensor) -> Tensor:
        """Undoes the division by the number of replicas, for the logs."""
        replicas = replica_count()
        return loss if replicas == 1 else loss * replicas

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
