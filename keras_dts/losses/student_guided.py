"""SSD: several stochastic teachers, weighed by the student."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import (
    check_count,
    check_number,
    deserialize,
    serialize,
    to_loss_dtype,
)

_SLACK = 1e-6


@keras.saving.register_keras_serializable(package="keras_dts")
class StudentGuidedFeatures(keras.distillation.DistillationLoss):
    """Features of a teacher with dropout, weighed by the student's (SSD).

    ```
    alpha  = softmax(<student, teacher_i> / sharpness)      over the passes i
    alpha  = alpha where alpha >= its percentile, else 0; adds up to 1
    target = sum of alpha_i * teacher_i
    loss   = mean((student - target)^2)
    ```

    The teacher runs `passes` times with other dropout masks, in one call, and
    for inference in everything else. The masks follow from `seed`, the layer
    and the step. The gradient flows through `alpha`, and not into the teacher.
    With 30 passes and the 90th percentile three of them are left. The products
    are not normalised, so that `sharpness` depends on the features' width and
    scale: the log `ssd_passes` is how many passes count, `1 / sum(alpha^2)`.

    The published code differs: by its way to choose layers no dropout is on,
    all passes are equal, and the loss is the mean squared error to one
    teacher. The paper starts the student from the teacher's weights
    (`student.set_weights(teacher.get_weights())`), the code does not.

    Args:
        teacher_layer_name: The path of the teacher's layer whose output is
            the feature, flattened. `None`: the input of the last layer with
            weights.
        student_layer_name: The same for the student. Features must have the
            same size.
        passes: How often the teacher runs. At least 2.
        dropout: Which of the teacher's dropout layers are on: a list of paths,
            a function from a layer to a bool, or `None` for all.
        sharpness: Divides the products. Positive.
        percentile: Which weights count, from 0 (all) to 100 (the greatest).
        seed: A whole number.

    Raises:
        ValueError: If a value is out of its range. From
            `keras_dts.Distiller`, if the teacher has no dropout, features
            have different sizes, or the teacher's outputs come from a cache.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> loss = keras_dts.losses.StudentGuidedFeatures(percentile=0.0)
    >>> passes = np.array([[[1.0, 0.0], [0.0, 1.0]]], "float32")
    >>> student = np.array([[0.5, 0.5]], "float32")
    >>> float(loss.compute_loss(passes, student))  # the mean of the passes
    0.0

    Reference:
        Aslam et al., Stochastic Self-Distillation, arXiv 2504.14307, 2025.
    """

    def __init__(
        self,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        *,
        passes: int = 30,
        dropout: Sequence[str] | Callable[[Any], bool] | None = None,
        sharpness: float = 5.0,
        percentile: float = 90.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_count("passes", passes)
        if passes < 2:
            raise ValueError(
                f"`passes` must be at least 2. Received: passes={passes}"
            )
        check_number("sharpness", sharpness, above=0.0)
        check_number("percentile", percentile, low=0.0, high=100.0)
        check_number("seed", seed, low=0)
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        self.passes = passes
        self.dropout = dropout
        self.sharpness = sharpness
        self.percentile = percentile
        self.seed = seed

    def weights(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Returns how much each pass counts.

        Args:
            teacher: The features of the passes, shape `(batch, passes,
                features)`.
            student: The student's, shape `(batch, features)`.

        Returns:
            Shape `(batch, passes)`; each row adds up to 1.
        """
        products = ops.sum(teacher * student[:, None], axis=-1)
        alpha = ops.softmax(products / self.sharpness, axis=-1)
        least = ops.quantile(
            ops.stop_gradient(alpha),
            self.percentile / 100,
            axis=-1,
            keepdims=True,
        )
        # Rounding may take the percentile of equal weights above them.
        kept = ops.where(alpha >= least * (1 - _SLACK), alpha, 0.0)
        return kept / ops.sum(kept, axis=-1, keepdims=True)

    def values(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the loss of each example, and how many passes count.

        Args:
            teacher: As for `weights`.
            student: As for `weights`.

        Returns:
            Both of shape `(batch,)`.
        """
        teacher, student = to_loss_dtype(teacher), to_loss_dtype(student)
        alpha = self.weights(teacher, student)
        target = ops.sum(alpha[..., None] * teacher, axis=1)
        losses = ops.mean(ops.square(student - target), axis=-1)
        return losses, 1.0 / ops.sum(ops.square(alpha), axis=-1)

    def compute_loss(
        self, teacher_outputs: Tensor, student_outputs: Tensor, **kwargs: Any
    ) -> Tensor:
        """Computes the mean loss, for use without `keras_dts.Distiller`.

        Args:
            teacher_outputs: The features of the passes, shape `(batch,
                passes, features)`.
            student_outputs: The student's, shape `(batch, features)`.
            **kwargs: Not used.

        Returns:
            A scalar.
        """
        teacher, student = map(
            ops.convert_to_tensor, (teacher_outputs, student_outputs)
        )
        return ops.mean(self.values(teacher, student)[0])

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
            "passes": self.passes,
            "dropout": serialize(self.dropout),
            "sharpness": self.sharpness,
            "percentile": self.percentile,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> StudentGuidedFeatures:
        """Makes the loss that `get_config` described."""
        return cls(**deserialize(config))
