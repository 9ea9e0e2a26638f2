"""KD: the Kullback-Leibler divergence of softened answers."""

from __future__ import annotations

import keras

from keras_dts.logits import Distribution, kl
from keras_dts.losses.base import Divergence
from keras_dts.types import Tensor


@keras.saving.register_keras_serializable(package="keras_dts")
class KD(Divergence):
    """Computes T² times the KL divergence of student from teacher (KD).

    ```
    T² · Σ_c p_teacher(c) · (log p_teacher(c) - log p_student(c))
    ```

    where both distributions are softmaxes of logits over T. Never negative,
    and 0 only where the two agree.

    Args:
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[2.0, 1.0, -1.0]], "float32")
    >>> student = np.array([[0.0, 0.0, 0.0]], "float32")
    >>> loss = keras_dts.losses.KD(temperature=2.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.5832
    >>> round(float(loss.compute_loss(teacher, teacher)), 4)
    0.0

    Reference:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural
        Network, arXiv 1503.02531, 2015.
    """

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the KL divergence, in nats, shape `(batch, ...)`."""
        del labels
        return kl(teacher, student)
