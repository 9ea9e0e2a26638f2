"""A term of `StudentGuidedFeatures`."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_dts.distiller.terms.base import Term, TermInputs
from keras_dts.distiller.terms.feature_term import value_column
from keras_dts.features import StochasticPasses, input_of, penultimate
from keras_dts.logits import Part
from keras_dts.losses import StudentGuidedFeatures
from keras_dts.types import ModelOutputs
from keras_dts.utils import static_shape

LOG = "ssd_passes"


class PassesTerm(Term):
    """Compares the student's features with those of stochastic passes.

    Args:
        loss: A `keras_dts.losses.StudentGuidedFeatures`.
        teacher: The teacher.
        student: The student.

    Attributes:
        passes: Runs the teacher; `TeacherSource` calls it, and puts what it
            returns among the features, by `name`.
    """

    log_names = (LOG,)

    def __init__(
        self,
        loss: StudentGuidedFeatures,
        teacher: keras.Model,
        student: keras.Model,
    ) -> None:
        super().__init__(name="passes_term")
        self._wrapped = (loss,)
        self._teacher_path = _path(loss, teacher, "teacher_layer_name")
        self._student_path = _path(loss, student, "student_layer_name")
        self.teacher_paths = (self._teacher_path,)
        self.student_paths = (self._student_path,)
        run = StochasticPasses(
            teacher, self._teacher_path, loss.passes, loss.dropout, loss.seed
        )
        self.passes = ((f"{id(self)} passes", run),)

    @property
    def loss_name(self) -> str:
        """The name of the loss's class, for messages."""
        return type(self._wrapped[0]).__name__

    def build_for(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Checks that the features have the same size."""
        theirs = static_shape(teacher.features[self._teacher_path])
        ours = static_shape(student.features[self._student_path])
        if _size(theirs) != _size(ours):
            raise ValueError(
                f"`{self.loss_name}` needs features of the same size. "
                f"Received: shape {theirs} from the teacher and {ours} from "
                "the student"
            )

    def compute(self, inputs: TermInputs) -> list[Part]:
        """Computes the loss."""
        (loss,), ((name, _),) = self._wrapped, self.passes
        ours = inputs.student.features[self._student_path]
        theirs = inputs.teacher.features[name]
        ours = ops.reshape(ours, (-1, theirs.shape[-1]))
        values, counting = loss.values(theirs, ours)
        if inputs.logged is not None:
            inputs.logged[LOG] = ops.stop_gradient(ops.mean(counting))
        return [value_column(values, inputs.sample_weight)]


def _path(loss: Any, model: keras.Model, argument: str) -> str:
    name: str | None = getattr(loss, argument)
    return name or input_of(penultimate(model, argument).name)


def _size(shape: tuple[Any, ...]) -> int:
    return math.prod(n or 0 for n in shape[1:])
