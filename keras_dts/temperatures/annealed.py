"""The teacher of Annealing-KD: its logits grow to their full size."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import BatchLogits
from keras_dts.temperatures.base import (
    Temperature,
    TemperatureFunction,
    Temperatures,
    add_scalar,
)
from keras_dts.utils import check_number


@keras.saving.register_keras_serializable(package="keras_dts")
class AnnealedTeacher(Temperature):
    """Cools the teacher alone, in levels, to temperature 1 (Annealing-KD).

    ```
    teacher = levels / level      student = 1      scale = 1
    ```

    The level is 1 in the first `epochs // levels` epochs, and grows by 1
    after each so many, up to `levels`. `keras_dts.Distiller.fit` sets it. For
    `keras_dts.losses.AnnealingKD`, which makes one of these.

    Args:
        epochs: The epochs of the first phase. At least `levels`.
        levels: How many levels there are. At least 1.

    Raises:
        ValueError: If a value is out of its range.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.AnnealedTeacher(epochs=20, levels=10)
    >>> policy.begin_epoch(epoch=8, epochs=30, steps=None)
    >>> logits = np.zeros((1, 2), "float32")
    >>> float(policy(logits, logits).teacher)
    2.0

    Reference:
        Jafari et al., Annealing Knowledge Distillation, arXiv 2104.07163,
        2021.
    """

    def __init__(
        self, epochs: int = 80, levels: int = 10, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_number("levels", levels, low=1)
        check_number("epochs", epochs, low=levels)
        self.epochs = epochs
        self.levels = levels
        self.level = add_scalar(self, "level", 1.0)

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Sets the level."""
        level = epoch // (self.epochs // self.levels) + 1
        self.level.assign(min(level, self.levels))

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that gives every output the level's."""
        one = ops.ones((), dtype=self.compute_dtype)
        level = Temperatures(self.levels / self.level.value, one, one)
        return lambda pair: level

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "epochs": self.epochs,
            "levels": self.levels,
        }
