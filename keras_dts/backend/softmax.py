"""Softmaxes, by what costs least on each backend.

XLA computes a chain of operations in one pass over the memory, and pays for
exponentials; TensorFlow and PyTorch pay for the passes.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras
from keras import ops

from keras_dts.backend import fast
from keras_dts.backend.steps import no_gradient, without_gradient
from keras_dts.types import Tensor

# The series below is exact to rounding for arguments up to this.
_SERIES_UP_TO = 0.5


def log_softmax_and_softmax(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Computes log probabilities and probabilities over the last axis.

    Args:
        logits: Shape `(batch, ..., classes)`.

    Returns:
        Both, of the shape of `logits`. On JAX, one exponential serves both.
    """
    if keras.config.backend() != "jax":
        log_probs = fast.log_softmax(logits, -1)
        return log_probs, fast.exp(log_probs)
    highest = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    shifted = logits - highest
    powers = ops.exp(shifted)
    total = ops.sum(powers, axis=-1, keepdims=True)
    return shifted - ops.log(total), powers / total


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


def divergence_terms(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """Computes `p * log_ratio - (p - q)`, with the gradient of `p * log_ratio`.

    Args:
        p: Probabilities.
        q: Probabilities of the same shape.
        log_ratio: `log p - log q`.
    """
    if keras.config.backend() != "torch":
        difference = without_gradient(_difference, p, q, log_ratio)
        return p * log_ratio - difference
    # In place, since on a CPU fresh memory costs more than the arithmetic.
    with no_gradient():
        minus = (log_ratio * -0.5).tanh_().mul_(p + q)
    torch: Any = importlib.import_module("torch")
    return torch.addcmul(minus, p, log_ratio)


def _difference(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """Computes `p - q` as exactly as `(p + q) * tanh(log_ratio / 2)`."""
    half = log_ratio / 2
    if keras.config.backend() != "jax":
        return (p + q) * ops.tanh(half)
    square = half * half
    # The series of tanh. Far from 0, the difference itself does not cancel.
    series = square * (17 / 315)
    series = square * (2 / 15 - series)
    series = half * (1 - square * (1 / 3 - series))
    near = ops.abs(log_ratio) < _SERIES_UP_TO
    return ops.where(near, (p + q) * series, p - q)
