"""The steps of a distiller: what Keras's own steps get, and compute."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from keras_dts.backend import DataParallel, together
from keras_dts.chunking import ChunkedBatch, ChunkPlan, LogitChunk
from keras_dts.distiller.given_labels import check_indices, known_labels
from keras_dts.distiller.logs import DistillationMetrics, StepLogs
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.notes import faults_of_data, not_finite
from keras_dts.distiller.objective import Objective
from keras_dts.distiller.student_loss import StudentLoss
from keras_dts.distiller.teacher import TeacherSource, comes_in_chunks
from keras_dts.distiller.terms import TermInputs
from keras_dts.logits import Targets, check_targets
from keras_dts.temperatures import Temperatures
from keras_dts.types import (
    CachedBatch,
    ChunkableBatch,
    FeatureBatch,
    ModelOutputs,
    TaughtLabels,
    Tensor,
    WrittenLabels,
)
from keras_dts.utils import flatten


class Steps:
    """Gives Keras's own steps the teacher's outputs, and computes their losses.

    Args:
        models: The teacher and the student.
        objective: The objective of training steps.
        student_loss: The loss on labels.
        logs: What steps log.
        distiller: The distiller.

    Attributes:
        parallel: Runs the student where processes share a step.
    """

    def __init__(
        self,
        models: ModelPair,
        objective: Objective,
        student_loss: StudentLoss,
        logs: StepLogs,
        distiller: keras.Model,
    ) -> None:
        self._models = models
        self._objective = objective
        self._student_loss = student_loss
        self._logs = logs
        self._distiller = distiller
        self._source = TeacherSource(models, distiller)
        self.parallel = DataParallel(
            lambda: [
                distiller.student,
                *distiller.policies,
                *distiller.projectors,
            ]
        )

    def with_teacher(
        self, *args: Any, plan: ChunkPlan | None, training: bool
    ) -> tuple[Any, ...]:
        """Adds the teacher's outputs to the batch of a step.

        Args:
            *args: The batch; on JAX, the state and the batch.
            plan: How steps are cut into chunks.
            training: Whether this is a training step.

        Returns:
            The arguments of Keras's own step, with `TaughtLabels` for `y`.
        """
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if not isinstance(y, WrittenLabels):
            y = WrittenLabels(known_labels(y), None, {})
        if plan is not None and not plan.allows(y.y):
            plan = None
        teacher = self._source.outputs(
            x, state[0] if state else None, plan, training=training
        )
        x = x.inputs if isinstance(x, CachedBatch) else x
        faults = faults_of_data(x, sample_weight)
        if training:
            faults["rate"] = not_finite(self._learning_rate(*state))
        y = TaughtLabels(y.y, teacher, x, faults, y.written, y.logged)
        if plan is not None and comes_in_chunks(teacher, plan):
            x = ChunkableBatch(x)
        elif training and self._objective.terms.student_paths:
            x = FeatureBatch(x)
        return (*state, (x, y, sample_weight))

    def has_loss(self, data: Any) -> bool:
        """Returns whether a batch has labels, and `compile` a loss on them."""
        _, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        return y is not None and self._distiller.loss is not None

    def student(self, x: Any, training: bool | None, plan: ChunkPlan) -> Any:
        """Runs the student.

        Args:
            x: The `x` of a batch, or what `with_teacher` made of it.
            training: Whether the student runs in training mode.
            plan: How steps are cut into chunks.

        Returns:
            The student's outputs; or `ModelOutputs`, with features or hidden
            states, where `with_teacher` asked for them.
        """
        if not training:
            return self._outputs(x, training, plan)
        return self.parallel(lambda: self._outputs(x, training, plan))

    def _outputs(self, x: Any, training: bool | None, plan: ChunkPlan) -> Any:
        if isinstance(x, FeatureBatch):
            return self._models.student(x.inputs, training)
        if isinstance(x, ChunkableBatch):
            return self._models.student(x.inputs, training, plan)
        x = x.inputs if isinstance(x, CachedBatch) else x
        return self._models.student(x, training).outputs

    def training_loss(
        self,
        x: Any,
        y: TaughtLabels,
        y_pred: Any,
        sample_weight: Any,
        plan: ChunkPlan,
        metrics: DistillationMetrics,
    ) -> Tensor:
        """Computes and logs the loss of a training step, a scalar.

        Args:
            x: The inputs.
            y: The labels with the teacher's outputs.
            y_pred: The student's outputs.
            sample_weight: The user's weights, or `None`.
            plan: How steps are cut into chunks.
            metrics: The metrics that compare both models.
        """
        student = y_pred
        if not isinstance(student, ModelOutputs):
            student = ModelOutputs(student, {})
        targets = self._targets(y.y, sample_weight)
        inputs = TermInputs(
            y.inputs,
            y.teacher,
            student,
            sample_weight,
            targets.names,
            {**y.logged},
        )
        with together():
            losses = self._objective.compute(
                inputs, targets, plan, dict(y.faults), y.written
            )
        logits: Any = losses.logits
        if isinstance(logits, ChunkedBatch):
            self._update_in_chunks(logits, sample_weight, metrics)
        else:
            metrics.update(logits)
        self._logs.update_state(losses.logged, _examples(x))
        return losses.total

    def evaluation_loss(
        self,
        x: Any,
        y: Any,
        outputs: Any,
        sample_weight: Any,
        metrics: DistillationMetrics,
    ) -> Tensor:
        """Computes and logs the loss of an evaluation: the student's own.

        Args:
            x: The inputs.
            y: The labels, or `None`; where metrics compare both models, with
                the teacher's outputs.
            outputs: The student's outputs.
            sample_weight: The user's weights, or `None`.
            metrics: The metrics that compare both models.
        """
        labels = labels_of(y)
        targets = self._targets(labels, sample_weight)
        check_targets(self._models.specs, outputs, targets)
        if isinstance(y, TaughtLabels):
            logits, _ = self._objective.whole(y.teacher, outputs, targets)
            metrics.update(logits)
        loss = self._student_loss(labels, outputs, sample_weight)
        self._logs.update_state({"student_loss": loss}, _examples(x))
        return self._student_loss.for_keras(loss)

    def temperatures(self, given: dict[str, Any]) -> list[Temperatures | None]:
        """Returns the shared temperatures of a batch, for inference.

        Args:
            given: `x`, `y` and `sample_weight`, by name.
        """
        x, y, sample_weight = (
            _tensors(given.get(name)) for name in ("x", "y", "sample_weight")
        )
        teacher = self._source.outputs(x)
        outputs = self._models.student(x, training=False).outputs
        targets = self._targets(y, sample_weight)
        logits, _ = self._objective.whole(teacher, outputs, targets)
        return self._objective.temperatures_of(logits, outputs)

    def check_given_labels(self, y: Any) -> None:
        """Raises a `ValueError` for labels that Keras would change."""
        _, _, loss, names = self._targets(y, None)
        check_indices(y, loss, names)

    def _targets(self, y: Any, sample_weight: Any) -> Targets:
        distiller = self._distiller
        loss = distiller.loss if distiller.compiled else None
        names = tuple(getattr(distiller, "output_names", None) or ())
        return Targets(y, sample_weight, loss, names)

    def _learning_rate(self, state: Any = None) -> Tensor:
        """Returns the learning rate of a step; on JAX, from the state."""
        optimizer = self._distiller.optimizer
        scope: AbstractContextManager[Any] = contextlib.nullcontext()
        if state is not None:
            pairs = zip(optimizer.variables, state[2], strict=True)
            scope = keras.StatelessScope(pairs)
        with scope:
            return ops.convert_to_tensor(optimizer.learning_rate)

    def _update_in_chunks(
        self,
        logits: ChunkedBatch,
        sample_weight: Any,
        metrics: DistillationMetrics,
    ) -> None:
        """Updates the metrics of `compile` chunk by chunk."""
        distiller = self._distiller

        def update(chunk: LogitChunk, y: Any, weights: Any) -> None:
            metrics.update_pair(chunk.pair)
            if y is not None:
                keras.Model.compute_metrics(
                    distiller, None, y, chunk.outputs, weights
                )

        if len(distiller.metrics) > 2:  # one is the loss, one the logs
            logits.fold(update, distiller.metrics_variables, sample_weight)


def labels_of(y: Any) -> Any:
    """Returns the labels of a step, without the teacher's outputs."""
    return y.y if isinstance(y, TaughtLabels) else known_labels(y)


def _examples(x: Any) -> Any:
    """Returns the number of examples in a batch."""
    first = next(i for i in flatten(x) if i is not None)
    return ops.shape(first)[0]


def _tensors(data: Any) -> Any:
    """Converts the arrays in a structure to tensors; `None` stays."""
    return keras.tree.map_structure(
        lambda v: None if v is None else ops.convert_to_tensor(v), data
    )
