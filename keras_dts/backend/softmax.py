"""Softmaxes, by what costs least on each backend.

XLA computes a chain of operations in one pass over the memory, and pays for
exponentials; TensorFlow and PyTorch pay for the passes.
"""

from __future__ import annotations

import keras
from keras import ops

from keras_dts.backend import fast
from keras_dts.types import Tensor

# The series below is exact to rounding for arguments up to this.
_SERIES_UP_TO = 0.5


def class_log_probs(logits: Tensor, labels: Tensor) -> Tensor:
    """Computes the log probability of one class for each example or token.

    Args:
        logits: Shape `(batch, ..., classes)`.
        labels: Class indices, int32, shape `(batch, ...)`.

    Returns:
        Shape `(batch, ...)`.
    """
    log_probs = fast.log_softmax(logits, -1)
    index = labels[..., None]  # (batch, ..., 1)
    if keras.config.backend() == "torch":
        return log_probs.gather(-1, index.long())[..., 0]
    return ops.take_along_axis(log_probs, index, axis=-1)[..., 0]


def log_ratio(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Computes `log p - log q`, and 0 where both rule a class out.

    Args:
        log_p: Log probabilities; -inf rules a class out.
        log_q: Log probabilities of the same shape.
    """
    return ops.where(ops.equal(log_p, log_q), 0.0, log_p - log_q)


def excess(p: Tensor, log_ratio: Tensor, difference: Tensor) -> Tensor:
    """Sums `p * log_ratio - difference` over the classes.

    No gradient flows through it.

    Args:
        p: Probabilities, shape `(batch, ..., classes)`.
        log_ratio: `log p - log q`.
        difference: `p - q`.

    Returns:
        Shape `(batch, ...)`.
    """
    if keras.config.backend() == "torch":  # one pass over fresh memory, not two
        return -difference.addcmul(p, log_ratio, value=-1).sum(-1)
    return fast.sum_(p * log_ratio - difference, -1)


def exact_difference(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """Computes `p - q`, where equal digits do not cancel.

    It is `(p + q) * tanh(log_ratio / 2)`. No gradient flows through it.

    Args:
        p: Probabilities.
        q: Probabilities of the same shape.
        log_ratio: `log p - log q`.
    """
    half = log_ratio / 2
    if keras.config.backend() == "torch":
        # In place, since on a CPU fresh memory costs more than arithmetic.
        return half.tanh_().mul_(p + q)
    if keras.config.backend() == "tensorflow":
        return (p + q) * ops.tanh(half)
    square = half * half
    # The series of tanh. Far from 0, the difference itself does not cancel.
    series = square * (17 / 315)
    series = square * (2 / 15 - series)
    series = half * (1 - square * (1 / 3 - series))
    near = ops.abs(log_ratio) < _SERIES_UP_TO
    return ops.where(near, (p + q) * series, p - q)
