"""Projects features of a student to the width of a teacher's."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


@keras.saving.register_keras_serializable(package="keras_dts")
class Projector(keras.layers.Layer):
    """Projects the student's features to the width of the teacher's.

    A dense layer on the last axis where the widths differ, which trains with
    the student and is saved with the distiller; the identity where they are
    equal.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=loss_dtype(), autocast=False, **kwargs)
        self.supports_masking = True
        self.dense: keras.layers.Dense | None = None

    def build(
        self, student_shape: tuple[Any, ...], teacher_shape: tuple[Any, ...]
    ) -> None:
        """Makes the dense layer, if the widths differ."""
        if len(student_shape) != len(teacher_shape) or any(
            s is not None and t is not None and s != t
            for s, t in zip(
                student_shape[1:-1], teacher_shape[1:-1], strict=True
            )
        ):
            raise ValueError(
                "`student_layer_name` and `teacher_layer_name` must name "
                "layers whose outputs differ in the last axis at most. "
                f"Received: outputs of shape {tuple(student_shape)} in the "
                f"student and {tuple(teacher_shape)} in the teacher"
            )
        if student_shape[-1] != teacher_shape[-1]:
            self.dense = keras.layers.Dense(teacher_shape[-1], name="dense")
            self.dense.build(student_shape)

    def call(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the student's features in the teacher's width."""
        del teacher
        return student if self.dense is None else self.dense(student)
