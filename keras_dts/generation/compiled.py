"""Functions that run models, compiled outside a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_dts.utils import Untracked


class CompiledFunction(keras.Model):
    """A function that runs models, as the backend compiles it.

    `predict_on_batch` calls it.

    Args:
        function: From a dictionary of arrays to a structure of tensors. It
            assigns nothing.
        models: The models that it runs, which are built.
        jit_compile: Whether XLA compiles it, on TensorFlow.
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
        # Their variables are what it reads. As layers of its own they would
        # bring preprocessors, for whose sake Keras would run the function
        # once more each time, and not compile it by XLA.
        self._models = Untracked(list(models))
        self.built = True
        # PyTorch would compile each round of a loop anew.
        torch = keras.config.backend() == "torch"
        self.compile(jit_compile=jit_compile and not torch)

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables of the models that train."""
        return self._collected("trainable_variables")

    @property
    def non_trainable_variables(self) -> list[Any]:
        """The other variables of the models."""
        return self._collected("non_trainable_variables")

    def call(self, inputs: Any) -> Any:
        """Returns what the function returns."""
        return self._function(inputs)

    def _collected(self, name: str) -> list[Any]:
        """Returns variables, each of them once."""
        found = {
            id(v): v
            for model in self._models.value
            for v in getattr(model, name)
        }
        return list(found.values())
