"""A temperature that needs no search: it warms as the student catches up."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import BatchLogits, LogitPair, standard_deviation
from keras_dts.temperatures.base import (
    Temperature,
    TemperatureFunction,
    add_scalar,
    constant,
)
from keras_dts.types import Tensor

# The shares of the old moving means in the new ones.
_DISAGREEMENT_MOMENTUM = 0.95
_SPREAD_MOMENTUM = 0.99
# The disagreement below which the temperature warms.
_NEAR = 0.01


@keras.saving.register_keras_serializable(package="keras_dts")
class AutoTemperature(Temperature):
    """Chooses the temperature by itself: `temperature="auto"`.

    ```
    disagreement = share of examples whose most probable classes differ
    spread = standard deviation of the teacher's logits
    temperature = 1 + (spread - 1) * (1 - disagreement / 0.01)
    ```

    kept in `[1, spread]`, with moving means of the batches' disagreement (of
    about 20 steps) and spread (of about 100). The temperature is 1 as long as
    the student does not choose as its teacher does, because a hotter teacher
    only distracts it from that. When it does so on more than 99 % of what it
    trains on, the teacher's choices have little left to teach, and the
    temperature rises towards that at which the logits' spread is 1, where all
    classes speak. Nothing carries a gradient, and there is nothing to set.
    `docs/results.md` has the measurements, and where the rule fails. Ours; no
    paper describes it.

    Raises:
        ValueError: From the first step, if teacher and student have
            different classes.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.AutoTemperature()
    >>> teacher = np.array([[9.0, 0.0, -9.0]], "float32")
    >>> float(policy(teacher, -teacher, training=True).student)
    1.0
    >>> policy = keras_dts.temperatures.AutoTemperature()
    >>> float(policy(teacher, teacher, training=True).student)
    9.0
    """

    per_entry = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.disagreement = add_scalar(self, "disagreement", 1.0)
        self.spread = add_scalar(self, "spread", 1.0)
        self.observed = add_scalar(self, "observed", 0.0)

    def begin_step(self, batch: BatchLogits) -> None:
        """Moves the means, by the means of the outputs."""
        disagreement, spread, total, counted = batch.means(
            _disagreement, _spread, _total, _one
        )
        # A batch in which no entry counts, or that is broken, moves nothing.
        finite = ops.isfinite(total + spread)
        usable = ops.logical_and(ops.greater(counted, 0), finite)
        first = ops.equal(self.observed, 0.0)
        for variable, value, momentum in (
            (self.disagreement, disagreement, _DISAGREEMENT_MOMENTUM),
            (self.spread, spread, _SPREAD_MOMENTUM),
        ):
            moved = momentum * variable + (1.0 - momentum) * value
            moved = ops.where(first, value, moved)
            variable.assign(ops.where(usable, moved, variable.value))
        self.observed.assign(self.observed + ops.cast(usable, self.dtype))

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that gives every output the one temperature."""
        return constant(self.current())

    def current(self) -> Tensor:
        """Computes the temperature from the means, a scalar."""
        room = ops.maximum(self.spread.value, 1.0) - 1.0
        warmth = 1.0 - self.disagreement / _NEAR
        return 1.0 + room * ops.clip(warmth, 0.0, 1.0)


def _disagreement(pair: LogitPair) -> Tensor:
    """Returns 1 where the most probable classes differ, else 0."""
    pair.check_same_classes("AutoTemperature")
    differ = ops.not_equal(
        *(ops.argmax(logits, axis=-1) for logits in pair.argmax_logits)
    )
    return ops.cast(differ, pair.teacher.dtype)


def _spread(pair: LogitPair) -> Tensor:
    return standard_deviation(pair.teacher)


def _total(pair: LogitPair) -> Tensor:
    return ops.sum(pair.teacher + pair.student, axis=-1)


def _one(pair: LogitPair) -> Tensor:
    return ops.ones_like(pair.teacher[..., 0])
