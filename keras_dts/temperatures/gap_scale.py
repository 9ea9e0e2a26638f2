"""How the gap between student and teacher scales a temperature."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from keras_dts.types import Tensor


def no_scale(gap: Tensor) -> Tensor:
    """Ignores the gap: the temperature is the cosine alone."""
    return ops.ones_like(gap)


def reference_scale(gap: Tensor) -> Tensor:
    """Scales as published: `g / (g - 1)` above 1 nat, 1.35 where that is > 2.

    It is 1 for gaps up to 1, and jumps at gaps of 1 and 2.
    """
    behind = ops.greater(gap, 1.0)
    # Where the gap is 1 or less the quotient is not used; 2 keeps it finite.
    safe = ops.where(behind, gap, 2.0)
    ratio = safe / (safe - 1.0)
    ratio = ops.where(ops.greater(ratio, 2.0), 1.35, ratio)
    return ops.where(behind, ratio, 1.0)


def smooth_scale(gap: Tensor) -> Tensor:
    """Scales by `1 + g / (1 + g)`, continuous and never decreasing."""
    gap = ops.maximum(gap, 0.0)
    return 1.0 + gap / (1.0 + gap)


# By the value of the argument `gap_scale`.
GAP_SCALES: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: no_scale,
    "reference": reference_scale,
    "smooth": smooth_scale,
}
