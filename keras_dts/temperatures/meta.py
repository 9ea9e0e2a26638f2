"""MKD: temperatures that learn by what they do to a validation loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.logits import LogitPair
from keras_dts.temperatures.base import (
    FLOOR,
    Temperature,
    Temperatures,
    add_vector,
)
from keras_dts.temperatures.held_out import HeldOut
from keras_dts.temperatures.step_context import StepContext
from keras_dts.types import Tensor
from keras_dts.utils import (
    Untracked,
    check_count,
    check_number,
    check_temperature,
    serialize,
)

# Between which the logarithms stay, whatever the rate.
_BOUNDS = (math.log(FLOOR), math.log(1e3))
# The smallest norm that is divided by.
_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="keras_dts")
class MetaTemperature(Temperature):
    """Learns both temperatures from a validation loss (MKD).

    ```
    student' = student - rate of its optimizer * gradient of the loss
    temperatures: down the gradient of the validation loss of student'
    ```

    Before each `every`-th step the temperatures take one step of an optimizer
    of their own, on their logarithms. The loss is that of the training step,
    labels and penalties included, and the scale is teacher times student. The
    gradient for the temperatures is a difference of two gradients of that
    loss, at students that are moved along the gradient of the validation
    loss. Both see the same random numbers, and neither leaves a trace.

    A named reconstruction: the paper has no code, and leaves open how the
    temperatures are parametrised, when they move, and by what rate. Of the two
    temperatures only the ratio is determined where a student can scale its
    logits. A small `rate` makes it wander less, more validation data make it
    less biased. They stay between 0.001 and 1000. A step costs one gradient of
    the loss, one of the validation loss, and two passes of the student more.

    The validation data become weights of the policy, in a random order, and
    are saved with it.

    Args:
        teacher: The teacher's first temperature. Positive.
        student: The student's first temperature. `None`: both are one.
        validation_data: `(x, y)` of arrays, or a data set of such batches,
            that the student is not trained on. `x` may be a structure, and is
            what the student takes.
        batch_size: How many of these a meta step takes. At least 1.
        every: Every how many steps there is one. At least 1.
        rate: The learning rate for the logarithms. Positive.
        perturbation: How far the students are moved, in the Euclidean norm.
            Positive.
        optimizer: The name of a Keras optimizer.

    Raises:
        ValueError: If a value is out of its range, or data hold no labels,
            strings or no end. From `fit`, if `compile` got no `loss`, or
            labels are not among the student's classes.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> data = np.zeros((4, 8), "float32"), np.zeros(4, "int32")
    >>> policy = keras_dts.temperatures.MetaTemperature(validation_data=data)
    >>> logits = np.zeros((2, 3), "float32")
    >>> [round(float(t), 4) for t in policy(logits, logits)]
    [2.0, 1.0, 2.0]

    Reference:
        Liu et al., Meta Knowledge Distillation, arXiv 2202.07940, 2022.
    """

    per_entry = True

    def __init__(
        self,
        teacher: float = 2.0,
        student: float | None = 1.0,
        *,
        validation_data: Any,
        batch_size: int = 32,
        every: int = 1,
        rate: float = 0.02,
        perturbation: float = 0.01,
        optimizer: str = "adam",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_temperature("teacher", teacher)
        if student is not None:
            check_temperature("student", student)
        check_count("batch_size", batch_size)
        check_count("every", every)
        check_number("rate", rate, above=0.0)
        check_number("perturbation", perturbation, above=0.0)
        self.teacher = teacher
        self.student = student
        self.batch_size = batch_size
        self.every = every
        self.rate = rate
        self.perturbation = perturbation
        self.optimizer = optimizer
        first = [teacher] if student is None else [teacher, student]
        self.logs = add_vector(self, "logs", *np.log(first))
        self.held_out = HeldOut(validation_data, batch_size)
        own = keras.optimizers.get(optimizer)
        own.learning_rate = rate
        self._learn = self.add_optimizer(own, [self.logs])
        moved = [self.logs, self.held_out.position, *own.variables]
        self._moved = Untracked(moved)

    @property
    def constants(self) -> Sequence[Any]:
        """The weights that no step moves."""
        return self.held_out.data

    def before_step(self, context: StepContext) -> None:
        """Moves the temperatures by what they do to the validation loss."""
        if self.every == 1:
            self._move(self._gradient(context))
            return
        # A branch may not assign.
        now = ops.equal(context.step % self.every, 0)
        nothing = ops.zeros_like(self.logs.value)
        gradient = ops.cond(
            now, lambda: self._gradient(context), lambda: nothing
        )
        before = [ops.copy(v.value) for v in self._moved.value]
        self._move(gradient)
        for variable, old in zip(self._moved.value, before, strict=True):
            variable.assign(ops.where(now, variable.value, old))

    def _move(self, gradient: Tensor) -> None:
        """Takes one step of the optimizer, and goes on in the data."""
        self._learn([gradient])
        self.logs.assign(ops.clip(self.logs.value, *_BOUNDS))
        self.held_out.position.assign(self.held_out.next_position())

    def _gradient(self, context: StepContext) -> Tensor:
        """Returns the gradient for the logarithms, of their shape."""
        x, y = self.held_out.batch()
        rate, weights = context.learning_rate, context.trained
        loss = context.training_loss
        _, down = context.value_and_grad(loss, weights)
        ahead = [w.value - rate * d for w, d in zip(weights, down, strict=True)]
        _, slope = context.value_and_grad(
            lambda: context.label_loss(x, y), weights, ahead
        )
        norm = ops.sqrt(sum(ops.sum(ops.square(s)) for s in slope))
        step = self.perturbation / ops.maximum(norm, _SMALLEST)
        found = []
        for sign in (1.0, -1.0):
            moved = [
                (w, w.value + sign * step * s)
                for w, s in zip(weights, slope, strict=True)
            ]
            _, (gradient,) = context.value_and_grad(
                loss, [self.logs], others=moved
            )
            found.append(gradient)
        plus, minus = found
        return -rate * (plus - minus) / (2 * step)

    def temperatures(self, pair: LogitPair) -> Temperatures:
        """Returns the temperatures, for any output."""
        self.held_out.check_classes(pair.student.shape[-1])
        now = ops.exp(self.logs.value)
        teacher, student = now[0], now[-1]
        return Temperatures(teacher, student, teacher * student)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments; of the data, their shapes."""
        return {
            **super().get_config(),
            "teacher": self.teacher,
            "student": self.student,
            "batch_size": self.batch_size,
            "every": self.every,
            "rate": self.rate,
            "perturbation": self.perturbation,
            "optimizer": self.optimizer,
            "validation_data": serialize(self.held_out.shapes()),
        }
