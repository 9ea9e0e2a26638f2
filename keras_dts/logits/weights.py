"""Masks and sample weights become one weight for each entry."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype, same_shape, show, static_shape


def entry_weights(
    outputs: Tensor, sample_weight: Tensor | None, layer: EntryWeights
) -> Tensor | None:
    """Returns the weight of each entry of a model's output.

    Args:
        outputs: The student's output with its mask, if it has one, shape
            `(batch, ..., classes)`.
        sample_weight: The user's weights, or `None`.
        layer: Reads the mask. Only outputs of tokens or pixels have one.

    Returns:
        Shape `(batch, ...)`; `None` where every entry weighs 1.
    """
    if len(outputs.shape) > 2:
        weights: Tensor = layer(outputs, sample_weight=sample_weight)
        return weights
    if sample_weight is None:
        return None
    return broadcast_weights(sample_weight, outputs[..., 0])


@keras.saving.register_keras_serializable(package="keras_dts")
class EntryWeights(keras.layers.Layer):
    """Turns sample weights and Keras's mask into one weight per entry.

    A layer, because layers are what Keras hands its masks to.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=loss_dtype(), autocast=False, **kwargs)
        self.supports_masking = True
        self.built = True

    def call(
        self,
        outputs: Tensor,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        outputs_mask: Tensor | None = None,
    ) -> Tensor:
        """Returns weights of shape `(batch, ...)` for `(batch, ..., classes)`.

        Keras fills in `mask` when there is one tensor argument and
        `outputs_mask` when there are two.
        """
        weights = ops.ones(ops.shape(outputs)[:-1], dtype=loss_dtype())
        mask = outputs_mask if mask is None else mask
        if mask is not None:
            weights = weights * ops.cast(mask, loss_dtype())
        if sample_weight is not None:
            weights = weights * broadcast_weights(sample_weight, weights)
        return weights


@keras.saving.register_keras_serializable(package="keras_dts")
class TokenMask(keras.layers.Layer):
    """Makes tokens of weight 0 masked ones, which Keras's losses leave out.

    A weight alone would leave them in the number that a loss divides by, so
    that padding would change it. A layer, because layers are what Keras takes
    masks from.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=loss_dtype(), autocast=False, **kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        """Returns the outputs, the first of `(outputs, weights)`."""
        return ops.copy(inputs[0])

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Tensor:
        """Returns which tokens count, shape `(batch, ...)`."""
        outputs, weights = inputs
        ones = ops.ones(ops.shape(outputs)[:-1], dtype=loss_dtype())
        counted = ops.not_equal(broadcast_weights(weights, ones) * ones, 0)
        before = previous_mask and previous_mask[0]
        if before is None:
            return counted
        return ops.logical_and(counted, ops.cast(before, "bool"))


def check_sample_weight(sample_weight: Tensor, wanted: Any) -> None:
    """Raises unless `sample_weight` broadcasts to the entries.

    Args:
        sample_weight: The user's weights.
        wanted: The shape of the entries, `(batch, ...)`.

    Raises:
        ValueError: If it does not.
    """
    dtype = keras.backend.standardize_dtype(sample_weight.dtype)
    if dtype.startswith("complex"):
        raise ValueError(
            "`sample_weight` must hold real numbers. Received: "
            f"sample_weight.dtype={dtype}"
        )
    shape, wanted = static_shape(sample_weight), tuple(wanted)
    given = shape[:-1] if shape[len(wanted) :] == (1,) else shape
    fits = given and (len(given) == 1 or len(given) == len(wanted))
    sizes = zip(given, wanted, strict=False)
    if not fits or not all(
        n in (1, None) or same_shape((n,), (m,)) for n, m in sizes
    ):
        raise ValueError(
            "`sample_weight` must have one value for each example or token, "
            f"shape {show(wanted)}, or 1 in place of a size that all share. "
            f"Received: sample_weight.shape={show(shape)}"
        )


def broadcast_weights(sample_weight: Tensor, entries: Tensor) -> Tensor:
    """Gives `sample_weight` the rank of `entries`, so that it broadcasts.

    Args:
        sample_weight: The user's weights: of the shape of `entries`, with a 1
            in place of any size but the first and with one more axis of 1 or
            without; or one for each example, shape `(batch,)`.
        entries: A tensor with one value for each entry, shape `(batch, ...)`.
    """
    check_sample_weight(sample_weight, entries.shape)
    sample_weight = ops.cast(sample_weight, loss_dtype())
    while len(sample_weight.shape) > len(entries.shape):
        sample_weight = ops.squeeze(sample_weight, axis=-1)
    while len(sample_weight.shape) < len(entries.shape):
        sample_weight = ops.expand_dims(sample_weight, axis=-1)
    return sample_weight
