"""A term of losses on logits and on values."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.distiller.terms.base import Term, TermInputs
from keras_dts.logits import Column, EntryWeights, Part, entry_weights
from keras_dts.losses import LogitDistillation, ValueLoss
from keras_dts.types import ModelOutputs, Tensor
from keras_dts.utils import (
    flatten,
    per_output_strictly,
    same_shape,
    show,
    static_shape,
    to_loss_dtype,
)


class PerOutputTerm(Term):
    """Losses on logits and on values: one for all outputs, or one for each.

    Args:
        losses: A loss, or a list or dictionary of losses shaped like the
            models' outputs, with `None` for an output to skip.
    """

    def __init__(self, losses: Any) -> None:
        super().__init__(name="per_output_term")
        # In a tuple, so that Keras does not wrap the user's list.
        self._wrapped = (losses,)
        found = [x for x in keras.tree.flatten(losses) if x is not None]
        self.losses_on_logits = tuple(
            x for x in found if isinstance(x, LogitDistillation)
        )
        self._on_values = [x for x in found if isinstance(x, ValueLoss)]
        self.reads_outputs = bool(self._on_values)
        self.policies = [
            x.temperature for x in self.losses_on_logits if x.temperature
        ]
        self._entry_weights = EntryWeights(name="entry_weights")

    @property
    def loss_name(self) -> str:
        """The name of the class of the first loss on values."""
        return type(self._on_values[0]).__name__

    def outputs_read(self, outputs: Any) -> list[LogitDistillation | None]:
        """Returns the loss on logits, if any, for each of the outputs."""
        return [
            x if isinstance(x, LogitDistillation) else None
            for x in self._per_output(outputs)
        ]

    def build_for(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Checks the shapes of the values."""
        if not self._on_values:
            return
        for index, loss, theirs, ours in self._values(
            teacher.outputs, student.outputs
        ):
            shapes = static_shape(theirs), static_shape(ours)
            if not same_shape(shapes[0][1:], shapes[1][1:]):
                raise ValueError(
                    f"`{type(loss).__name__}` compares values, and needs "
                    "outputs of the same shape. Received: for output "
                    f"{index} shape {show(shapes[0])} from the teacher and "
                    f"{show(shapes[1])} from the student"
                )

    def compute(self, inputs: TermInputs) -> list[Part]:
        """Computes the losses on values, if there are some."""
        if not self._on_values:
            return []
        given = inputs.weights_of_outputs()
        parts: list[Part] = []
        for index, loss, theirs, ours in self._values(
            inputs.teacher.outputs, inputs.student.outputs
        ):
            values = loss.values(to_loss_dtype(theirs), to_loss_dtype(ours))
            weights = entry_weights(ours, given[index], self._entry_weights)
            parts.append(Column(values, weights))
        return parts

    def _per_output(self, outputs: Any) -> list[Any]:
        (losses,) = self._wrapped
        return per_output_strictly(losses, outputs, "distillation_losses")

    def _values(
        self, teacher: Any, student: Any
    ) -> list[tuple[int, ValueLoss, Tensor, Tensor]]:
        """Returns each loss on values, with the number of its output."""
        outputs = zip(flatten(teacher), flatten(student), strict=True)
        return [
            (index, loss, *pair)
            for index, (loss, pair) in enumerate(
                zip(self._per_output(student), outputs, strict=True)
            )
            if isinstance(loss, ValueLoss)
        ]
