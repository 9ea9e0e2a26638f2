"""The symbolic inputs of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_dts.hub import is_task
from keras_dts.utils import symbolic_input


def known_input(model: keras.Model) -> Any:
    """Returns a model's symbolic input, or `None` if it has none."""
    known = symbolic_input(model)
    if known is None or not is_task(model):
        return known
    return keras.tree.map_structure(_of_some_length, known)


def _of_some_length(tokens: Any) -> Any:
    """Returns symbolic tokens of a known length.

    On JAX, position embeddings cannot be sliced to an unknown one.
    """
    if tuple(tokens.shape) != (None, None):
        return tokens
    return keras.KerasTensor((None, 8), tokens.dtype, name=tokens.name)


class SymbolicCall(keras.layers.Layer):
    """Runs a function on symbolic tensors, to build the layers that it calls.

    Args:
        function: The function, of as many tensors or structures as `trace`
            gets.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(name="symbolic_call", autocast=False)
        self._function = function
        self._error: Exception | None = None

    def call(self, *inputs: Any) -> Any:
        """Runs the function."""
        try:
            return self._function(*inputs)
        except Exception as error:
            self._error = error
            raise

    def trace(self, *inputs: Any) -> Any:
        """Runs the function on symbolic inputs, and returns its outputs.

        An error of the function is raised as it is; Keras would put words
        about this layer before it.
        """
        try:
            return self.compute_output_spec(*inputs)
        except Exception:
            if self._error is None:
                raise
            raise self._error from None
