"""The protocol of terms, one for each entry of `distillation_losses`."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from keras_dts.features import Projector, StochasticPasses
from keras_dts.logits import Part
from keras_dts.losses import LogitDistillation
from keras_dts.temperatures import Temperature
from keras_dts.types import ModelOutputs, TeacherOutputs, Tensor
from keras_dts.utils import loss_dtype, per_output


class TermInputs(NamedTuple):
    """What losses that read no logits compute their values from.

    Attributes:
        inputs: The `x` of the batch.
        teacher: The teacher's outputs and features.
        student: The student's outputs and features.
        sample_weight: The user's weights, or `None`.
        names: As in `Targets`.
        logged: Where terms put what they log beside their values, scalars,
            or `None`.
    """

    inputs: Any
    teacher: TeacherOutputs
    student: ModelOutputs
    sample_weight: Any
    names: tuple[str, ...] = ()
    logged: dict[str, Tensor] | None = None

    def weights_of_outputs(self) -> list[Any]:
        """Returns the user's weights for each output, in a flat list."""
        outputs = self.student.outputs
        return per_output(self.sample_weight, outputs, self.names)


class Term(keras.layers.Layer):
    """One entry of `distillation_losses`. A layer, to hold what it trains."""

    # Paths of the layers whose outputs the term reads.
    teacher_paths: tuple[str, ...] = ()
    student_paths: tuple[str, ...] = ()
    # The losses on logits, if it has some.
    losses_on_logits: tuple[LogitDistillation, ...] = ()
    # Runs of the teacher that the term needs, by a name among the features.
    passes: tuple[tuple[str, StochasticPasses], ...] = ()
    # The names of what it logs.
    log_names: tuple[str, ...] = ()
    # Whether some of its losses read outputs as the models return them.
    reads_outputs = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=loss_dtype(), autocast=False, **kwargs)
        self.projectors: list[Projector] = []
        self.policies: list[Temperature] = []
        self.built = True

    @property
    def loss_name(self) -> str:
        """The name of the entry's class, for messages."""
        raise NotImplementedError

    def outputs_read(self, outputs: Any) -> list[LogitDistillation | None]:
        """Returns the loss on logits, if any, for each of the outputs.

        Args:
            outputs: The student's outputs, symbolic or not.
        """
        return [None] * len(keras.tree.flatten(outputs))

    def build_for(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Checks what the models return, and builds what depends on it.

        Args:
            teacher: The teacher's outputs, symbolic or not.
            student: The student's outputs, symbolic or not.
        """

    def compute(self, inputs: TermInputs) -> list[Part]:
        """Computes what is no loss on logits, before it is reduced.

        Returns:
            What the term is the sum of the means of.
        """
        raise NotImplementedError
