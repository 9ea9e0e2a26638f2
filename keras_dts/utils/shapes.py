"""Shapes of tensors: static, compared, and formatted."""

from __future__ import annotations

from typing import Any


def static_shape(x: Any) -> tuple[Any, ...]:
    """Returns a static shape; an empty one if its rank is unknown."""
    try:
        return tuple(x.shape)
    except ValueError:  # TensorFlow, for an unknown rank
        return ()


def same_shape(shape: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Returns whether two shapes agree in all sizes that both know."""
    return len(shape) == len(other) and all(
        a is None or b is None or a == b
        for a, b in zip(shape, other, strict=True)
    )


def show(shape: Any) -> str:
    """Formats a shape, whose first size is the batch size, for a message."""
    sizes = ["batch", *("?" if n is None else str(n) for n in shape[1:])]
    return "(" + ", ".join(sizes) + ("," if len(sizes) == 1 else "") + ")"
