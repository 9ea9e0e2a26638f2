"""Policies that rescale the temperature of another policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras

from keras_dts.logits import BatchLogits, LogitPair
from keras_dts.temperatures.base import (
    Temperature,
    TemperatureFunction,
    Temperatures,
)
from keras_dts.temperatures.convert import to_policy
from keras_dts.temperatures.step_context import StepContext
from keras_dts.types import Tensor
from keras_dts.utils import Schedule

if TYPE_CHECKING:
    from keras_dts.temperatures.dynamic import DynamicTemperature


class TemperatureWrapper(Temperature):
    """A policy around another one, its base.

    Abstract: a subclass implements `rescale`, and names the base's argument
    in `base_name`. A base that moves, such as a `DynamicTemperature`, goes on
    moving, and `keras_dts.DTS` drives it.

    Args:
        base: The base.
        **kwargs: Passed on to `keras.layers.Layer`.
    """

    base_name = "base"

    def __init__(
        self, base: float | str | Schedule | Temperature, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.base = to_policy(base, self.base_name)
        self.built = self.base.built

    def build(
        self, teacher_logits_shape: Any, student_logits_shape: Any
    ) -> None:
        """Builds the base."""
        if not self.base.built:
            self.base.build(teacher_logits_shape, student_logits_shape)

    def rescale(self, pair: LogitPair, base: Tensor) -> Temperatures:
        """Returns the temperatures of one output.

        Args:
            pair: The logits of the output.
            base: The base's temperature: a scalar, or one value per example
                or token, shape `(batch, ...)`.
        """
        raise NotImplementedError(f"{type(self).__name__} needs `rescale`.")

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that rescales the base's temperatures."""
        base = self.base.snapshot(batch)
        return lambda pair: self.rescale(pair, base(pair).student)

    def before_step(self, context: StepContext) -> None:
        """Lets the base work before a step."""
        self.base.before_step(context)

    @property
    def acts_before_step(self) -> bool:
        """Whether the base has something to do."""
        return self.base.acts_before_step

    @property
    def constants(self) -> Sequence[Any]:
        """The base's weights that no step moves."""
        return self.base.constants

    def begin_step(self, batch: BatchLogits) -> None:
        """Moves the base's state before a step."""
        self.base.begin_step(batch)

    def end_step(self, batch: BatchLogits) -> None:
        """Moves the base's state after a step."""
        self.base.end_step(batch)

    def observe(self, loss: Tensor) -> None:
        """Passes the loss on to the base."""
        self.base.observe(loss)

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Begins an epoch of the base."""
        self.base.begin_epoch(epoch, epochs, steps)

    @property
    def chunkable(self) -> bool:
        """Whether the logits of a batch may come in chunks."""
        return self.per_entry and self.base.chunkable

    def dynamic_temperature(self) -> DynamicTemperature | None:
        """Returns the base, if `DTS` can drive it."""
        return self.base.dynamic_temperature()

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            self.base_name: keras.saving.serialize_keras_object(self.base),
        }
