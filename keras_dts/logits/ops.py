"""Operations on logits."""

from __future__ import annotations

from keras import ops

from keras_dts.types import Tensor


def safe_sqrt(x: Tensor) -> Tensor:
    """Returns the square root of what is not negative, flat at 0.

    The root's own gradient is infinite there.
    """
    positive = ops.greater(x, 0.0)
    return ops.where(positive, ops.sqrt(ops.where(positive, x, 1.0)), 0.0)


def standard_deviation(logits: Tensor) -> Tensor:
    """Returns the unbiased standard deviation over the classes.

    Args:
        logits: Shape `(batch, ..., classes)`.

    Returns:
        Shape `(batch, ...)`.
    """
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    freedom = max(logits.shape[-1] - 1, 1)
    return safe_sqrt(ops.sum(centred * centred, axis=-1) / freedom)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the cross entropy of logits with labels.

    Args:
        logits: Shape `(batch, ..., classes)`.
        labels: Class indices of shape `(batch, ...)`, or probabilities of
            the shape of `logits`.

    Returns:
        One value for each example or token, in nats, shape `(batch, ...)`.
    """
    log_probs = ops.log_softmax(logits, axis=-1)
    if len(labels.shape) == len(logits.shape):
        return -ops.sum(labels * log_probs, axis=-1)
    index = ops.expand_dims(labels, axis=-1)  # (batch, ..., 1)
    return -ops.squeeze(ops.take_along_axis(log_probs, index, axis=-1), axis=-1)
