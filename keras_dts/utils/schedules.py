"""Schedules: over steps, which are Keras's, and over epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.utils.checks import check_count, check_number
from keras_dts.utils.models import add_epoch, add_step_counter

Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="keras_dts")
class EpochSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Steps from value to value at the beginning of epochs.

    For `student_loss_weight`, `distillation_loss_weights` and temperatures, in
    the place of a schedule over steps. The value changes with the first step
    of an epoch, whatever the number of steps. Epochs count from 0, as Keras's
    `initial_epoch` does, and `keras_dts.Distiller.fit` tells which one begins.
    A training of several calls of `fit` therefore needs `initial_epoch`.

    Args:
        boundaries: The epochs that begin with another value, ascending, each
            at least 1.
        values: The values, finite numbers: one more than `boundaries`.

    Raises:
        ValueError: If an argument is none of this; where the schedule is used,
            if one of its values is out of range, or if no `fit` has told it
            the epoch.

    Example:
    >>> import keras_dts
    >>> labels = keras_dts.schedules.EpochSchedule([80], [0.0, 1.0])
    >>> [float(labels.at(epoch)) for epoch in (0, 79, 80)]
    [0.0, 0.0, 1.0]
    """

    def __init__(
        self, boundaries: Sequence[int], values: Sequence[float]
    ) -> None:
        super().__init__()
        self.boundaries = [*boundaries]
        self.values = [*values]
        for boundary in self.boundaries:
            check_count("boundaries", boundary)
        for value in self.values:
            check_number("values", value)
        if self.boundaries != sorted({*self.boundaries}):
            raise ValueError(
                "`boundaries` must be ascending. Received: "
                f"boundaries={boundaries!r}"
            )
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                "`values` must have one value more than `boundaries`. "
                f"Received: boundaries={boundaries!r}, values={values!r}"
            )

    def at(self, epoch: Any) -> Any:
        """Returns the value in an epoch, a float32 scalar.

        Args:
            epoch: The epoch, counted from 0.
        """
        boundaries = ops.convert_to_tensor(self.boundaries, "int32")
        reached = ops.cast(ops.greater_equal(epoch, boundaries), "int32")
        values = ops.convert_to_tensor(self.values, "float32")
        return ops.take(values, ops.sum(reached))

    def __call__(self, step: Any) -> Any:
        """Raises a `ValueError`: a step does not say which epoch it is of."""
        raise ValueError(
            "An `EpochSchedule` must be given to a `keras_dts.Distiller`, as "
            "`student_loss_weight`, one of `distillation_loss_weights` or a "
            "temperature: its `fit` knows the epoch. "
            "`keras.callbacks.LearningRateScheduler` counts epochs for an "
            f"optimizer. Received: a call with step={step!r}"
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "boundaries": [int(boundary) for boundary in self.boundaries],
            "values": [float(value) for value in self.values],
        }


class ScheduleClock:
    """Counts, in weights of a layer, what the layer's schedules count.

    Args:
        layer: The layer.
        settings: Numbers and schedules.

    Attributes:
        step: The steps so far, `None` without a schedule over steps.
        epoch: The epoch, `None` without a schedule over epochs.
    """

    def __init__(
        self, layer: keras.layers.Layer, settings: Iterable[Any]
    ) -> None:
        schedules = [s for s in settings if isinstance(s, Schedule)]
        by_epoch = [isinstance(s, EpochSchedule) for s in schedules]
        self.step = None if all(by_epoch) else add_step_counter(layer)
        self.epoch = add_epoch(layer) if any(by_epoch) else None
        self._is_told = self.epoch is None

    def begin_epoch(self, epoch: int) -> None:
        """Notes which epoch begins, counted from 0."""
        if self.epoch is not None:
            self.epoch.assign(epoch)
            self._is_told = True

    def begin_step(self) -> None:
        """Raises a `ValueError` if a training step would not know its epoch."""
        if not self._is_told:
            raise ValueError(
                "An `EpochSchedule` must be used in `keras_dts.Distiller.fit`, "
                "which tells it the epoch. Received: a training step without "
                "an epoch, as in `train_on_batch`"
            )

    def value(self, schedule: Any) -> Any:
        """Returns the value that a schedule has now, a scalar."""
        if isinstance(schedule, EpochSchedule):
            return schedule.at(self.epoch)
        return schedule(self.step)

    def end_step(self) -> None:
        """Counts a step."""
        if self.step is not None:
            self.step.assign(self.step + 1)


def check_weight(name: str, value: Any, *, high: float | None = None) -> None:
    """Raises unless `value` is a weight of at least 0, or a schedule of such.

    Args:
        name: The argument's name, for the error message.
        value: The argument's value.
        high: `None`, or the highest value.

    Raises:
        ValueError: If the weight, or a known one of the schedule, is none.
    """
    if isinstance(value, Schedule):
        check_first(name, value, low=0.0, high=high)
    else:
        check_number(name, value, low=0.0, high=high)


def check_first(name: str, schedule: Any, **limits: float | None) -> None:
    """Raises unless a schedule begins with a finite number within limits.

    What comes later is asked of an `EpochSchedule` alone: another schedule
    need not make sense after the last step of its training.

    Args:
        name: The argument's name, for the error message.
        schedule: The schedule.
        **limits: As for `check_number`.

    Raises:
        ValueError: If such a value is no such number.
    """
    if isinstance(schedule, EpochSchedule):
        known = dict(
            zip([0, *schedule.boundaries], schedule.values, strict=True)
        )
        unit = "epoch"
    else:
        known = {0: float(ops.convert_to_numpy(schedule(0)))}
        unit = "step"
    for when, value in known.items():
        try:
            check_number(name, value, **limits)
        except ValueError as error:
            raise ValueError(
                f"`{name}` must be a schedule of finite numbers in its range. "
                f"Received: a {type(schedule).__name__} that is {value} at "
                f"{unit} {when}"
            ) from error
