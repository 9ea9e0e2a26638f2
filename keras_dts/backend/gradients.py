"""Gradients that a step asks for beside Keras's own."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from keras_dts.types import Tensor


def value_and_grad(
    function: Callable[[], Tensor],
    variables: Sequence[Any],
    values: Sequence[Tensor] | None = None,
    others: Sequence[tuple[Any, Tensor]] = (),
) -> tuple[Tensor, list[Tensor]]:
    """Computes a function and its gradient, as if variables held values.

    What the function assigns is dropped.

    Args:
        function: Reads variables, and returns a scalar.
        variables: Those that the gradient is for.
        values: What they hold, or `None` for what they hold now.
        others: Further variables that the function reads, with values. On
            JAX, inside `fit`, those that are left out have none.

    Returns:
        The value, and the gradient for each variable, 0 where the function
        does not depend on it.
    """
    known = {id(v) for v in variables}
    held = [(v, value) for v, value in others if id(v) not in known]
    if values is None:
        values = [v.value for v in variables]

    def computed(values: Sequence[Tensor]) -> Tensor:
        pairs = [*held, *zip(variables, values, strict=True)]
        with keras.StatelessScope(pairs):
            return function()

    return _BY_BACKEND[keras.config.backend()](computed, list(values))


@contextlib.contextmanager
def frozen(variables: Iterable[Any]) -> Iterator[None]:
    """Lets PyTorch compute no gradient for variables, as long as it is open.

    Other backends compute those that they are asked for. `trainable` stays.

    Args:
        variables: The variables.
    """
    on_torch = keras.config.backend() == "torch"
    values = [v.value for v in variables] if on_torch else []
    values = [value for value in values if value.requires_grad]
    for value in values:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in values:
            value.requires_grad_(True)


def _jax(
    computed: Callable[..., Tensor], values: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    jax: Any = importlib.import_module("jax")
    value, gradient = jax.value_and_grad(computed)(values)
    return value, gradient


def _tensorflow(
    computed: Callable[..., Tensor], values: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    tf: Any = importlib.import_module("tensorflow")
    values = [tf.identity(value) for value in values]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = computed(values)
    zero = tf.UnconnectedGradients.ZERO
    return value, tape.gradient(value, values, unconnected_gradients=zero)


def _torch(
    computed: Callable[..., Tensor], values: list[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    torch: Any = importlib.import_module("torch")
    leaves = [v.detach().clone().requires_grad_() for v in values]
    with torch.enable_grad():
        value = computed(leaves)
        gradient = torch.autograd.grad(value, leaves, materialize_grads=True)
    return value.detach(), list(gradient)


_BY_BACKEND = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
