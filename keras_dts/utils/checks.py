"""Checks of arguments, with their error messages."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

# The limits of a temperature: beyond them its square is 0 or infinite in
# float32, and so is the loss.
LOWEST, HIGHEST = 1e-18, 1e18

_LARGEST = float(np.finfo("float32").max)
_TINIEST = float(np.finfo("float32").tiny)


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

    It must be finite, and above or below what it must be, in float32 too,
    which is what steps compute in.

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
        and math.isfinite(single := _in_float32(value))
        and all(holds(value, limit) for limit, holds in set_limits.values())
        and (above is None or single > above)
        and (below is None or single < below)
    )
    if not good:
        wanted = " and ".join(f"{k} {v[0]:g}" for k, v in set_limits.items())
        raise ValueError(
            f"`{name}` must be a finite number"
            + (f", {wanted}" if wanted else "")
            + f". Received: {name}={value!r}"
        )


def check_temperature(name: str, value: Any) -> None:
    """Raises a `ValueError` unless `value` is a number that divides logits."""
    check_number(name, value, above=0.0)
    check_number(name, value, low=LOWEST, high=HIGHEST)


def check_count(name: str, value: Any, *, low: int = 1) -> None:
    """Raises a `ValueError` unless `value` is whole and at least `low`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < low:
        raise ValueError(
            f"`{name}` must be a whole number of at least {low}. Received: "
            f"{name}={value!r}"
        )


def check_part(name: str, value: Any) -> None:
    """Raises a `ValueError` unless `value` is `None` or one of several parts.

    Args:
        name: The argument's name, for the error message.
        value: The argument's value, a part as `(index, count)`.
    """
    if value is None:
        return
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    if (
        not is_pair
        or not all(type(number) is int for number in value)
        or not 0 <= value[0] < value[1] < 10**5
    ):
        raise ValueError(
            f"`{name}` must be `None` or `(index, count)`, whole numbers with "
            f"0 <= index < count < 100000. Received: {name}={value!r}"
        )


def check_function(name: str, value: Any) -> None:
    """Raises a `ValueError` unless `value` is a function, or `None`."""
    if value is not None and not callable(value):
        raise ValueError(
            f"`{name}` must be `None` or a function. Received: {name}={value!r}"
        )


def check_choice(name: str, value: Any, choices: list[Any]) -> None:
    """Raises a `ValueError` unless `value` is one of the choices."""
    if not any(value is c or value == c for c in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(
            f"`{name}` must be one of {listed}. Received: {name}={value!r}"
        )


def _in_float32(value: Any) -> float:
    """Returns a number as float32 has it; subnormal ones are 0."""
    try:
        value = float(value)
    except OverflowError:
        return math.inf
    if abs(value) > _LARGEST:
        return math.inf
    return 0.0 if abs(value) < _TINIEST else float(np.float32(value))
