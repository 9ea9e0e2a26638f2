"""Operations on logits."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_dts.backend import class_log_probs
from keras_dts.types import Tensor


def soften(logits: Tensor, temperature: Tensor) -> Tensor:
    """Divides logits by a scalar, or by one temperature per example or token.

    Args:
        logits: Shape `(batch, ..., classes)`.
        temperature: A scalar, or shape `(batch, ...)`.
    """
    if len(temperature.shape) > 0:
        temperature = ops.expand_dims(temperature, axis=-1)  # (batch, ..., 1)
    return logits / temperature


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the cross entropy of logits with labels.

    Args:
        logits: Shape `(batch, ..., classes)`.
        labels: Class indices of shape `(batch, ...)`, or probabilities of
            the shape of `logits`.

    Returns:
        One value for each example or token, in nats, shape `(batch, ...)`.
    """
    if len(labels.shape) < len(logits.shape):
        return -class_log_probs(logits, labels)
    return -ops.sum(labels * ops.log_softmax(logits, axis=-1), axis=-1)


def standard_deviation(logits: Tensor) -> Tensor:
    """Computes the unbiased standard deviation over the classes.

    Args:
        logits: Shape `(batch, ..., classes)`.

    Returns:
        Shape `(batch, ...)`.
    """
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    freedom = 1 if logits.shape[-1] == 1 else number_of_classes(logits) - 1
    return safe_sqrt(ops.sum(centred * centred, axis=-1) / freedom)


def number_of_classes(logits: Tensor) -> Any:
    """Returns the number of classes: a tensor where a run alone knows it.

    Args:
        logits: Shape `(batch, ..., classes)`.
    """
    size = ops.shape(logits)[-1]
    return size if isinstance(size, int) else ops.cast(size, logits.dtype)


def safe_sqrt(x: Tensor) -> Tensor:
    """Computes the square root of non-negative values, with gradient 0 at 0.

    The gradient of the plain square root is infinite there.
    """
    positive = ops.greater(x, 0.0)
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)
