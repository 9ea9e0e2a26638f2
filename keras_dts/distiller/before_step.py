"""What learns by itself, before the differentiated part of a training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_dts.backend import no_gradient, process_count, replica_count
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.online_teacher import OnlineTeacher
from keras_dts.distiller.state import pairs_in, values_in
from keras_dts.distiller.student_loss import StudentLoss
from keras_dts.temperatures import StepContext, Temperature
from keras_dts.types import TaughtLabels, Tensor


class BeforeStep:
    """Lets policies and the teacher work before a step.

    `UndoableStep` calls it: what they assign is part of the step, and undone
    where the batch is broken.

    Args:
        distiller: The distiller, whose variables a step's state holds.
        models: The teacher and the student.
        policies: The temperatures in use.
        student_loss: The loss on labels.
    """

    def __init__(
        self,
        distiller: keras.Model,
        models: ModelPair,
        policies: Sequence[Temperature],
        student_loss: StudentLoss,
    ) -> None:
        self._distiller = distiller
        self._models = models
        self._student_loss = student_loss
        self._parts: list[Any] = [p for p in policies if p.acts_before_step]
        if isinstance(distiller.teacher, OnlineTeacher):
            self._parts.append(distiller.teacher)

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Runs those that work before a step.

        Args:
            *args: The arguments of Keras's own step: the batch, with
                `TaughtLabels` for `y`; on JAX, the state and the batch.

        Returns:
            The same, with what they have assigned in the state.
        """
        if not self._parts:
            return args
        if max(replica_count(), process_count()) > 1:
            names = [type(part).__name__ for part in self._parts]
            raise ValueError(
                "`temperature` and `teacher` must not learn by themselves "
                "where replicas share a step: each would learn from its own "
                f"part of the batch. Received: {', '.join(names)}"
            )
        *state, data = args
        if state:
            return self._in_state(state[0], data), data
        with no_gradient():
            self._run(data)
        return args

    def _in_state(self, state: Any, data: Any) -> tuple[Any, ...]:
        """Returns the state of JAX after all have run in it."""
        distiller = self._distiller
        with keras.StatelessScope(pairs_in(distiller, state)) as scope:
            self._run(data)
        return values_in(scope, distiller)

    def _run(self, data: Any) -> None:
        taught: TaughtLabels
        x, taught, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        distiller = self._distiller
        optimizer = distiller.optimizer

        def teacher() -> Any:
            return self._models.teacher(taught.inputs).outputs

        def student() -> Any:
            return self._models.student(taught.inputs, training=False).outputs

        def training_loss() -> Tensor:
            y_pred = distiller(x, training=True)
            loss: Tensor = distiller.compute_loss(
                x, taught, y_pred, sample_weight, training=True
            )
            return loss

        context = StepContext(
            x=taught.inputs,
            y=taught.y,
            sample_weight=sample_weight,
            teacher=taught.teacher.outputs,
            run_teacher=teacher,
            student=student,
            training_loss=training_loss,
            label_loss=self._label_loss,
            trained=distiller.student.trainable_variables,
            learning_rate=optimizer.learning_rate,
            step=optimizer.iterations.value,
            variables=[
                *distiller.variables,
                *optimizer.variables,
                *distiller.metrics_variables,
            ],
        )
        for part in self._parts:
            part.before_step(context)

    def _label_loss(self, x: Any, y: Any) -> Tensor:
        """Computes the loss on labels of other data, without penalties."""
        if self._distiller.loss is None:
            raise ValueError(
                "`loss` must be given to `compile`: a temperature learns from "
                "labels of other data. Received: loss=None"
            )
        outputs = self._models.student(x, training=False).outputs
        with_penalties = self._student_loss(y, outputs, None)
        return with_penalties - self._student_loss(None, outputs, None)
