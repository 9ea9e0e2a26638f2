"""Policies that give each example its own share of one temperature."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from keras_dts.logits import LogitPair
from keras_dts.temperatures.base import Temperature, Temperatures
from keras_dts.temperatures.convert import to_policy
from keras_dts.types import Tensor
from keras_dts.utils import Schedule

if TYPE_CHECKING:
    from keras_dts.temperatures.dynamic import DynamicTemperature


class BasedTemperature(Temperature):
    """A policy around another one, its base.

    Abstract: a subclass implements `around`, and names the base's argument
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

    def around(self, head: LogitPair, base: Tensor) -> Temperatures:
        """Returns the temperatures for one output.

        Args:
            head: The output.
            base: The base's temperature: a scalar, or one value per example
                or token, shape `(batch, ...)`.
        """
        raise NotImplementedError(f"{type(self).__name__} needs `around`.")

    def heads(
        self, heads: list[LogitPair], *, training: bool
    ) -> list[Temperatures]:
        """Asks the base, and answers each output around that."""
        answers = self.base.heads(heads, training=training)
        return [
            self.around(head, answer.student)
            for head, answer in zip(heads, answers, strict=True)
        ]

    @property
    def in_parts(self) -> bool:
        """Whether both the base and what is around it can be."""
        return self.entry_by_entry and self.base.in_parts

    def begin_step(
        self, gap: Callable[[], Tensor]
    ) -> Callable[[LogitPair], Temperatures]:
        """Begins the base's step, and answers each part around that."""
        base = self.base.begin_step(gap)
        return lambda head: self.around(head, base(head).student)

    def end_step(self, gap: Tensor) -> None:
        """Tells the base."""
        self.base.end_step(gap)

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Tells the base."""
        self.base.begin_epoch(epoch, epochs, steps)

    def observe(self, loss: Tensor) -> None:
        """Tells the base."""
        self.base.observe(loss)

    def driven(self) -> DynamicTemperature | None:
        """Returns the base, if `DTS` can drive it."""
        return self.base.driven()

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            self.base_name: keras.saving.serialize_keras_object(self.base),
        }
