"""The terms of the distillation loss together."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from keras_dts.distiller.terms.base import Term
from keras_dts.distiller.terms.feature_term import FeatureTerm
from keras_dts.distiller.terms.output_term import OutputTerm
from keras_dts.distiller.terms.passes_term import PassesTerm
from keras_dts.distiller.terms.per_output_term import PerOutputTerm
from keras_dts.losses import (
    LogitDistillation,
    StudentGuidedFeatures,
    ValueLoss,
    from_keras,
)
from keras_dts.temperatures import Temperature
from keras_dts.types import ModelOutputs


class LossUse(NamedTuple):
    """A loss on logits, and where it is used.

    Attributes:
        term: The number of its term.
        loss: The loss.
        outputs: The numbers of the outputs that it reads.
    """

    term: int
    loss: LogitDistillation
    outputs: tuple[int, ...]


class Terms(keras.layers.Layer):
    """All terms as one.

    Args:
        entries: The entries of `distillation_losses`.
        teacher: The teacher.
        student: The student.

    Raises:
        ValueError: If an entry is no distillation loss, or names layers that
            the models do not have.

    Attributes:
        teacher_paths: The paths of the teacher's layers that terms read.
        student_paths: The paths of the student's layers that terms read.
        projectors: The projectors of features.
        policies: The temperatures that losses have of their own.
        losses_on_logits: The losses on logits.
        passes: Runs of the teacher that terms need, by name.
        log_names: The names of what terms log.
        reads_logits: Whether there is a loss on logits.
        only_logits: Whether there is nothing but losses on logits.
        readers_of_outputs: The names of the losses that read the outputs as
            the models return them.
        uses_temperature: Whether a loss softens by the distiller's
            temperature.
    """

    def __init__(
        self, entries: list[Any], teacher: keras.Model, student: keras.Model
    ) -> None:
        super().__init__(name="terms", autocast=False)
        self.terms = [to_term(entry, teacher, student) for entry in entries]
        self.teacher_paths = self._all("teacher_paths")
        self.student_paths = self._all("student_paths")
        self.projectors = self._all("projectors")
        self.policies = self._all("policies")
        self.losses_on_logits = self._all("losses_on_logits")
        self.passes = self._all("passes")
        self.log_names = self._all("log_names")
        self.reads_logits = bool(self.losses_on_logits)
        self.only_logits = all(
            term.losses_on_logits and not term.reads_outputs
            for term in self.terms
        )
        self.readers_of_outputs = tuple(
            term.loss_name for term in self.terms if term.reads_outputs
        )
        self.uses_temperature = any(
            loss.temperature is None for loss in self.losses_on_logits
        )
        self.built = True

    def _all(self, attribute: str) -> tuple[Any, ...]:
        """Returns what all terms have of an attribute, one after the other."""
        return tuple(x for term in self.terms for x in getattr(term, attribute))

    def policies_with(self, shared: Temperature) -> tuple[Temperature, ...]:
        """Returns the temperatures in use.

        Args:
            shared: The temperature of losses that have none of their own.
        """
        return (*((shared,) if self.uses_temperature else ()), *self.policies)

    def softened_losses(
        self, shared: Temperature
    ) -> list[tuple[LogitDistillation, Temperature]] | None:
        """Returns each loss with its temperature, if all are on logits.

        Args:
            shared: The temperature of losses that have none of their own.
        """
        if not self.only_logits:
            return None
        return [(x, x.temperature or shared) for x in self.losses_on_logits]

    def build_for(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Checks what the models return, and builds what depends on it."""
        for term in self.terms:
            term.build_for(teacher, student)

    def readers(self, outputs: Any) -> dict[int, list[LogitDistillation]]:
        """Returns the losses on logits of each output that some read.

        Args:
            outputs: The student's outputs, symbolic or not.
        """
        read = [term.outputs_read(outputs) for term in self.terms]
        return {
            index: found
            for index, losses in enumerate(zip(*read, strict=True))
            if (found := [loss for loss in losses if loss is not None])
        }

    def uses(self, outputs: Any) -> list[LossUse]:
        """Returns each loss on logits with the outputs that it reads.

        Args:
            outputs: The student's outputs, symbolic or not.
        """
        uses = []
        for number, term in enumerate(self.terms):
            losses = term.outputs_read(outputs)
            for loss in dict.fromkeys(x for x in losses if x is not None):
                where = tuple(i for i, x in enumerate(losses) if x is loss)
                uses.append(LossUse(number, loss, where))
        return uses


def to_term(loss: Any, teacher: keras.Model, student: keras.Model) -> Term:
    """Makes the term for one entry of `distillation_losses`.

    Raises:
        ValueError: If the entry is no distillation loss, or names layers
            that the models do not have.
    """
    loss = from_keras(loss)
    known = (LogitDistillation, ValueLoss)
    if isinstance(loss, (list, tuple, dict, *known)):
        losses = [x for x in keras.tree.flatten(loss) if x is not None]
        if not losses or not all(isinstance(x, known) for x in losses):
            raise _no_loss(loss)
        return PerOutputTerm(loss)
    if isinstance(loss, keras.distillation.FeatureDistillation):
        return FeatureTerm(loss)
    if isinstance(loss, StudentGuidedFeatures):
        return PassesTerm(loss, teacher, student)
    if isinstance(loss, keras.distillation.DistillationLoss):
        loss.validate_model_compatibility(teacher, student)
        return OutputTerm(loss)
    raise _no_loss(loss)


def _no_loss(loss: Any) -> ValueError:
    return ValueError(
        "`distillation_losses` must be a `DistillationLoss`, such as "
        "`keras_dts.losses.KD()`, a list of them, or a list or dictionary "
        "like the student's outputs, with `None` for those to skip. "
        f"Received: {loss!r}"
    )
