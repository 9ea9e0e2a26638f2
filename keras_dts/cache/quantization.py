"""Values in eight bits: steps in the range of each entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_STEPS = 255
_HIGHEST = float(np.finfo("float16").max)


def pack(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Rounds values to 256 steps between each entry's lowest and highest.

    Args:
        values: Shape `(batch, ..., classes)`.

    Returns:
        The steps, uint8, of the same shape; and the lowest and the highest
        value of each entry, float16, shape `(batch, ..., 2)`.
    """
    values = np.clip(values, -_HIGHEST, _HIGHEST)
    ends = np.stack([values.min(axis=-1), values.max(axis=-1)], axis=-1)
    ends = ends.astype("float16")
    low, width = _low_and_width(ends)
    steps = np.rint((values - low) * (_STEPS / np.where(width > 0, width, 1)))
    return steps.clip(0, _STEPS).astype("uint8"), ends


def unpack(steps: npt.NDArray[Any], ends: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns what `pack` was given, to half a step.

    Args:
        steps: Shape `(batch, ..., classes)`.
        ends: Shape `(batch, ..., 2)`.

    Returns:
        The values, float32, of the shape of `steps`.
    """
    low, width = _low_and_width(ends)
    return low + steps.astype("float32") * (width / _STEPS)


def ends_of(output: str) -> str:
    """Names the ends between which an output lies."""
    return f"{output}_ends"


def _low_and_width(
    ends: npt.NDArray[Any],
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns where each range begins and how wide it is, float32."""
    low, high = np.split(ends.astype("float32"), 2, axis=-1)
    return low, high - low
