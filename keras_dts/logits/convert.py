"""Converts a model's outputs to logits."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import to_loss_dtype

# The smallest normal float32: the logarithm of a smaller one is -inf on
# backends that flush subnormal numbers to zero.
_TINY = float(np.finfo("float32").tiny)


def to_logits(
    outputs: Tensor, *, from_logits: bool, independent: bool = False
) -> Tensor:
    """Returns the logits of a model's output.

    Args:
        outputs: Logits or probabilities, shape `(batch, ..., classes)`. A
            single class is the positive one of two.
        from_logits: Whether `outputs` are logits.
        independent: Whether they are of labels that may all be true, shape
            `(batch, ..., labels)`. Each label is a choice between two classes
            then: false and true.

    Returns:
        Logits, float32 or wider, with at least two classes; of independent
        labels, shape `(batch, ..., labels, 2)`. The logarithm of
        probabilities is such a set of logits: softened, it gives the same
        distributions.
    """
    outputs = to_loss_dtype(outputs)
    if independent:
        outputs = outputs[..., None]
    if from_logits:
        if outputs.shape[-1] == 1:
            return ops.concatenate([ops.zeros_like(outputs), outputs], axis=-1)
        return outputs
    if outputs.shape[-1] == 1:
        outputs = ops.concatenate([1 - outputs, outputs], axis=-1)
    return ops.log(ops.maximum(outputs, _TINY))


def to_stored_logits(outputs: Tensor, *, from_logits: bool) -> Tensor:
    """Returns logits of the shape of a model's output, as a cache stores them.

    Args:
        outputs: Logits or probabilities, shape `(batch, ..., classes)`.
        from_logits: Whether `outputs` are logits.

    Returns:
        Logits of the shape of `outputs`, float32 or wider; of a single
        probability its log odds.
    """
    outputs = to_loss_dtype(outputs)
    if from_logits:
        return outputs
    log_probs = ops.log(ops.maximum(outputs, _TINY))
    if outputs.shape[-1] != 1:
        return log_probs
    return log_probs - ops.log(ops.maximum(1.0 - outputs, _TINY))


def from_stored_logits(logits: Tensor, *, from_logits: bool) -> Tensor:
    """Returns a model's output: the inverse of `to_stored_logits`.

    Args:
        logits: What `to_stored_logits` returned.
        from_logits: Whether the model's output is logits.

    Returns:
        The output, float32 or wider.
    """
    logits = to_loss_dtype(logits)
    if from_logits:
        return logits
    if logits.shape[-1] != 1:
        return ops.exp(logits)
    return ops.sigmoid(logits)
