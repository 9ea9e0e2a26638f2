"""TTM and WTTM: only the teacher is softened."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair
from keras_dts.temperatures.base import Temperature, Temperatures
from keras_dts.utils import check_number


@keras.saving.register_keras_serializable(package="keras_dts")
class TransformedTeacher(Temperature):
    """Raises the teacher's probabilities to a power; no T² (TTM, WTTM).

    ```
    teacher = 1 / exponent      student = 1
    scale = 1, or Σ_c p_teacher(c)^exponent if weighted
    ```

    with the teacher's probabilities at temperature 1. The weight is at least
    1 and grows with the teacher's uncertainty. Published weights of the loss:
    45 for TTM with an exponent of 0.1, 4 for WTTM with 0.2.

    Args:
        exponent: The power, in `(0, 1]`: one over the teacher's temperature.
        weighted: Whether examples are weighted (WTTM).

    Raises:
        ValueError: If `exponent` is out of its range.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.TransformedTeacher(
    ...     exponent=0.5, weighted=True
    ... )
    >>> teacher, student, scale = policy(
    ...     np.zeros((1, 4), "float32"), np.zeros((1, 4), "float32")
    ... )
    >>> float(teacher), float(student), float(scale[0])
    (2.0, 1.0, 2.0)

    Reference:
        Zheng and Yang, Knowledge Distillation Based on Transformed Teacher
        Matching, arXiv 2402.11148, 2024.
    """

    per_entry = True

    def __init__(
        self, exponent: float = 0.1, weighted: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_number("exponent", exponent, above=0.0, high=1.0)
        self.exponent = exponent
        self.weighted = weighted

    def temperatures(self, pair: LogitPair) -> Temperatures:
        """Returns the temperatures of one output."""
        one = ops.ones((), dtype=self.compute_dtype)
        scale = one
        if self.weighted:
            log_probs = ops.log_softmax(pair.teacher, axis=-1)
            scale = ops.exp(ops.logsumexp(self.exponent * log_probs, axis=-1))
        return Temperatures(one / self.exponent, one, scale)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "exponent": self.exponent,
            "weighted": self.weighted,
        }
