"""A temperature that follows a schedule of Keras's."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import BatchLogits
from keras_dts.temperatures.base import (
    FLOOR,
    Temperature,
    TemperatureFunction,
    constant,
)
from keras_dts.utils import Schedule, ScheduleClock, check_first


@keras.saving.register_keras_serializable(package="keras_dts")
class ScheduledTemperature(Temperature):
    """Follows a schedule over the training steps, or over the epochs.

    The first step has the schedule's value at 0. Values below 0.001 count as
    0.001. Wherever a temperature is wanted, the schedule itself may be given
    and means the same.

    Args:
        schedule: The temperature over the number of steps, a
            `keras.optimizers.schedules` object, or a
            `keras_dts.schedules.EpochSchedule`.

    Raises:
        ValueError: If `schedule` is no schedule, or does not begin with a
            finite number.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.ScheduledTemperature(
    ...     keras.optimizers.schedules.PolynomialDecay(
    ...         4.0, decay_steps=2, end_learning_rate=1.0
    ...     )
    ... )
    >>> logits = np.zeros((2, 3), "float32")
    >>> [float(policy(logits, logits, training=True).student) for _ in "abc"]
    [4.0, 2.5, 1.0]
    """

    per_entry = True

    def __init__(self, schedule: Schedule, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(schedule, Schedule):
            raise ValueError(
                "`schedule` must be a `keras.optimizers.schedules` object. "
                f"Received: schedule={schedule!r}"
            )
        check_first("schedule", schedule)
        self.schedule = schedule
        self._clock = ScheduleClock(self, [schedule])

    @property
    def step(self) -> Any:
        """The steps so far; `None` with an `EpochSchedule`."""
        return self._clock.step

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Notes the epoch."""
        self._clock.begin_epoch(epoch)

    def begin_step(self, batch: BatchLogits) -> None:
        """Raises a `ValueError` if the epoch is wanted and not known."""
        self._clock.begin_step()

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that gives every output the schedule's value."""
        now = ops.cast(self._clock.value(self.schedule), self.compute_dtype)
        return constant(ops.maximum(now, FLOOR))

    def end_step(self, batch: BatchLogits) -> None:
        """Counts the step."""
        self._clock.end_step()

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "schedule": keras.saving.serialize_keras_object(self.schedule),
        }
