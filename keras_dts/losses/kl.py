"""The Kullback-Leibler divergence, which rounding does not take below 0."""

from __future__ import annotations

from keras import ops

from keras_dts.logits import Tensor


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Returns KL(p || q) over the last axis, in nats, shape `(batch, ...)`.

    The sum of `p · (log p - log q)`, of which near equality only rounding is
    left, is freed of it: rounded distributions do not sum to 1, and by what
    the sum of `q` exceeds that of `p` the divergence comes out too small. The
    value is at least 0; the gradient is that of the sum as it is.

    Args:
        log_p: Log probabilities, shape `(batch, ..., classes)`.
        log_q: Of the same shape.
    """
    difference = log_p - log_q
    p = ops.exp(log_p)
    value = ops.sum(p * difference, axis=-1)
    # Without a gradient first, so that nothing is kept for the way back.
    plain, p, difference, log_q = (
        ops.stop_gradient(x) for x in (value, p, difference, log_q)
    )
    # p - q = (p + q) · tanh((log p - log q) / 2), in which nothing cancels.
    excess = -ops.sum((p + ops.exp(log_q)) * ops.tanh(difference / 2), axis=-1)
    return value + (ops.maximum(plain + excess, 0.0) - plain)
