"""ReverseKL: the student's answers, measured by the teacher's."""

from __future__ import annotations

import keras

from keras_dts.logits import Distribution, kl
from keras_dts.losses.base import Divergence
from keras_dts.types import Tensor


@keras.saving.register_keras_serializable(package="keras_dts")
class ReverseKL(Divergence):
    """Computes T² times the KL divergence of teacher from student.

    ```
    T² · Σ_c p_student(c) · (log p_student(c) - log p_teacher(c))
    ```

    It lets the student leave out what it cannot represent, where the forward
    divergence `KD` makes it cover everything. MiniLLM, GKD (beta = 1) and
    AdaKD use it for language models, at temperature 1.

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
    >>> teacher = np.array([[0.0, 0.0]], "float32")
    >>> student = np.array([[2.0, 0.0]], "float32")
    >>> loss = keras_dts.losses.ReverseKL(temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.3278

    Reference:
        Gu et al., MiniLLM: Knowledge Distillation of Large Language Models,
        arXiv 2306.08543, 2023.
    """

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the KL divergence, in nats, shape `(batch, ...)`."""
        del labels
        return kl(student, teacher)
