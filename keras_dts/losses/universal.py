"""ULD: distributions over different vocabularies, compared by rank."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair, soften
from keras_dts.losses.base import BatchLoss
from keras_dts.temperatures import Temperatures
from keras_dts.types import Tensor


@keras.saving.register_keras_serializable(package="keras_dts")
class UniversalLogitDistillation(BatchLoss):
    """Compares sorted probabilities, so that vocabularies may differ (ULD).

    ```
    Σ_r |sorted p_teacher(r) - sorted p_student(r)|
    ```

    over the ranks `r` from the most probable class down; the smaller
    vocabulary's missing ranks have probability 0. It is the Wasserstein
    distance in which all tokens are equally far from each other. Where the
    classes differ, `gap` is 0: labels mean the student's classes. Language
    models of KerasHub that read raw strings are compared from the first token
    that counts for each, as far as the shorter text goes. Published
    with temperature 1, a weight of 1.5, and all of the label loss.

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
    >>> teacher = np.log(np.array([[0.5, 0.3, 0.2]], "float32"))
    >>> student = np.log(np.array([[0.4, 0.6]], "float32"))
    >>> loss = keras_dts.losses.UniversalLogitDistillation(temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)
    0.4

    Reference:
        Boizard et al., Towards Cross-Tokenizer Distillation: the Universal
        Logit Distillation Loss for LLMs, arXiv 2402.12030, 2024.
    """

    same_classes = False
    accepts_top_k = False

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the scaled distance of each example or token."""
        teacher, student = (
            ops.flip(ops.sort(ops.softmax(soften(logits, t)), axis=-1), -1)
            for logits, t in (
                (pair.teacher, temperatures.teacher),
                (pair.student, temperatures.student),
            )
        )
        sizes = [ops.shape(x)[-1] for x in (teacher, student)]
        known = all(isinstance(size, int) for size in sizes)
        width = max(sizes) if known else ops.maximum(*sizes)
        apart = ops.abs(_widened(teacher, width) - _widened(student, width))
        return temperatures.scale * ops.sum(apart, axis=-1)


def _widened(probabilities: Tensor, width: Any) -> Tensor:
    *entries, size = ops.shape(probabilities)
    if size is width or (isinstance(width, int) and size == width):
        return probabilities
    nothing = ops.zeros((*entries, width - size), probabilities.dtype)
    return ops.concatenate([probabilities, nothing], axis=-1)
