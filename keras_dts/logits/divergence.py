"""The Kullback-Leibler divergence, which rounding does not take below 0."""

from __future__ import annotations

import math
from typing import NamedTuple

from keras import ops

from keras_dts.backend import (
    divergence_terms,
    fast,
    log_softmax_and_softmax,
    without_gradient,
)
from keras_dts.types import Tensor


class Distribution(NamedTuple):
    """Distributions over the last axis.

    Attributes:
        log_probs: Log probabilities, shape `(batch, ..., classes)`.
        probs: Probabilities, of the same shape.
    """

    log_probs: Tensor
    probs: Tensor

    @classmethod
    def of_logits(cls, logits: Tensor) -> Distribution:
        """Returns the softmax of logits, shape `(batch, ..., classes)`."""
        return cls(*log_softmax_and_softmax(logits))

    @classmethod
    def of_log_probs(cls, log_probs: Tensor) -> Distribution:
        """Returns the distribution with these log probabilities."""
        return cls(log_probs, ops.exp(log_probs))


def kl(p: Distribution, q: Distribution) -> Tensor:
    """Computes KL(p || q) in nats, shape `(batch, ...)`.

    The sum of `p · (log p - log q) - (p - q)`. The differences `p - q` add up
    to 0 but for rounding, and near equality that rounding is all that is left
    of the sum without them. The value is at least 0; the gradient is that of
    the sum without them.

    Args:
        p: Distributions of shape `(batch, ..., classes)`.
        q: Of the same shape.
    """
    log_ratio = p.log_probs - q.log_probs
    value = fast.sum_(divergence_terms(p.probs, q.probs, log_ratio), -1)
    return value + without_gradient(_below_zero, value)


def mix(p: Distribution, q: Distribution, share: float) -> Distribution:
    """Returns the mixture `share · p + (1 - share) · q`.

    Args:
        p: Distributions of shape `(batch, ..., classes)`.
        q: Of the same shape.
        share: The share of `p`, greater than 0 and less than 1.
    """
    log_probs = ops.logaddexp(
        p.log_probs + math.log(share), q.log_probs + math.log1p(-share)
    )
    return Distribution(log_probs, share * p.probs + (1 - share) * q.probs)


def _below_zero(value: Tensor) -> Tensor:
    """Returns how far rounding took a value below 0."""
    return fast.relu(-value)
