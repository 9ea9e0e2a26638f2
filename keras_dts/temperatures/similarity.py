"""CSWT: examples on which the models differ get a higher temperature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.backend import gathered
from keras_dts.logits import BatchLogits, LogitPair, weighted_mean
from keras_dts.temperatures.base import (
    Temperature,
    TemperatureFunction,
    Temperatures,
)
from keras_dts.types import Tensor
from keras_dts.utils import check_temperature


@keras.saving.register_keras_serializable(package="keras_dts")
class CosineSimilarityTemperature(Temperature):
    """Softens more where teacher and student differ more (CSWT).

    ```
    c = cosine(softmax(teacher), softmax(student))       each example
    temperature = low + (high - low) * (max c - c) / (max c - min c)
    scale = mean(temperature)^2
    ```

    The extremes and the mean are those of the batch's entries that count,
    and nothing carries a gradient. Where all are equally similar, as in a
    batch of one, the temperature is halfway between `low` and `high`.

    Published with `keras_dts.losses.CosineKD`, once at temperature 4 and once
    with this policy, each of weight 1.

    Args:
        low: The temperature of the most similar example. Positive.
        high: The temperature of the least similar one, at least `low`.

    Raises:
        ValueError: If a bound is not positive, or `low > high`.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.CosineSimilarityTemperature()
    >>> teacher = np.array([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]], "float32")
    >>> student = np.array([[3.0, 0.0], [0.0, 3.0], [0.0, 0.0]], "float32")
    >>> [round(float(t), 1) for t in policy(teacher, student).student]
    [2.0, 6.0, 3.1]

    Reference:
        Ham et al., Cosine Similarity Knowledge Distillation for Individual
        Class Information Transfer, arXiv 2311.14307, 2023.
    """

    per_entry = True

    def __init__(
        self, low: float = 2.0, high: float = 6.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_temperature("low", low)
        check_temperature("high", high)
        if low > high:
            raise ValueError(
                f"`low` must be at most `high`. Received: low={low}, "
                f"high={high}"
            )
        self.low = low
        self.high = high

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that compares an entry with the whole batch."""
        rules = {
            output: self._rule(*columns)
            for output, columns in batch.columns(
                _similarity, lambda pair: pair.counted
            ).items()
        }

        def temperatures(pair: LogitPair) -> Temperatures:
            rule, scale = rules[pair.output]
            temperature = rule(_similarity(pair))
            return Temperatures(temperature, temperature, scale)

        return temperatures

    def _rule(
        self, similarity: Tensor, counted: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """Returns the temperature as a function of similarity, and the scale.

        Args:
            similarity: The batch's, shape `(batch, ...)`.
            counted: Which entries count, of the same shape.
        """
        counted = ops.cast(counted, "bool")
        # Cosines of probabilities are between 0 and 1.
        highest = ops.max(ops.where(counted, similarity, -1.0))
        lowest = ops.min(ops.where(counted, similarity, 2.0))
        extremes, _ = gathered(ops.stack([highest, -lowest]))
        highest, lowest = ops.max(extremes[::2]), -ops.max(extremes[1::2])
        width = highest - lowest
        usable = ops.greater(width, 0.0)

        def rule(similarity: Tensor) -> Tensor:
            share = (highest - similarity) / ops.where(usable, width, 1.0)
            share = ops.where(usable, ops.clip(share, 0.0, 1.0), 0.5)
            return self.low + (self.high - self.low) * share

        weights = ops.cast(counted, similarity.dtype)
        mean = weighted_mean(rule(similarity), weights)
        return rule, mean * mean

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "low": self.low, "high": self.high}


def _similarity(pair: LogitPair) -> Tensor:
    """Computes the cosine of both softmaxes, shape `(batch, ...)`."""
    pair.check_same_classes("CosineSimilarityTemperature")
    teacher = ops.softmax(pair.teacher, axis=-1)
    student = ops.softmax(ops.stop_gradient(pair.student), axis=-1)
    return ops.sum(teacher * student, axis=-1) / (
        _length(teacher) * _length(student)
    )


def _length(probabilities: Tensor) -> Tensor:
    return ops.sqrt(ops.sum(probabilities * probabilities, axis=-1))
