"""MLKD's correlations: how classes, and how examples, go together."""

from __future__ import annotations

import keras
from keras import ops

from keras_dts.logits import LogitPair, number_of_classes, soften
from keras_dts.losses.base import BatchLoss
from keras_dts.temperatures import Temperatures
from keras_dts.types import Tensor


@keras.saving.register_keras_serializable(package="keras_dts")
class ClassCorrelation(BatchLoss):
    """Compares how classes go together within the batch (MLKD).

    ```
    || P_teacher' P_teacher - P_student' P_student ||² / classes
    ```

    where P holds the softened probabilities of the batch's entries that
    count, one row for each. There is no T². It is one number for the batch,
    so that it depends on the batch size.

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
    >>> teacher = np.array([[99.0, 0.0], [0.0, 99.0]], "float32")
    >>> student = np.array([[0.0, 0.0], [0.0, 0.0]], "float32")
    >>> loss = keras_dts.losses.ClassCorrelation(temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.5
    >>> round(float(loss.compute_loss(teacher, teacher)), 4)
    0.0

    Reference:
        Jin, Wang and Lin, Multi-Level Logit Distillation, CVPR 2023.
    """

    accepts_top_k = False

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the batch's value for each of its examples or tokens."""
        teacher, student = rows(pair, temperatures)
        apart = ops.matmul(ops.transpose(teacher), teacher) - ops.matmul(
            ops.transpose(student), student
        )
        value = ops.sum(apart * apart) / number_of_classes(student)
        return pair.for_each_entry(value)


@keras.saving.register_keras_serializable(package="keras_dts")
class BatchCorrelation(BatchLoss):
    """Compares how the batch's examples resemble each other (MLKD).

    ```
    || P_teacher P_teacher' - P_student P_student' ||² / entries
    ```

    where P holds the softened probabilities of the batch's entries that
    count, one row for each. There is no T². An example's value is its row's
    share, times the number of entries; it depends on the batch size.

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
    >>> teacher = np.array([[99.0, 0.0], [99.0, 0.0]], "float32")
    >>> student = np.array([[0.0, 99.0], [0.0, 99.0]], "float32")
    >>> loss = keras_dts.losses.BatchCorrelation(temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)  # alike in both
    0.0
    >>> round(float(loss.compute_loss(teacher, 0 * student)), 4)
    0.5

    Reference:
        Jin, Wang and Lin, Multi-Level Logit Distillation, CVPR 2023.
    """

    accepts_top_k = False

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the value of each example or token."""
        teacher, student = rows(pair, temperatures)
        apart = ops.matmul(teacher, ops.transpose(teacher)) - ops.matmul(
            student, ops.transpose(student)
        )
        value = ops.sum(apart * apart, axis=-1)
        return ops.reshape(value, ops.shape(pair.student)[:-1])


def rows(pair: LogitPair, temperatures: Temperatures) -> tuple[Tensor, Tensor]:
    """Returns softened probabilities, one row for each example or token.

    Rows that do not count are 0.

    Args:
        pair: One output.
        temperatures: What the policy answered for it.

    Returns:
        The teacher's and the student's, of shape `(entries, classes)`.
    """
    counted = ops.cast(pair.counted, pair.student.dtype)
    counted = ops.expand_dims(counted, axis=-1)
    classes = ops.shape(pair.student)[-1]
    teacher, student = (
        ops.reshape(
            ops.softmax(soften(logits, temperature)) * counted, (-1, classes)
        )
        for logits, temperature in (
            (pair.teacher, temperatures.teacher),
            (pair.student, temperatures.student),
        )
    )
    return teacher, student
