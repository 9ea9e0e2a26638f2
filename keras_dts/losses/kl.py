"""The Kullback-Leibler divergence, in a form that cannot go below 0."""

from __future__ import annotations

from keras import ops

from keras_dts.logits import Tensor


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Returns KL(p || q) over the last axis, in nats, shape `(batch, ...)`.

    The sum of `p · (log p - log q) - p + q`, which is the divergence since
    both sum to 1. Each of its terms is at least 0 and computed so that
    rounding leaves it there, which the plain `p · (log p - log q)` is not:
    near equality its terms cancel, and T² magnifies what is left.

    Args:
        log_p: Log probabilities, shape `(batch, ..., classes)`.
        log_q: Of the same shape.
    """
    difference = log_p - log_q
    near = ops.greater(difference, -1.0)
    # p · (d + exp(-d) - 1), of which exp may overflow where d is far below 0.
    d = ops.where(near, difference, 0.0)
    close = ops.exp(log_p) * (d + ops.expm1(-d))
    far = ops.exp(log_p) * (difference - 1.0) + ops.exp(log_q)
    return ops.sum(ops.where(near, close, far), axis=-1)
