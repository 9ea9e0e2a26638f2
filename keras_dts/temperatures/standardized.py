"""LSKD: logits are divided by their standard deviation."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair, standard_deviation
from keras_dts.temperatures.base import FLOOR, Temperature, Temperatures
from keras_dts.temperatures.wrapper import TemperatureWrapper
from keras_dts.types import Tensor
from keras_dts.utils import Schedule


@keras.saving.register_keras_serializable(package="keras_dts")
class LogitStandardization(TemperatureWrapper):
    """Divides each example's logits by their standard deviation (LSKD).

    ```
    temperature = base * std(logits)      scale = base^2
    ```

    for teacher and student each, with the unbiased standard deviation over
    the classes. A softmax does not see that the logits' mean is not
    subtracted. The student learns the order and the proportions of the
    teacher's logits, not their size. The published weights are 9 for the
    distillation loss and 0.1 for the labels.

    The gradient flows through the student's standard deviation. Where logits
    are (nearly) all equal, the temperature is 0.001.

    Args:
        base: A positive number, `"auto"`, a `keras.optimizers.schedules`
            object or a policy. DTS drives a `keras_dts.DynamicTemperature`,
            as in its published combination with logit standardization.

    Raises:
        ValueError: If `base` is none of these.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.LogitStandardization(base=2.0)
    >>> logits = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, 6.0]], "float32")
    >>> [round(float(t), 4) for t in policy(logits, logits).student]
    [2.0, 6.0]

    Reference:
        Sun et al., Logit Standardization in Knowledge Distillation,
        arXiv 2403.01427, 2024.
    """

    per_entry = True

    def __init__(
        self, base: float | str | Schedule | Temperature = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(base, **kwargs)

    def rescale(self, pair: LogitPair, base: Tensor) -> Temperatures:
        """Returns the temperatures of one output."""
        teacher, student = (
            ops.maximum(base * (standard_deviation(logits) + 1e-7), FLOOR)
            for logits in (pair.teacher, pair.student)
        )
        return Temperatures(teacher, student, base * base)
