"""CTKD: a temperature learned against the student."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers, ops

from keras_dts.logits import LogitPair
from keras_dts.temperatures.base import Temperature, Temperatures, add_scalar
from keras_dts.types import Tensor
from keras_dts.utils import check_number, check_temperature


@keras.saving.register_keras_serializable(package="keras_dts")
class CurriculumTemperature(Temperature):
    """Learns the temperature that is hardest for the student (CTKD).

    ```
    temperature = start + end * sigmoid(theta)
    ```

    `theta` is trained by the student's optimizer, with its gradient reversed
    and multiplied by `strength`: it climbs the distillation loss, T² and all.
    `keras_dts.Distiller.fit` raises `strength` from 0 to 1 along a cosine
    over the first epochs. With `instance=True` a small network of both
    models' logits gives each example its own `theta`; its inputs carry no
    gradient.

    Args:
        start: The lowest temperature. Positive.
        end: How far above `start` it may rise. Positive.
        epochs: The epochs until the strength is 1. At least 1.
        instance: Whether each example or token has its own temperature.
        units: The hidden units of that network. At least 1.

    Raises:
        ValueError: If a value is out of its range; with `instance=True`, if
            outputs have different numbers of classes.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.CurriculumTemperature()
    >>> logits = np.zeros((2, 3), "float32")
    >>> start = policy(logits, logits).student
    >>> round(float(keras.ops.stop_gradient(start)), 2)
    15.62

    Reference:
        Li et al., Curriculum Temperature for Knowledge Distillation,
        arXiv 2211.16231, 2022.
    """

    def __init__(
        self,
        start: float = 1.0,
        end: float = 20.0,
        epochs: int = 10,
        instance: bool = False,
        units: int = 64,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_temperature("start", start)
        check_temperature("end", end)
        check_number("epochs", epochs, low=1)
        check_number("units", units, low=1)
        self.start = start
        self.end = end
        self.epochs = epochs
        self.instance = instance
        self.units = units
        self.strength = add_scalar(self, "strength", 0.0)
        # The published start, for the network's last bias too.
        begin = keras.initializers.Constant(1.0)
        if instance:
            self.network = [
                layers.Dense(units, activation="relu", name="hidden"),
                layers.Dense(1, bias_initializer=begin, name="theta"),
            ]
            self.built = False
        else:
            self.theta = self.add_weight(
                name="theta", shape=(), initializer=begin
            )

    def build(
        self, teacher_logits_shape: Any, student_logits_shape: Any
    ) -> None:
        """Builds the network of `instance=True`."""
        if self.instance:
            sizes = teacher_logits_shape[-1], student_logits_shape[-1]
            if None in sizes:
                raise ValueError(
                    "`CurriculumTemperature(instance=True)` needs outputs "
                    "whose number of classes is known before a run. "
                    f"Received: {sizes} classes"
                )
            width = sum(sizes)
            self.network[0].build((None, width))
            self.network[1].build((None, self.units))

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Sets the strength of the curriculum."""
        share = min((epoch + 1) / self.epochs, 1.0)
        self.strength.assign(0.5 * (1.0 - math.cos(math.pi * share)))

    def temperatures(self, pair: LogitPair) -> Temperatures:
        """Returns the temperatures of one output."""
        learned = self.start + self.end * ops.sigmoid(self._theta(pair))
        fixed = ops.stop_gradient(learned)
        # Its value is `learned`, its gradient is reversed.
        temperature = fixed - self.strength * (learned - fixed)
        return Temperatures(temperature, temperature, temperature**2)

    def _theta(self, pair: LogitPair) -> Tensor:
        if not self.instance:
            return self.theta.value
        both = [pair.teacher, ops.stop_gradient(pair.student)]
        inputs = ops.concatenate(both, axis=-1)
        hidden, last = self.network
        wanted = hidden.kernel.shape[0]
        if inputs.shape[-1] != wanted:
            raise ValueError(
                "`CurriculumTemperature(instance=True)` needs the same number "
                f"of classes in all outputs, {wanted // 2}. Received: an "
                f"output with {inputs.shape[-1] // 2}"
            )
        return ops.squeeze(last(hidden(inputs)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "start": self.start,
            "end": self.end,
            "epochs": self.epochs,
            "instance": self.instance,
            "units": self.units,
        }
