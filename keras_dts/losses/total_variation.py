"""TotalVariation: half the absolute difference of two distributions."""

from __future__ import annotations

import keras
from keras import ops

from keras_dts.logits import Distribution
from keras_dts.losses.base import Divergence
from keras_dts.types import Tensor


@keras.saving.register_keras_serializable(package="keras_dts")
class TotalVariation(Divergence):
    """Computes T² times the total variation distance.

    ```
    T² · Σ_c |p_teacher(c) - p_student(c)| / 2
    ```

    At temperature 1, as published for sequences, it is in `[0, 1]`. (No
    nats: it is a difference of probabilities.)

    Args:
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.
            Published with 1.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.log(np.array([[0.5, 0.5]], "float32"))
    >>> student = np.log(np.array([[0.9, 0.1]], "float32"))
    >>> loss = keras_dts.losses.TotalVariation(temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.4

    Reference:
        Wen et al., f-Divergence Minimization for Sequence-Level Knowledge
        Distillation, arXiv 2307.15190, 2023.
    """

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the distance, shape `(batch, ...)`."""
        del labels
        apart = teacher.probs - student.probs
        return 0.5 * ops.sum(ops.abs(apart), axis=-1)
