"""DKD: the target class and the others, weighted apart."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import Distribution, kl
from keras_dts.losses.base import Divergence
from keras_dts.temperatures import Temperature
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, check_number

# Stands for the log probability of a class that is left out.
_NEVER = -1e30


@keras.saving.register_keras_serializable(package="keras_dts")
class DKD(Divergence):
    """Weights the target class and the other classes apart (DKD).

    ```
    T² · (alpha · TCKD + beta · NCKD)
    TCKD = KL of (p(target), 1 - p(target))
    NCKD = KL of the distributions over the other classes
    ```

    `KD` is `TCKD + (1 - p_teacher(target)) · NCKD`: where the teacher is sure
    of the target, it hardly teaches what the other classes are like. Needs
    labels; the target of soft labels is their largest class, and that of an
    example without a label the teacher's first choice. Published with all of
    the label loss, a temperature of 4, and a weight that grows from 1/20 to 1
    over 20 epochs, which is a `keras.optimizers.schedules` object in
    `distillation_loss_weights`; with DTKD's temperatures give
    `keras_dts.temperatures.SharpnessTemperature(fixed_scale=True)`.

    Args:
        alpha: The weight of TCKD, at least 0.
        beta: The weight of NCKD, at least 0.
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.

    Raises:
        ValueError: If a weight is negative, or `temperature` is not positive;
            from the first step, if there are no labels.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[4.0, 1.0, 0.0]], "float32")
    >>> student = np.array([[4.0, 0.0, 1.0]], "float32")
    >>> labels = np.array([0], "int32")
    >>> def value(alpha, beta):
    ...     loss = keras_dts.losses.DKD(alpha, beta, temperature=1.0)
    ...     return round(float(loss.compute_loss(teacher, student, labels)), 4)
    >>> value(1.0, 0.0), value(0.0, 1.0)
    (0.0, 0.4621)

    Reference:
        Zhao et al., Decoupled Knowledge Distillation, arXiv 2203.08679,
        2022.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float | str | Schedule | Temperature | None = None,
    ) -> None:
        super().__init__(temperature)
        check_number("alpha", alpha, low=0.0)
        check_number("beta", beta, low=0.0)
        self.alpha = alpha
        self.beta = beta

    def divergence(
        self,
        teacher_log_probs: Tensor,
        student_log_probs: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the weighted sum, in nats, shape `(batch, ...)`."""
        if labels is None:
            raise ValueError(
                "`DKD` needs labels that fit the output, which say what the "
                "target class is. Received: labels=None"
            )
        if len(labels.shape) == len(student_log_probs.shape):
            known = ops.any(labels > 0, axis=-1, keepdims=True)
            labels = ops.where(known, labels, teacher_log_probs)
            labels = ops.argmax(labels, axis=-1)
        classes = ops.shape(student_log_probs)[-1]
        target = ops.one_hot(labels, classes, dtype="bool")
        teacher = _Parts(teacher_log_probs, target)
        student = _Parts(student_log_probs, target)
        tckd = kl(teacher.binary, student.binary)
        nckd = kl(teacher.others, student.others)
        return self.alpha * tckd + self.beta * nckd

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
        }


class _Parts:
    """A distribution in two parts, as log probabilities.

    Args:
        log_probs: Shape `(batch, ..., classes)`.
        target: Of the same shape, true for the target class.

    Attributes:
        binary: Of the target and of all others, shape `(batch, ..., 2)`.
        others: Over the classes, without the target's.
    """

    def __init__(self, log_probs: Tensor, target: Tensor) -> None:
        hit = ops.sum(ops.where(target, log_probs, 0.0), axis=-1)
        rest = ops.where(target, _NEVER, log_probs)
        miss = ops.logsumexp(rest, axis=-1)
        self.binary = Distribution.of_log_probs(ops.stack([hit, miss], axis=-1))
        self.others = Distribution.of_log_probs(
            rest - ops.expand_dims(miss, axis=-1)
        )
