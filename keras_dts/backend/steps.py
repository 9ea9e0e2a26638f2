"""How a backend runs a step: eagerly or not, in replicas, with a gradient."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor


def runs_eagerly() -> bool:
    """Says whether Python runs in every step, as on PyTorch."""
    eager: bool = keras.config.backend() == "torch"
    return eager


def replica_count() -> int:
    """Returns how many replicas of a model TensorFlow trains at the same time.

    Keras divides losses by that number, since the replicas' gradients are
    summed. It is 1 on the other backends.
    """
    if keras.config.backend() != "tensorflow":
        return 1
    tf: Any = importlib.import_module("tensorflow")
    count: int = tf.distribute.get_strategy().num_replicas_in_sync
    return count


def no_gradient() -> AbstractContextManager[Any]:
    """Returns a context in which PyTorch records nothing for a gradient.

    JAX and TensorFlow record a gradient only where a function asks for one.
    """
    if keras.config.backend() != "torch":
        return contextlib.nullcontext()
    torch: Any = importlib.import_module("torch")
    context: AbstractContextManager[Any] = torch.no_grad()
    return context


def without_gradient(
    function: Callable[..., Tensor], *tensors: Tensor
) -> Tensor:
    """Computes a function that the gradient does not flow through.

    Args:
        function: From the tensors to a tensor.
        *tensors: The tensors.
    """
    if keras.config.backend() == "torch":
        with no_gradient():
            return function(*tensors)
    return function(*map(ops.stop_gradient, tensors))


def needs_gradient(tensor: Tensor) -> bool:
    """Says whether a gradient for a tensor may be asked for.

    PyTorch knows it; the compilers of the other backends leave out a gradient
    that nobody asks for.
    """
    if keras.config.backend() != "torch":
        return True
    needed: bool = tensor.requires_grad
    return needed


def zero_unless(flags: Tensor, values: Tensor) -> Tensor:
    """Returns values where a flag is up, and 0 elsewhere.

    Args:
        flags: Bool, of a shape that broadcasts with `values`.
        values: A tensor that no gradient flows into.
    """
    if _can_be_asked(flags) and flags.all():
        return values
    return ops.where(flags, values, 0.0)


def _can_be_asked(flags: Tensor) -> bool:
    """Says whether Python knows a tensor's value without waiting for it.

    It does where PyTorch computes on the CPU, and compiles nothing.
    """
    if keras.config.backend() != "torch":
        return False
    torch: Any = importlib.import_module("torch")
    compiles: bool = torch.compiler.is_compiling()
    return flags.device.type == "cpu" and not compiles
