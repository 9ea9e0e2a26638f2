"""AnnealingKD: logits of a teacher that grows to its full size."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair, soften
from keras_dts.losses.base import BatchLoss
from keras_dts.temperatures import AnnealedTeacher, Temperatures
from keras_dts.types import Tensor


@keras.saving.register_keras_serializable(package="keras_dts")
class AnnealingKD(BatchLoss):
    """Regresses the student's logits on a growing teacher's (Annealing-KD).

    ```
    phase 1:  mean_c (z_student(c) - level / levels · z_teacher(c))²
    phase 2:  the labels alone
    ```

    In the first phase, of `epochs` epochs, the level grows from 1 to `levels`
    (see `keras_dts.temperatures.AnnealedTeacher`, which `fit` moves) and no
    labels count. The second begins with the best student of the first, and a
    new optimizer:

    ```python
    distiller = keras_dts.Distiller(
        teacher,
        student,
        keras_dts.losses.AnnealingKD(epochs=80),
        student_loss_weight=keras_dts.schedules.EpochSchedule([80], [0.0, 1.0]),
    )
    distiller.compile(optimizer, loss, metrics=["accuracy"])
    distiller.fit(
        x,
        y,
        epochs=100,
        validation_data=validation,
        callbacks=[keras_dts.callbacks.Phase(begins=80)],
    )
    ```

    The value is in squared logits, not in nats.

    Args:
        epochs: The epochs of phase 1. At least `levels`.
        levels: How many levels there are. At least 1.

    Raises:
        ValueError: If a value is out of its range.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> loss = keras_dts.losses.AnnealingKD(epochs=20, levels=10)
    >>> teacher = np.array([[10.0, 0.0]], "float32")
    >>> student = np.array([[0.0, 0.0]], "float32")
    >>> round(float(loss.compute_loss(teacher, student)), 4)  # level 1 of 10
    0.5

    Reference:
        Jafari et al., Annealing Knowledge Distillation, arXiv 2104.07163,
        2021.
    """

    def __init__(self, epochs: int = 80, levels: int = 10) -> None:
        super().__init__(AnnealedTeacher(epochs, levels))
        self.epochs = epochs
        self.levels = levels

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the mean squared difference of each example or token."""
        apart = soften(pair.student, temperatures.student) - soften(
            pair.teacher, temperatures.teacher
        )
        return temperatures.scale * ops.mean(apart * apart, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"epochs": self.epochs, "levels": self.levels}
