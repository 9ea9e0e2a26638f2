"""What a policy may read and do before a training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras_dts.backend import value_and_grad
from keras_dts.types import Tensor


class StepContext(NamedTuple):
    """The training step that comes, for `Temperature.before_step`.

    Attributes:
        x: The batch's `x`.
        y: Its labels, or `None`.
        sample_weight: The user's weights, or `None`.
        teacher: The teacher's outputs: a tensor, list, tuple or dictionary.
        run_teacher: Runs the teacher again for inference, and returns its
            outputs. Not from a cache.
        student: Runs the student on `x` for inference, and returns its
            outputs.
        training_loss: Computes the loss of this step, as Keras's own step
            will.
        label_loss: Computes the loss that `compile` got, without penalties,
            of other inputs and labels, by the student for inference.
        trained: The student's trainable variables.
        learning_rate: The rate of the distiller's optimizer, a scalar.
        step: How many updates this has made, an integer scalar.
        variables: All variables of the training.
    """

    x: Any
    y: Any
    sample_weight: Any
    teacher: Any
    run_teacher: Callable[[], Any]
    student: Callable[[], Any]
    training_loss: Callable[[], Tensor]
    label_loss: Callable[[Any, Any], Tensor]
    trained: Sequence[Any]
    learning_rate: Tensor
    step: Tensor
    variables: Sequence[Any]

    def value_and_grad(
        self,
        function: Callable[[], Tensor],
        variables: Sequence[Any],
        values: Sequence[Tensor] | None = None,
        others: Sequence[tuple[Any, Tensor]] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """Computes a function and its gradient, as if variables held values.

        What the function assigns is dropped, such as statistics of
        BatchNormalization and the states of seeds.

        Args:
            function: Reads variables, and returns a scalar.
            variables: Those that the gradient is for.
            values: What they hold, or `None` for what they hold now.
            others: Further variables, with what they hold.

        Returns:
            The value, and the gradient for each variable.
        """
        held = {id(v): (v, v.value) for v in self.variables}
        held |= {id(pair[0]): pair for pair in others}
        return value_and_grad(function, variables, values, list(held.values()))
