"""Losses on values: outputs that are no distribution over classes."""

from __future__ import annotations

import abc
from typing import Any

import keras

from keras_dts.types import Tensor
from keras_dts.utils import check_number, deserialize, to_loss_dtype


class ValueLoss(keras.distillation.DistillationLoss, abc.ABC):
    """A loss between two models' outputs, as the models return them.

    Abstract. Nothing is softened: the outputs are values, as those of a
    regression are. Masks, weights and the mean are applied here and in
    `keras_dts.Distiller`.
    """

    def __init__(self) -> None:
        super().__init__()

    @abc.abstractmethod
    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Computes the loss of each example or token, shape `(batch, ...)`.

        Args:
            teacher: The teacher's output, shape `(batch, ..., values)`.
            student: The student's, of the same shape.
        """

    def compute_loss(
        self, teacher_outputs: Tensor, student_outputs: Tensor, **kwargs: Any
    ) -> Tensor:
        """Computes the mean loss, for use without `keras_dts.Distiller`.

        Args:
            teacher_outputs: Values of shape `(batch, ..., values)`.
            student_outputs: Values of the same shape.
            **kwargs: Not used.

        Returns:
            A scalar: the mean over examples and values.
        """
        teacher, student = (
            to_loss_dtype(keras.ops.convert_to_tensor(x))
            for x in (teacher_outputs, student_outputs)
        )
        return keras.ops.mean(self.values(teacher, student))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ValueLoss:
        """Makes the loss that `get_config` described."""
        return cls(**deserialize(config))


@keras.saving.register_keras_serializable(package="keras_dts")
class MeanSquaredError(ValueLoss):
    """Computes the mean squared difference of student and teacher.

    ```
    mean_v (student(v) - teacher(v))²
    ```

    For outputs that are values, as those of a regression are, beside losses
    on logits for other outputs. In the square of the values' unit.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[1.0, 5.0]], "float32")
    >>> student = np.array([[1.0, 2.0]], "float32")
    >>> loss = keras_dts.losses.MeanSquaredError()
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    4.5
    """

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Returns the mean over the values of each example or token."""
        return keras.losses.mean_squared_error(teacher, student)


@keras.saving.register_keras_serializable(package="keras_dts")
class Huber(ValueLoss):
    """Computes the Huber loss of student and teacher.

    ```
    mean_v  d² / 2                  where |d| <= delta
            delta · (|d| - delta/2) elsewhere,  d = student(v) - teacher(v)
    ```

    As `MeanSquaredError`, but linear for large differences, so that a few of
    them do not decide the step.

    Args:
        delta: Where it becomes linear, in the unit of the values. Above 0.

    Raises:
        ValueError: If `delta` is not positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[1.0, 5.0]], "float32")
    >>> student = np.array([[1.0, 2.0]], "float32")
    >>> loss = keras_dts.losses.Huber(delta=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    1.25
    """

    def __init__(self, delta: float = 1.0) -> None:
        check_number("delta", delta, above=0.0)
        self.delta = delta

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Returns the mean over the values of each example or token."""
        return keras.losses.huber(teacher, student, delta=self.delta)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"delta": self.delta}
