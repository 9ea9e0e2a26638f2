"""Functions that run models, compiled outside a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras


class CompiledFunction(keras.Model):
    """A function that runs models, as the backend compiles it.

    `predict_on_batch` calls it.

    Args:
        function: From a dictionary of arrays to a structure of tensors. It
            assigns nothing.
        models: The models that it runs, which are built.
        jit_compile: Whether XLA compiles it, on TensorFlow. What Keras would
            choose is without XLA for models with a tokenizer, although that
            compiles nothing.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        models: Iterable[keras.Model],
        *,
        jit_compile: bool = True,
    ) -> None:
        super().__init__()
        self._function = function
        self._models = list(models)
        self.built = True
        # PyTorch would compile each round of a loop anew.
        torch = keras.config.backend() == "torch"
        self.compile(jit_compile=jit_compile and not torch)

    def call(self, inputs: Any) -> Any:
        """Returns what the function returns."""
        return self._function(inputs)
