"""Metrics of how closely a student follows its teacher."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import Distribution, broadcast_weights, kl, to_logits
from keras_dts.types import Tensor
from keras_dts.utils import check_number, loss_dtype, show


class _AgainstTeacher(keras.metrics.Mean):
    """The weighted mean of one value for each example or token."""

    # Whether only the most probable classes count.
    by_rank = False

    def __init__(self, name: str, dtype: Any) -> None:
        super().__init__(name=name, dtype=dtype or loss_dtype())

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Returns the values of logits, shape `(batch, ...)`."""
        raise NotImplementedError

    def update_state(
        self,
        teacher_logits: Tensor,
        student_logits: Tensor,
        sample_weight: Tensor | None = None,
    ) -> None:
        """Adds a batch to the mean.

        Args:
            teacher_logits: The teacher's logits, shape
                `(batch, ..., classes)`. A single class is the positive one
                of two.
            student_logits: The student's, of the same shape.
            sample_weight: `None`, or weights or a mask of shape
                `(batch, ...)` or `(batch,)`. Entries of weight 0 count
                nowhere, whatever their logits.

        Raises:
            ValueError: If the shapes do not fit.
        """
        teacher = to_logits(
            ops.convert_to_tensor(teacher_logits), from_logits=True
        )
        student = to_logits(
            ops.convert_to_tensor(student_logits), from_logits=True
        )
        _check_same_shape(teacher, student)
        values = self.values(teacher, student)
        weights = ops.ones_like(values)
        if sample_weight is not None:
            given = ops.convert_to_tensor(sample_weight)
            weights = weights * broadcast_weights(given, weights)
        values = ops.where(ops.equal(weights, 0), 0.0, values)
        # Flat, because Keras would take the mean of each row first, and so
        # count a token of a short row for more than one of a long row.
        super().update_state(
            ops.reshape(values, (-1,)), ops.reshape(weights, (-1,))
        )


@keras.saving.register_keras_serializable(package="keras_dts")
class TeacherAgreement(_AgainstTeacher):
    """Computes how often teacher and student name the same class.

    The share, from 0 to 1, of the examples or tokens where the student's
    most probable class is the teacher's. Labels play no part. Give it to
    `keras_dts.Distiller.compile` as one of the `distillation_metrics`, or
    call it on two tensors of logits.

    Args:
        name: The name it is logged by.
        dtype: The dtype of the result. Defaults to `floatx`, or float32
            where that is narrower.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0]], "float32")
    >>> student = np.array([[5.0, 0.0], [1.0, 0.0], [0.0, 9.0]], "float32")
    >>> metric = keras_dts.metrics.TeacherAgreement()
    >>> round(float(metric(teacher, student)), 4)
    0.6667
    >>> metric.reset_state()
    >>> float(metric(teacher, student, sample_weight=np.array([1, 3, 0])))
    0.25
    """

    by_rank = True

    def __init__(
        self, name: str = "teacher_agreement", dtype: Any = None
    ) -> None:
        super().__init__(name, dtype)

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Returns 1 where they agree and 0 elsewhere."""
        agree = ops.equal(
            ops.argmax(teacher, axis=-1), ops.argmax(student, axis=-1)
        )
        return ops.cast(agree, loss_dtype())


@keras.saving.register_keras_serializable(package="keras_dts")
class TeacherKL(_AgainstTeacher):
    """Computes the KL divergence of the student from the teacher.

    ```
    Σ_c p_teacher(c) · (log p_teacher(c) - log p_student(c))
    ```

    in nats, times the temperature squared; the mean over the examples or
    tokens. The temperature is that of the metric, whatever the losses soften
    with, so that epochs and runs with different temperatures can be compared.
    At the temperature of `keras_dts.losses.KD` it is the loss that `KD`
    computes. Give it to `keras_dts.Distiller.compile` as one of the
    `distillation_metrics`, or call it on two tensors of logits.

    Args:
        name: The name it is logged by.
        dtype: The dtype of the result. Defaults to `floatx`, or float32
            where that is narrower.
        temperature: A positive number.

    Raises:
        ValueError: If `temperature` is no positive number.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[2.0, 1.0, -1.0]], "float32")
    >>> student = np.array([[0.0, 0.0, 0.0]], "float32")
    >>> metric = keras_dts.metrics.TeacherKL()
    >>> round(float(metric(teacher, student)), 4)
    0.3847
    """

    def __init__(
        self,
        name: str = "teacher_kl",
        dtype: Any = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(name, dtype)
        check_number("temperature", temperature, above=0.0)
        self.temperature = float(temperature)

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Returns the divergence times T², in nats."""
        softened = kl(
            Distribution.of_logits(teacher / self.temperature),
            Distribution.of_logits(student / self.temperature),
        )
        return softened * self.temperature**2

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "temperature": self.temperature}


def _check_same_shape(teacher: Tensor, student: Tensor) -> None:
    if tuple(teacher.shape) != tuple(student.shape):
        raise ValueError(
            "`teacher_logits` and `student_logits` must have the same shape. "
            f"Received: {show(teacher.shape)} from the teacher and "
            f"{show(student.shape)} from the student"
        )
