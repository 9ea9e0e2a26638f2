"""A temperature that needs no search: it warms as the student catches up."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_dts.logits import Head, Tensor, deviation
from keras_dts.losses.kl import kl
from keras_dts.temperatures.base import (
    Temperature,
    Temperatures,
    add_scalar,
)

# The shares of the old moving means in the new ones.
_DISTANCE_MOMENTUM = 0.95
_SPREAD_MOMENTUM = 0.99
# The distance, as a share of log(classes), from which the temperature warms.
_NEAR = 0.01


@keras.saving.register_keras_serializable(package="keras_dts")
class AutoTemperature(Temperature):
    """Chooses the temperature by itself: `temperature="auto"`.

    ```
    distance = KL(teacher || student) / log(classes)     at temperature 1
    spread = standard deviation of the teacher's logits
    temperature = 1 + (spread - 1) * (1 - distance / 0.01)    in [1, spread]
    ```

    with moving means of the batches' distance (of about 20 steps) and spread
    (of about 100). The temperature is 1 as long as the student has not caught
    up with what the teacher says at temperature 1, because then a hotter
    teacher only distracts it. When it has, the teacher's choices have nothing
    left to teach, and the temperature rises towards that at which the logits'
    spread is 1, where all classes speak. Nothing carries a gradient, and there
    is nothing to set. `docs/results.md` has the measurements, and where the
    rule fails. Ours; no paper describes it.

    Raises:
        ValueError: From the first step, if teacher and student have
            different classes.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.AutoTemperature()
    >>> teacher = np.array([[9.0, 0.0, -9.0]], "float32")
    >>> student = np.array([[0.0, 0.0, 0.0]], "float32")
    >>> float(policy(teacher, student, training=True).student)
    1.0
    >>> policy = keras_dts.temperatures.AutoTemperature()
    >>> float(policy(teacher, teacher, training=True).student)
    9.0
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = add_scalar(self, "distance", 1.0)
        self.spread = add_scalar(self, "spread", 1.0)
        self.observed = add_scalar(self, "observed", 0.0)

    def heads(self, heads: list[Head], *, training: bool) -> list[Temperatures]:
        """Answers every output with the one temperature.

        The means of the outputs' distances and spreads drive it.
        """
        distance, spread = self.distance.value, self.spread.value
        if training:
            distance, spread = self._observe(heads)
        room = ops.maximum(spread, 1.0) - 1.0
        warmth = ops.clip(1.0 - distance / _NEAR, 0.0, 1.0)
        now = 1.0 + room * warmth
        return [Temperatures(now, now, now * now)] * len(heads)

    def _observe(self, heads: list[Head]) -> tuple[Tensor, Tensor]:
        """Moves the means, and returns them."""
        distance = sum(_distance(head) for head in heads) / len(heads)
        spread = sum(h.mean(deviation(h.teacher)) for h in heads) / len(heads)
        # A batch in which nothing counts, or that is broken, tells nothing.
        counts = sum(ops.sum(ops.abs(head.weights)) for head in heads)
        usable = ops.logical_and(
            ops.greater(counts, 0.0), ops.isfinite(distance + spread)
        )
        first = ops.equal(self.observed, 0.0)
        for variable, value, momentum in (
            (self.distance, distance, _DISTANCE_MOMENTUM),
            (self.spread, spread, _SPREAD_MOMENTUM),
        ):
            moved = momentum * variable + (1.0 - momentum) * value
            moved = ops.where(first, value, moved)
            variable.assign(ops.where(usable, moved, variable.value))
        self.observed.assign(self.observed + ops.cast(usable, self.dtype))
        return self.distance.value, self.spread.value


def _distance(head: Head) -> Tensor:
    """Returns the mean divergence, as a share of log(classes)."""
    head.check_same_classes("AutoTemperature")
    classes = head.student.shape[-1]
    values = kl(
        ops.log_softmax(head.teacher),
        ops.log_softmax(ops.stop_gradient(head.student)),
    )
    return head.mean(values) / math.log(max(classes, 2))
