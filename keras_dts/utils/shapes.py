"""Shapes: compared, and shown in messages."""

from __future__ import annotations

from typing import Any

from keras_dts.types import Tensor


def static_shape(x: Tensor) -> tuple[Any, ...]:
    """Returns a static shape; an empty one if its rank is unknown."""
    try:
        return tuple(x.shape)
    except ValueError:  # what TensorFlow raises
        return ()


def same_shape(shape: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Says whether shapes agree where both are known."""
    return len(shape) == len(other) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, other, strict=True)
    )


def show(shape: Any) -> str:
    """Shows a shape whose first size is the batch's."""
    sizes = ["batch", *("?" if n is None else str(n) for n in shape[1:])]
    return "(" + ", ".join(sizes) + ("," if len(sizes) == 1 else "") + ")"
