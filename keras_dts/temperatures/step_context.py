"""What a policy may read and do before a training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from keras_dts.backend import value_and_grad
from keras_dts.types import Tensor


@dataclasses.dataclass(frozen=True)
class StepContext:
    """The training step that comes, for `Temperature.before_step`.

    Attributes:
        x: The batch's `x`.
        y: Its labels, or `None`.
        sample_weight: The user's weights, or `None`.
        teacher: The teacher's outputs: a tensor, list, tuple or dictionary.
        student: Runs the student on `x` for inference, and returns its
            outputs.
        learning_rate: The rate of the distiller's optimizer, a scalar.
        step: How many updates this has made, an integer scalar.
        variables: All variables of the training.
    """

    x: Any
    y: Any
    sample_weight: Any
    teacher: Any
    student: Callable[[], Any]
    learning_rate: Tensor
    step: Tensor
    variables: Sequence[Any]

    def value_and_grad(
        self,
        function: Callable[[], Tensor],
        variables: Sequence[Any],
        values: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Computes a function and its gradient, as if variables held values.

        What the function assigns is dropped, such as statistics of
        BatchNormalization and the states of seeds.

        Args:
            function: Reads variables, and returns a scalar.
            variables: Those that the gradient is for.
            values: What they hold, or `None` for what they hold now.

        Returns:
            The value, and the gradient for each variable.
        """
        return value_and_grad(function, variables, values, self.variables)
