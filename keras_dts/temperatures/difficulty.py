"""AdaKD: tokens that the student finds hard get a lower temperature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.backend import gathered
from keras_dts.logits import BatchLogits, LogitPair
from keras_dts.temperatures.base import (
    FLOOR,
    Temperature,
    TemperatureFunction,
    Temperatures,
)
from keras_dts.temperatures.focus import TokenFocus
from keras_dts.temperatures.wrapper import TemperatureWrapper
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, check_number

# Stands for the distance of a token that does not count; others are at most 1.
_UNCOUNTED = 2.0


@keras.saving.register_keras_serializable(package="keras_dts")
class TokenDifficultyTemperature(TemperatureWrapper):
    """Sharpens hard tokens and softens easy ones (AdaKD's IDTS).

    ```
    s = Hellinger distance of the two softmaxes      each token, in [0, 1]
    r = s / median(s)
    temperature = base * exp(-strength * tanh(log r))      scale = T^2
    ```

    The median, the lower one of an even number, is over the tokens of the
    batch that count. Nothing carries a gradient (in the published code the
    student's part does). Published with `keras_dts.losses.ReverseKL`, a base
    of 1, and no loss on labels.

    With a `TokenFocus` only the hardest tokens count, and the median is
    theirs (AdaKD's LATF).

    Args:
        base: A positive number, `"auto"`, a `keras.optimizers.schedules`
            object or a policy.
        strength: How far temperatures spread: within a factor of
            `exp(strength)` of the base. Below 0 hard tokens are softened.
        focus: `None`, or a `TokenFocus` that chooses the tokens.

    Raises:
        ValueError: If a value is out of its range.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.TokenDifficultyTemperature()
    >>> teacher = np.array([[[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]], "float32")
    >>> student = np.array([[[2.0, 0.0], [1.0, 0.0], [0.0, 2.0]]], "float32")
    >>> [round(float(t), 2) for t in policy(teacher, student).student[0]]
    [1.65, 1.0, 0.64]

    Reference:
        LLM-Oriented Token-Adaptive Knowledge Distillation,
        arXiv 2510.11615, 2025.
    """

    def __init__(
        self,
        base: float | str | Schedule | Temperature = 1.0,
        strength: float = 0.5,
        focus: TokenFocus | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(base, **kwargs)
        check_number("strength", strength)
        if focus is not None and not isinstance(focus, TokenFocus):
            raise ValueError(
                "`focus` must be `None` or a "
                f"`keras_dts.temperatures.TokenFocus`. Received: {focus!r}"
            )
        self.strength = strength
        self.focus = focus

    @property
    def per_entry(self) -> bool:  # type: ignore[override]
        """Whether an entry is compared with the median alone: no focus."""
        return self.focus is None

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that compares an entry with the whole batch."""
        base = self.base.snapshot(batch)
        rules = {
            output: self._rule(*columns)
            for output, columns in batch.columns(
                _difficulty, lambda pair: pair.counted
            ).items()
        }
        return lambda pair: rules[pair.output](pair, base(pair).student)

    def _rule(
        self, difficulty: Tensor, counted: Tensor
    ) -> Callable[[LogitPair, Tensor], Temperatures]:
        """Returns the temperatures as a function of an entry and the base's.

        Args:
            difficulty: The batch's, shape `(batch, ...)`.
            counted: Which entries count, of the same shape.
        """
        shape, counted = ops.shape(difficulty), ops.cast(counted, "bool")
        # With the tokens of other replicas.
        marked = ops.where(counted, difficulty, _UNCOUNTED)
        everywhere, first = gathered(ops.reshape(marked, (-1,)))
        among, share = ops.less(everywhere, _UNCOUNTED), 1.0
        chosen = counted
        if self.focus is not None:
            among, share = self.focus.choose(everywhere, among)
            chosen = among[first : first + math.prod(shape)]
            chosen = ops.reshape(chosen, shape)
        square = _lower_median(everywhere, among) ** 2

        def temperatures(pair: LogitPair, base: Tensor) -> Temperatures:
            hardness = _hardness(_difficulty(pair) ** 2, square)
            temperature = base * ops.exp(-self.strength * hardness)
            temperature = ops.maximum(temperature, FLOOR)
            # The mean over all tokens becomes that over the chosen ones.
            used = pair.counted if self.focus is None else chosen
            used = ops.cast(used, temperature.dtype)
            scale = temperature**2 * used / share
            return Temperatures(temperature, temperature, scale)

        return temperatures

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Tells the base and the focus."""
        super().begin_epoch(epoch, epochs, steps)
        if self.focus is not None:
            self.focus.begin_epoch(epochs, steps)

    def observe(self, loss: Tensor) -> None:
        """Tells the base and the focus."""
        super().observe(loss)
        if self.focus is not None:
            self.focus.observe(loss)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "strength": self.strength,
            "focus": self.focus
            and keras.saving.serialize_keras_object(self.focus),
        }


def _difficulty(pair: LogitPair) -> Tensor:
    """Computes how far apart both models are, shape `(batch, ...)`."""
    pair.check_same_classes("TokenDifficultyTemperature")
    return hellinger(pair.teacher, ops.stop_gradient(pair.student))


def _hardness(square: Tensor, median_square: Tensor) -> Tensor:
    """Computes `tanh(log r) = (r² - 1) / (r² + 1)` without dividing by 0."""
    total = square + median_square
    safe = ops.where(ops.greater(total, 0.0), total, 1.0)
    return (square - median_square) / safe


def hellinger(teacher: Tensor, student: Tensor) -> Tensor:
    """Returns the Hellinger distance of two softmaxes, in `[0, 1]`.

    Args:
        teacher: Logits of shape `(batch, ..., classes)`.
        student: Logits of the same shape.

    Returns:
        Shape `(batch, ...)`.
    """
    # The root of a softmax.
    roots = [
        ops.exp(0.5 * ops.log_softmax(logits, axis=-1))
        for logits in (teacher, student)
    ]
    return ops.sqrt(0.5 * ops.sum((roots[0] - roots[1]) ** 2, axis=-1))


def _lower_median(values: Tensor, chosen: Tensor) -> Tensor:
    """Returns the lower median of the chosen values; 2 where none is."""
    ordered = ops.sort(ops.where(chosen, values, _UNCOUNTED))  # these come last
    count = ops.sum(ops.cast(chosen, "int32"))
    return ops.take(ordered, ops.maximum(count - 1, 0) // 2)
