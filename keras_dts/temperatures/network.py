"""A small network that a policy trains by itself."""

from __future__ import annotations

import itertools

import keras
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


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
        sizes = (inputs, units, units, 1)
        self.kernels = [
            self.add_weight(
                name=f"kernel_{i}",
                shape=shape,
                initializer=keras.initializers.GlorotUniform(seed + i),
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
