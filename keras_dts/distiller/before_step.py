"""What policies do before the differentiated part of a training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_dts.backend import no_gradient
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.temperatures import StepContext, Temperature
from keras_dts.types import TaughtLabels


class BeforeStep:
    """Lets policies work before a step; `UndoableStep` calls it.

    What a policy assigns is part of the step: it is undone where the batch is
    broken.

    Args:
        distiller: The distiller, whose variables a step's state holds.
        models: The teacher and the student.
        policies: The temperatures in use.
    """

    def __init__(
        self,
        distiller: keras.Model,
        models: ModelPair,
        policies: Sequence[Temperature],
    ) -> None:
        self._distiller = distiller
        self._models = models
        self._policies = [p for p in policies if p.acts_before_step]

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        """Runs the policies.

        Args:
            *args: The arguments of Keras's own step: the batch, with
                `TaughtLabels` for `y`; on JAX, the state and the batch.

        Returns:
            The same, with what the policies have assigned in the state.
        """
        if not self._policies:
            return args
        *state, data = args
        if state:
            return self._in_state(state[0], data), data
        with no_gradient():
            self._run(data)
        return args

    def _in_state(self, state: Any, data: Any) -> tuple[Any, ...]:
        """Returns the state of JAX after the policies have run in it."""
        distiller = self._distiller
        groups = (
            distiller.trainable_variables,
            distiller.non_trainable_variables,
            distiller.optimizer.variables,
        )
        pairs = [
            pair
            for variables, values in zip(groups, state, strict=False)
            for pair in zip(variables, values, strict=True)
        ]
        with keras.StatelessScope(pairs) as scope:
            self._run(data)
        after = [
            [scope.get_current_value(v) for v in group] for group in groups
        ]
        return (*after, *state[len(groups) :])

    def _run(self, data: Any) -> None:
        taught: TaughtLabels
        _, taught, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        distiller = self._distiller
        optimizer = distiller.optimizer
        context = StepContext(
            x=taught.inputs,
            y=taught.y,
            sample_weight=sample_weight,
            teacher=taught.teacher.outputs,
            student=lambda: (
                self._models.student(taught.inputs, training=False).outputs
            ),
            learning_rate=optimizer.learning_rate,
            step=optimizer.iterations.value,
            variables=[*distiller.variables, *optimizer.variables],
        )
        for policy in self._policies:
            policy.before_step(context)
