"""The objective of a training step."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.backend import joined_replicas
from keras_dts.cache import TeacherCache
from keras_dts.chunking import Chunker, ChunkPlan
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.notes import FaultNotes, faults_of_loss
from keras_dts.distiller.softening import Softening
from keras_dts.distiller.step_means import step_means
from keras_dts.distiller.student_loss import StudentLoss
from keras_dts.distiller.terms import TermInputs, Terms
from keras_dts.logits import (
    BatchLogits,
    EntryWeights,
    Faults,
    LogitPair,
    Part,
    Targets,
    WholeBatch,
    added,
    pair_outputs,
)
from keras_dts.temperatures import Temperature, Temperatures
from keras_dts.types import HiddenStates, TeacherOutputs, Tensor
from keras_dts.utils import Schedule, ScheduleClock, Untracked


class StepLosses(NamedTuple):
    """The losses and logged values of one training step.

    Attributes:
        total: What the step minimises, a scalar.
        logged: Scalars by name, for the logs.
        logits: The logits of the step.
    """

    total: Tensor
    logged: dict[str, Tensor]
    logits: BatchLogits


class Objective(keras.layers.Layer):
    """Computes what a training step minimises.

    ```
    w * student_loss + (1 - w) * sum(weight * term) + penalties
    ```

    A layer, because it holds the terms, the steps and epochs of schedules, and
    the notes on broken batches.

    Args:
        models: The teacher and the student.
        terms: The terms of the distillation loss.
        temperature: The temperature of losses that have none of their own.
        student_loss: The loss on labels.
        weights: The weight of the loss on labels, a number in `[0, 1]` or a
            schedule, and a list with a number or a schedule for each term.
    """

    def __init__(
        self,
        models: ModelPair,
        terms: Terms,
        temperature: Temperature,
        student_loss: StudentLoss,
        weights: tuple[float | Schedule, list[float | Schedule]],
    ) -> None:
        super().__init__(name="objective", autocast=False)
        self.terms = terms
        self._models = models
        self._temperature = Untracked(temperature)
        if terms.uses_temperature:  # else it is no state of a step
            self._state = temperature
        self._student_loss = student_loss
        self._weights = weights
        self._entry_weights = EntryWeights(name="entry_weights")
        self.clock = ScheduleClock(self, (weights[0], *weights[1]))
        # Those that count epochs too, of layers beside this one.
        self._clocks = [self.clock]
        self.notes = FaultNotes()
        self.built = True

    @property
    def logged_names(self) -> list[str]:
        """The names of what a step logs."""
        names = ["student_loss", "distillation_loss"]
        names += ["gap"] if self.terms.reads_logits else []
        names += ["temperature"] if self.terms.uses_temperature else []
        names += self.terms.log_names
        return names

    def add_clock(self, clock: ScheduleClock) -> None:
        """Adds a clock of another layer that counts epochs."""
        self._clocks = [*self._clocks, clock]

    def begin_epoch(self, epoch: int) -> None:
        """Notes for schedules which epoch begins, counted from 0."""
        for clock in self._clocks:
            clock.begin_epoch(epoch)

    def check_cache(self, cache: TeacherCache) -> None:
        """Raises a `ValueError` unless a cache has what the terms read."""
        if self.terms.passes:
            raise ValueError(
                "`StudentGuidedFeatures` runs the teacher several times a "
                "step, and needs its inputs. Received: a cache"
            )
        cache.check_features(self.terms.teacher_paths)
        for name in self.terms.readers_of_outputs:
            cache.check_every_class(name, cache.output_indices)
        read: dict[Any, set[int]] = {}
        for use in self._models.uses:
            read.setdefault(use.loss, set()).update(use.outputs)
        for loss in self.terms.losses_on_logits:
            if not loss.accepts_top_k:
                cache.check_every_class(type(loss).__name__, read.get(loss))

    def whole(
        self, teacher: TeacherOutputs, outputs: Any, targets: Targets
    ) -> tuple[WholeBatch, Any]:
        """Returns the logits of a batch, and labels that can do no harm.

        Args:
            teacher: The teacher's outputs.
            outputs: The student's outputs.
            targets: The labels and the weights.
        """
        paired = pair_outputs(
            self._models.specs,
            teacher,
            outputs,
            targets,
            self._entry_weights,
        )
        return WholeBatch(paired.pairs, paired.faults), paired.y

    def temperatures_of(
        self, logits: WholeBatch, outputs: Any
    ) -> list[Temperatures | None]:
        """Returns the shared temperatures of a batch, for inference.

        Args:
            logits: The logits of the batch.
            outputs: The student's outputs.

        Returns:
            For each output `None`, or `Temperatures` of NumPy arrays: a
            scalar each, or one value for each entry that counts.
        """
        found: list[Temperatures | None]
        found = [None] * len(keras.tree.flatten(outputs))
        for pair, values in self._softening().shared_temperatures(logits):
            found[pair.output] = Temperatures(
                *(_counted(value, pair) for value in values)
            )
        return found

    def compute(
        self,
        inputs: TermInputs,
        targets: Targets,
        plan: ChunkPlan,
        faults: Faults,
        written: Tensor | None = None,
    ) -> StepLosses:
        """Computes the losses of a step, and moves what a step moves.

        Args:
            inputs: The outputs of both models.
            targets: The labels and the weights.
            plan: How the step is cut into chunks, if it is.
            faults: What is wrong with the data of the step.
            written: Whether a model wrote the labels, so that the loss on
                labels is left out, a bool scalar; `None` if none may have.
        """
        self.clock.begin_step()
        logits, label_loss = self._logits(
            inputs.teacher, inputs.student.outputs, targets, plan
        )
        found, faults = step_means(
            [functools.partial(t.compute, inputs) for t in self.terms.terms],
            self._softening() if self.terms.reads_logits else None,
            logits,
            label_loss,
            self._student_loss.penalties,
            faults,
        )
        student_loss = added(found.labels)
        if written is not None:
            penalties = added(found.penalties)
            student_loss = ops.where(written, penalties, student_loss)
        student_weight, term_weights = self._weights
        term_weights = [self._now(w) for w in term_weights]
        distillation_loss = _weighted_sum(term_weights, found.terms)
        weight = self._now(student_weight, high=1.0)
        taught = added([*found.penalties, distillation_loss])
        total = weight * student_loss + (1 - weight) * taught
        logged = {
            "student_loss": student_loss,
            "distillation_loss": distillation_loss,
            **found.logged,
            **(inputs.logged or {}),
        }
        self.clock.end_step()
        temperature = found.logged.get("temperature")
        faults |= faults_of_loss(total, [weight, *term_weights, temperature])
        # Replicas have looked for faults before their message.
        if self.terms.reads_logits and joined_replicas() == 1:
            faults |= logits.find_faults(faults["loss"])
        self.notes.note(faults)
        total = self._student_loss.for_keras(total)
        return StepLosses(total, logged, logits)

    def _logits(
        self,
        teacher: TeacherOutputs,
        outputs: Any,
        targets: Targets,
        plan: ChunkPlan,
    ) -> tuple[BatchLogits, Callable[[], list[Part]]]:
        """Returns the logits of a step, and what computes its label loss."""
        weights = targets.sample_weight
        if isinstance(outputs, HiddenStates):
            chunker = Chunker(
                plan.splits, self._models.specs, self._entry_weights
            )
            size: Any = plan.size(*outputs.states.shape)
            chunked = chunker(teacher, outputs, targets, size, jit=plan.jit)
            return chunked, functools.partial(
                self._student_loss.of_chunks, chunked, outputs, weights
            )
        whole, y = self.whole(teacher, outputs, targets)
        if self.terms.reads_logits:
            # Now, so that nothing computes it first in a branch.
            whole.gap_parts()
        return whole, functools.partial(
            self._student_loss.parts, y, outputs, weights
        )

    def _softening(self) -> Softening:
        return Softening(self._models.uses, self._temperature.value)

    def _now(self, weight: float | Schedule, high: float = math.inf) -> Any:
        """Returns the value that a weight has in this step."""
        if not isinstance(weight, Schedule):
            return weight
        return ops.clip(self.clock.value(weight), 0.0, high)


def _weighted_sum(weights: list[Any], values: list[Tensor]) -> Tensor:
    """Sums the values of the terms; a weight of 1 costs nothing."""
    first, *others = (
        value if isinstance(weight, float) and weight == 1.0 else weight * value
        for weight, value in zip(weights, values, strict=True)
    )
    return sum(others, first)


def _counted(temperature: Tensor, pair: LogitPair) -> Any:
    """Returns, as NumPy, a scalar as it is, and of others what counts."""
    value = ops.convert_to_numpy(temperature)
    return value[ops.convert_to_numpy(pair.counted)] if value.ndim else value
