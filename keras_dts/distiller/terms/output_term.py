"""A term of a user's own loss on outputs."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_dts.distiller.terms.base import Term, TermInputs
from keras_dts.distiller.terms.feature_term import value_column
from keras_dts.logits import Part
from keras_dts.types import ModelOutputs


class OutputTerm(Term):
    """A user's own `DistillationLoss`, which reads the models' outputs.

    Args:
        loss: The loss; it may return a scalar, or one value per example.
    """

    reads_outputs = True

    def __init__(self, loss: Any) -> None:
        super().__init__(name="output_term")
        self._wrapped = (loss,)

    @property
    def loss_name(self) -> str:
        """The name of the loss's class, for messages."""
        return type(self._wrapped[0]).__name__

    def build_for(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Lets the loss check the outputs that it will get."""
        self._wrapped[0].validate_outputs(teacher.outputs, student.outputs)

    def compute(self, inputs: TermInputs) -> list[Part]:
        """Computes the loss: a scalar, or one value per example."""
        values = ops.convert_to_tensor(
            self._wrapped[0].compute_loss(
                inputs.teacher.outputs, inputs.student.outputs
            )
        )
        return [value_column(values, inputs.sample_weight)]
