"""The Kullback-Leibler divergence, which rounding does not take below 0."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_dts.backend import (
    careful,
    exact_difference,
    excess,
    fast,
    log_ratio,
    needs_gradient,
    without_gradient,
)
from keras_dts.types import Tensor


class Distribution:
    """Distributions over the last axis, computed as they are asked for.

    Args:
        log_probs: `None`, or log probabilities, shape
            `(batch, ..., classes)`.
        probs: `None`, or probabilities, of the same shape.
        logits: `None`, or logits whose softmax they are, of the same shape.
            They or `log_probs` are given.
    """

    def __init__(
        self,
        log_probs: Tensor | None = None,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
    ) -> None:
        self.logits = logits
        if log_probs is not None:
            self.log_probs = log_probs
        if probs is not None:
            self.probs = probs

    @classmethod
    def of_logits(cls, logits: Tensor) -> Distribution:
        """Returns the softmax of logits, shape `(batch, ..., classes)`."""
        return cls(logits=logits)

    @classmethod
    def of_log_probs(cls, log_probs: Tensor) -> Distribution:
        """Returns the distribution with these log probabilities."""
        return cls(log_probs)

    @functools.cached_property
    def log_probs(self) -> Tensor:
        """Log probabilities, shape `(batch, ..., classes)`."""
        return fast.log_softmax(self.logits, -1)

    @functools.cached_property
    def probs(self) -> Tensor:
        """Probabilities, shape `(batch, ..., classes)`."""
        return fast.exp(self.log_probs)


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
    if p.logits is not None and q.logits is not None:
        return _kl_of_logits(p.logits, q.logits)
    ratio = log_ratio(p.log_probs, q.log_probs)
    difference = without_gradient(exact_difference, p.probs, q.probs, ratio)
    value = fast.sum_(p.probs * ratio - difference, -1)
    return value + without_gradient(_below_zero, value)


def _kl_and_gradient(
    p_logits: Tensor, q_logits: Tensor
) -> tuple[Tensor, Callable[..., Any]]:
    """Returns the same between softmaxes, and what computes its gradient.

    The gradient for `q_logits` is `q - p`, which the value has computed. A
    backend that derives it goes through all that the value consists of.
    """
    p = Distribution.of_logits(p_logits)
    q = Distribution.of_logits(q_logits)
    probs = p.probs

    def parts(ratio: Tensor) -> list[Tensor]:
        difference = exact_difference(probs, q.probs, ratio)
        value = fast.relu(excess(probs, ratio, difference))
        return [ratio, difference, value]

    ratio, difference, value = careful(
        lambda: parts(log_ratio(p.log_probs, q.log_probs)),
        lambda: parts(p.log_probs - q.log_probs),
        q_logits,
    )
    # What the gradient does not need shall not wait for it in memory.
    kept = (probs, ratio, value) if needs_gradient(p_logits) else None

    def gradient(*args: Tensor, upstream: Tensor = None) -> Any:
        weight = (args[-1] if upstream is None else upstream)[..., None]
        for_q = difference * -weight
        if kept is None:
            return None, for_q
        probs, ratio, mean = kept
        return probs * (ratio - mean[..., None]) * weight, for_q

    return value, gradient


_kl_of_logits: Callable[..., Tensor] = ops.custom_gradient(_kl_and_gradient)


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
