"""Operations of `keras.ops` on tensors, without what they cost on PyTorch.

Where Python runs in every step, `keras.ops` takes longer to look at the
arguments of a small operation than PyTorch to compute it. These functions take
tensors alone, by position, and leave the looking out. They serve what every
step runs, whatever the models.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

import keras
from keras import ops

from keras_dts.types import Tensor


def _fast(name: str) -> Callable[..., Tensor]:
    """Returns an operation that Keras and PyTorch give the same name."""

    @functools.cache  # when it is first called, so that PyTorch comes late
    def chosen() -> Callable[..., Tensor]:
        torch = keras.config.backend() == "torch"
        operations = importlib.import_module("torch") if torch else ops
        found: Callable[..., Tensor] = getattr(operations, name)
        return found

    def call(*args: object) -> Tensor:
        return chosen()(*args)

    call.__name__ = name
    call.__doc__ = f"Computes `keras.ops.{name}` of tensors."
    return call


any_ = _fast("any")
clip = _fast("clip")
exp = _fast("exp")
isfinite = _fast("isfinite")
log_softmax = _fast("log_softmax")
max_ = _fast("max")
mean = _fast("mean")
not_equal = _fast("not_equal")
ones_like = _fast("ones_like")
relu = _fast("relu")
stack = _fast("stack")
sum_ = _fast("sum")
zeros_like = _fast("zeros_like")


def part_of_step(old: Tensor, new: Tensor, part: Tensor) -> Tensor:
    """Returns `old + part * (new - old)`, and exactly `new` for a part of 1.

    Args:
        old: A tensor.
        new: A tensor of the same shape and dtype.
        part: A scalar of the same dtype.
    """
    if keras.config.backend() == "torch":
        return _lerp(old, new, part)  # in one pass over the memory
    return new + (part - 1.0) * (new - old)


_lerp = _fast("lerp")
