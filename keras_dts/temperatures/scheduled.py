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
from keras_dts.utils import Schedule, add_step_counter, check_first


@keras.saving.register_keras_serializable(package="keras_dts")
class ScheduledTemperature(Temperature):
    """Follows a `keras.optimizers.schedules` object over the training steps.

    The first step has the schedule's value at 0. Values below 0.001 count as
    0.001. Wherever a temperature is wanted, the schedule itself may be given
    and means the same.

    Args:
        schedule: The temperature over the number of steps.

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
        self.step = add_step_counter(self)

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that gives every output the schedule's value."""
        now = ops.cast(self.schedule(self.step.value), self.compute_dtype)
        return constant(ops.maximum(now, FLOOR))

    def end_step(self, batch: BatchLogits) -> None:
        """Counts the step."""
        self.step.assign(self.step + 1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "schedule": keras.saving.serialize_keras_object(self.schedule),
        }
