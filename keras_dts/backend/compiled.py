"""Functions that are compiled beside Keras's own steps."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_dts.backend.steps import no_gradient
from keras_dts.types import Tensor


def compiled(
    function: Callable[..., Sequence[Tensor]],
    variables: Sequence[Any],
    *,
    jit: bool,
) -> Callable[..., Sequence[Tensor]]:
    """Returns a function that is compiled as a training step is.

    It has no gradient, and follows the values of variables.

    Args:
        function: From tensors to tensors. It reads variables, and assigns
            none.
        variables: Those that it reads.
        jit: Whether TensorFlow compiles it by XLA.
    """
    if keras.config.backend() == "jax":
        return _jax(function, variables)
    if keras.config.backend() == "tensorflow":
        tf: Any = importlib.import_module("tensorflow")
        found: Callable[..., Sequence[Tensor]]
        found = tf.function(function, jit_compile=jit, autograph=False)
        return found
    return no_gradient()(function)  # type: ignore[operator]


def _jax(
    function: Callable[..., Sequence[Tensor]], variables: Sequence[Any]
) -> Callable[..., Sequence[Tensor]]:
    jax: Any = importlib.import_module("jax")

    def in_scope(values: list[Tensor], *tensors: Tensor) -> Sequence[Tensor]:
        with keras.StatelessScope(zip(variables, values, strict=True)):
            return function(*tensors)

    traced = jax.jit(in_scope)
    return lambda *tensors: traced([v.value for v in variables], *tensors)
