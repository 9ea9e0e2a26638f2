"""A reconstruction of CIST: each model's largest logit sets its temperature."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair
from keras_dts.temperatures.base import FLOOR, Temperature, Temperatures
from keras_dts.types import Tensor
from keras_dts.utils import check_number, loss_dtype


@keras.saving.register_keras_serializable(package="keras_dts")
class ConsistentTemperature(Temperature):
    """Keeps the largest softened logit the same: a reconstruction of CIST.

    The paper's rule was not public when this was written; this follows its
    abstract, and the choices marked * are ours:

    ```
    temperature = (max(logits) - mean(logits)*) / ratio      each model
    scale = teacher * student * weight
    weight = max(p_teacher) * (1 - p_student(target))*       if weighted
    ```

    Each example's softened teacher is then about equally informative. The
    target is the label or, without labels, the teacher's first choice; with
    soft labels `p_student(target)` is their expectation. The scale carries no
    gradient, the student's temperature does*: without it, nothing held the size
    of the student's logits. No temperature is below 0.001*.

    Args:
        ratio: The largest softened logit, above the mean of the logits.
            Positive; the default is ours.
        weighted: Whether the teacher's confidence and the student's
            difficulty weight the examples.

    Raises:
        ValueError: If `ratio` is not positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.ConsistentTemperature(ratio=2.0)
    >>> teacher = np.array([[9.0, 0.0, 0.0]], "float32")
    >>> student = np.array([[3.0, 0.0, 0.0]], "float32")
    >>> teacher, student, scale = policy(teacher, student)
    >>> float(teacher[0]), float(student[0])
    (3.0, 1.0)

    Reference:
        Luong et al., Consistently Informative Soft-label Temperature for
        Knowledge Distillation, arXiv 2605.20357, 2026.
    """

    per_entry = True

    def __init__(
        self, ratio: float = 3.0, weighted: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_number("ratio", ratio, above=0.0)
        self.ratio = ratio
        self.weighted = weighted

    def temperatures(self, pair: LogitPair) -> Temperatures:
        """Returns the temperatures of one output."""
        pair.check_same_classes("ConsistentTemperature")
        teacher = self._temperature(pair.teacher)
        student = self._temperature(pair.student)
        scale = teacher * ops.stop_gradient(student)
        if self.weighted:
            fixed = ops.stop_gradient(pair.student)
            confidence = ops.max(ops.softmax(pair.teacher, axis=-1), axis=-1)
            hit = ops.sum(_target(pair) * ops.softmax(fixed, axis=-1), axis=-1)
            scale = scale * confidence * (1.0 - hit)
        return Temperatures(teacher, student, scale)

    def _temperature(self, logits: Tensor) -> Tensor:
        height = ops.max(logits, axis=-1) - ops.mean(logits, axis=-1)
        return ops.maximum(height / self.ratio, FLOOR)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "weighted": self.weighted,
        }


def _target(pair: LogitPair) -> Tensor:
    """Returns the labels as probabilities, or the teacher's first choice."""
    classes, dtype = ops.shape(pair.teacher)[-1], loss_dtype()
    if pair.labels is not None and pair.has_class_indices:
        return ops.one_hot(pair.labels, classes, dtype=dtype)
    first = ops.argmax(pair.teacher, axis=-1)
    first = ops.one_hot(first, classes, dtype=dtype)
    if pair.labels is None:
        return first
    if pair.labelled is None:
        return pair.labels
    return ops.where(pair.labelled[..., None], pair.labels, first)
