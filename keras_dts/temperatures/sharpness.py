"""DTKD: teacher and student share out twice a temperature by sharpness."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair
from keras_dts.temperatures.base import Temperature, Temperatures
from keras_dts.temperatures.wrapper import TemperatureWrapper
from keras_dts.types import Tensor
from keras_dts.utils import Schedule

# The least share of either model. The published rule has none.
_SHARE = 0.005


@keras.saving.register_keras_serializable(package="keras_dts")
class SharpnessTemperature(TemperatureWrapper):
    """Gives the sharper model the higher temperature, each example (DTKD).

    ```
    x, y = max(teacher logits), max(student logits)
    teacher = 2 * reference * x / (x + y)
    student = 2 * reference * y / (x + y)      scale = teacher * student
    ```

    The gradient flows through both temperatures into the student's largest
    logit, as in the published code. The rule needs logits whose maxima are
    positive: where one is not, both models get the reference, and neither
    gets less than 0.01 times the reference. A model that ends in a softmax
    has no positive log probability, so there the rule is a constant. (The
    authors call the closed form heuristic in an erratum.)

    The published loss is 3 times the KL divergence at these temperatures and
    1 times that at the reference.

    Args:
        reference: A positive number, `"auto"`, a
            `keras.optimizers.schedules` object or a policy. DTS drives a
            `keras_dts.DynamicTemperature`.
        fixed_scale: Whether the scale carries no gradient. Published is that
            it does, so that a student can lower the loss by its largest logit
            alone; with `keras_dts.losses.DKD`, whose loss is larger, students
            collapsed by that.

    Raises:
        ValueError: If `reference` is none of these.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.SharpnessTemperature(reference=4.0)
    >>> teacher = np.array([[6.0, 0.0]], "float32")
    >>> student = np.array([[2.0, 0.0]], "float32")
    >>> teacher, student, scale = policy(teacher, student)
    >>> float(teacher[0]), float(student[0])
    (6.0, 2.0)

    Reference:
        Wei and Bai, Dynamic Temperature Knowledge Distillation,
        arXiv 2404.12711, 2024.
    """

    base_name = "reference"
    per_entry = True

    def __init__(
        self,
        reference: float | str | Schedule | Temperature = 4.0,
        fixed_scale: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(reference, **kwargs)
        self.fixed_scale = fixed_scale

    def rescale(self, pair: LogitPair, base: Tensor) -> Temperatures:
        """Returns the temperatures of one output."""
        x = ops.max(pair.teacher, axis=-1)
        y = ops.max(pair.student, axis=-1)
        usable = ops.logical_and(ops.greater(x, 0.0), ops.greater(y, 0.0))
        # Where the rule cannot be used, numbers that it can divide.
        x, y = ops.where(usable, x, 1.0), ops.where(usable, y, 1.0)
        share = ops.clip(x / (x + y), _SHARE, 1.0 - _SHARE)
        teacher = 2.0 * base * share
        student = 2.0 * base * (1.0 - share)
        scale = teacher * student
        if self.fixed_scale:
            scale = ops.stop_gradient(scale)
        return Temperatures(teacher, student, scale)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "fixed_scale": self.fixed_scale}
