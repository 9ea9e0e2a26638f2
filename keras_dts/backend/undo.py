"""What a training step has changed is put back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor


class StoppedStepError(Exception):
    """Stops a step whose batch is broken, before the optimizer runs."""


def can_stop(variable: Any) -> bool:
    """Says whether Python learns in a step that its batch is broken.

    Args:
        variable: One of the model's, for its device.
    """
    return keras.config.backend() == "torch" and on_cpu(variable.value)


def with_optional_update(
    model: Any, is_broken: Callable[[], Tensor]
) -> Callable[..., Any] | None:
    """Returns a training step that leaves the optimizer's part out.

    Args:
        model: A compiled `keras.Model`.
        is_broken: Says, when the loss is computed, whether to leave it out, a
            bool scalar.

    Returns:
        The step; or `None` where there is none: on another backend, and under
        a strategy of TensorFlow's, whose replicas no branch may bring together.
    """
    if keras.config.backend() != "tensorflow" or not model.trainable_weights:
        return None
    from keras_dts.backend import tensorflow

    if tensorflow.tf.distribute.has_strategy():
        return None
    return lambda data: tensorflow.training_step(model, data, is_broken)


def on_cpu(tensor: Tensor) -> bool:
    """Says whether PyTorch has computed a tensor, since it is on the CPU."""
    torch: Any = importlib.import_module("torch")
    compiles: bool = torch.compiler.is_compiling()
    return tensor.device.type == "cpu" and not compiles


class Copies:
    """The values that variables have, to be put back.

    Args:
        variables: The variables.
    """

    def __init__(self, variables: list[Any]) -> None:
        self._variables = variables
        values = [v.value for v in variables]
        if keras.config.backend() == "torch":
            self._values = [value.detach().clone() for value in values]
        else:
            self._values = [ops.copy(value) for value in values]

    def put_back(self, flag: Tensor | None = None) -> None:
        """Gives the variables their values back.

        Args:
            flag: Whether to do it, a bool scalar; `None` if so.
        """
        for variable, old in zip(self._variables, self._values, strict=True):
            value = old
            if flag is not None:
                value = ops.where(flag, old, variable.value)
            variable.assign(value)
