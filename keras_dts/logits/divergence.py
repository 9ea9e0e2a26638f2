"""The Kullback-Leibler divergence, which rounding does not take below 0."""

from __future__ import annotations

from keras import ops

from keras_dts.backend import without_gradient
from keras_dts.types import Tensor


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Returns KL(p || q) over the last axis, in nats, shape `(batch, ...)`.

    The sum of `p · (log p - log q) - (p - q)`. The differences `p - q` add up
    to 0 but for rounding, and near equality that rounding is all that is left
    of the sum without them. The value is at least 0; the gradient is that of
    the sum without them.

    Args:
        log_p: Log probabilities, shape `(batch, ..., classes)`.
        log_q: Of the same shape.
    """
    p, difference = ops.exp(log_p), log_p - log_q
    apart = without_gradient(_apart, p, log_q, difference)
    value = ops.sum(p * difference - apart, axis=-1)
    return value + without_gradient(_below_zero, value)


def _apart(p: Tensor, log_q: Tensor, difference: Tensor) -> Tensor:
    """Computes `p - q` without cancelling."""
    return (p + ops.exp(log_q)) * ops.tanh(difference / 2)


def _below_zero(value: Tensor) -> Tensor:
    """Returns how far rounding took a value below 0."""
    return ops.maximum(-value, 0.0)
