"""Values in eight bits: steps between the lowest and the highest of an entry.

NumPy alone computes here, since a cache is read without a model.
"""

from __future__ import annotations

import numpy as np

from keras_dts.cache.structure import Array

_STEPS = 255
_HIGHEST = float(np.finfo("float16").max)


def quantize(values: Array) -> tuple[Array, Array]:
    """Rounds values to 256 steps between each entry's lowest and highest.

    Args:
        values: Shape `(batch, ..., classes)`.

    Returns:
        The steps, uint8, of the same shape; and the lowest and the highest
        value of each entry, float16, shape `(batch, ..., 2)`.
    """
    values = np.clip(values, -_HIGHEST, _HIGHEST)
    ends = np.stack([values.min(axis=-1), values.max(axis=-1)], axis=-1)
    ends = ends.astype("float16")  # (batch, ..., 2)
    low, width = _low_and_width(ends)
    steps = np.rint((values - low) * (_STEPS / np.where(width > 0, width, 1)))
    return steps.clip(0, _STEPS).astype("uint8"), ends


def dequantize(steps: Array, ends: Array) -> Array:
    """Returns the values that `quantize` rounded, up to half a step.

    Args:
        steps: Shape `(batch, ..., classes)`.
        ends: Shape `(batch, ..., 2)`.

    Returns:
        The values, float32, of the shape of `steps`.
    """
    low, width = _low_and_width(ends)
    values: Array = low + steps.astype("float32") * (width / _STEPS)
    return values


def _low_and_width(ends: Array) -> tuple[Array, Array]:
    """Returns the lowest value and the width of each range, float32."""
    low, high = np.split(ends.astype("float32"), 2, axis=-1)
    return low, high - low  # (batch, ..., 1)
