"""Checks of arguments, with their error messages."""

from __future__ import annotations

import math
import numbers
from typing import Any

import keras

Schedule = keras.optimizers.schedules.LearningRateSchedule


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    low: float | None = None,
    below: float | None = None,
    high: float | None = None,
) -> None:
    """Raises unless `value` is a finite number within the limits.

    Args:
        name: The argument's name, for the error message.
        value: The argument's value.
        above: `None`, or a limit that the value must exceed.
        low: `None`, or the lowest value.
        below: `None`, or a limit that the value must stay below.
        high: `None`, or the highest value.

    Raises:
        ValueError: If the value is not such a number, or a bool.
    """
    limits: dict[str, tuple[float | None, Any]] = {
        "greater than": (above, lambda v, limit: v > limit),
        "at least": (low, lambda v, limit: v >= limit),
        "less than": (below, lambda v, limit: v < limit),
        "at most": (high, lambda v, limit: v <= limit),
    }
    set_limits = {k: v for k, v in limits.items() if v[0] is not None}
    good = (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and all(holds(value, limit) for limit, holds in set_limits.values())
    )
    if not good:
        wanted = " and ".join(f"{k} {v[0]:g}" for k, v in set_limits.items())
        raise ValueError(
            f"`{name}` must be a finite number"
            + (f", {wanted}" if wanted else "")
            + f". Received: {name}={value!r}"
        )


def check_count(name: str, value: Any) -> None:
    """Raises a `ValueError` unless `value` is a whole number, at least 1."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(
            f"`{name}` must be a whole number of at least 1. Received: "
            f"{name}={value!r}"
        )


def check_choice(name: str, value: Any, choices: list[Any]) -> None:
    """Raises a `ValueError` unless `value` is one of the choices."""
    if not any(value is c or value == c for c in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"`{name}` must be one of {listed}. Received: {name}={value!r}"
        )


def check_weight(name: str, value: Any, *, high: float | None = None) -> None:
    """Raises unless `value` is a weight of at least 0, or a schedule."""
    if not isinstance(value, Schedule):
        check_number(name, value, low=0.0, high=high)
