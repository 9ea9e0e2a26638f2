"""Small networks, and how a policy trains them by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.backend import assign_repeatedly, value_and_grad
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype

# What an optimizer's steps are: a function of the gradients.
Learn = Callable[[Sequence[Tensor]], None]


class Network(keras.layers.Layer):
    """Two hidden layers with ReLU, and one number for each row.

    Args:
        inputs: The number of columns.
        units: The units of each hidden layer.
        seed: What the first weights follow from.
        name: The layer's name.
    """

    def __init__(self, inputs: int, units: int, seed: int, name: str) -> None:
        super().__init__(name=name, dtype=loss_dtype(), autocast=False)
        rng = np.random.default_rng(seed)
        sizes = (inputs, units, units, 1)
        self.kernels = [
            self.add_weight(
                name=f"kernel_{i}",
                shape=shape,
                initializer=_glorot(rng),
                trainable=False,
            )
            for i, shape in enumerate(itertools.pairwise(sizes))
        ]
        self.biases = [
            self.add_weight(
                name=f"bias_{i}",
                shape=(size,),
                initializer="zeros",
                trainable=False,
            )
            for i, size in enumerate(sizes[1:])
        ]
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Returns one number for each row, shape `(...,)`.

        Args:
            inputs: Shape `(..., columns)`.
        """
        *hidden, last = zip(self.kernels, self.biases, strict=True)
        x = inputs
        for kernel, bias in hidden:
            x = ops.relu(ops.matmul(x, kernel.value) + bias.value)
        kernel, bias = last
        return ops.squeeze(ops.matmul(x, kernel.value) + bias.value, axis=-1)


def descent(
    variables: Sequence[Any], learn: Learn, slots: Sequence[Any], passes: int
) -> Callable[[Callable[[Any], Tensor]], None]:
    """Returns a function that moves variables down the gradient of a loss.

    Args:
        variables: The variables.
        learn: Takes a gradient for each, and moves them.
        slots: The other variables that it moves.
        passes: How many steps it takes.

    Returns:
        It takes the loss, a function of the number of the step.
    """

    def descend(loss: Callable[[Any], Tensor]) -> None:
        assign_repeatedly(
            lambda i: learn(value_and_grad(lambda: loss(i), variables)[1]),
            [*variables, *slots],
            passes,
        )

    return descend


def _glorot(rng: np.random.Generator) -> Callable[..., Any]:
    """Returns Glorot's uniform initializer, the same on every backend."""

    def initialize(shape: tuple[int, ...], dtype: str) -> Any:
        limit = (6.0 / sum(shape)) ** 0.5
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return initialize
