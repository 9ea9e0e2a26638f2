"""Strings and numbers in memory: recognised, checked, made arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def holds_strings(data: Any) -> bool:
    """Returns whether a structure of arrays or lists holds strings."""
    return any(is_text(leaf) for leaf in array_leaves(data))


def is_text(leaf: Any) -> bool:
    """Returns whether an array, a list or a single value is of strings."""
    if isinstance(leaf, (str, bytes)):
        return True
    if isinstance(leaf, list):
        return len(leaf) > 0 and is_text(_first(leaf))
    dtype = getattr(leaf, "dtype", None)
    if "string" in str(dtype) or getattr(dtype, "kind", "") in ("U", "S"):
        return True
    return getattr(dtype, "kind", "") == "O" and is_text(_first(leaf))


def array_leaves(data: Any) -> list[Any]:
    """Returns the arrays of a structure; a list counts as one array."""
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in array_leaves(value)]
    if isinstance(data, tuple):
        return [leaf for value in data for leaf in array_leaves(value)]
    return [] if data is None else [data]


def map_array_leaves(function: Callable[[Any], Any], data: Any) -> Any:
    """Applies a function to the arrays of a structure; `None` stays.

    A list counts as one array.
    """
    if isinstance(data, dict):
        return {k: map_array_leaves(function, v) for k, v in data.items()}
    if isinstance(data, tuple):
        values = [map_array_leaves(function, value) for value in data]
        is_named = hasattr(data, "_fields")
        return type(data)(*values) if is_named else tuple(values)
    return data if data is None else function(data)


def as_array(values: Any) -> Any:
    """Returns values as a NumPy array, strings with dtype `object`.

    float64 becomes Keras's `floatx`, as in Keras's own `fit`.

    Raises:
        ValueError: If `values` is a single string.
    """
    if isinstance(values, (str, bytes)):
        raise ValueError(
            "`x` must hold a batch of strings, such as a list. Received: the "
            f"single string {_shortened(values)}"
        )
    if is_text(values):
        if hasattr(values, "numpy"):  # strings of TensorFlow
            values = values.numpy()
        return np.asarray(values, dtype=object)
    array = ops.convert_to_numpy(values)
    is_double = array.dtype == np.float64
    return array.astype(keras.config.floatx()) if is_double else array


def as_arrays(x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
    """Returns a batch or a data set in memory as checked NumPy arrays.

    Args:
        x: The inputs.
        y: The labels, or `None`.
        sample_weight: The weights, or `None`.

    Returns:
        `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        ValueError: If strings are invalid, or the lengths differ.
    """
    data = keras.utils.pack_x_y_sample_weight(x, y, sample_weight)
    data = data if isinstance(data, tuple) else (data,)
    arrays = tuple(map_array_leaves(as_array, part) for part in data)
    check_strings(arrays[0])
    lengths = [len(leaf) for leaf in array_leaves(arrays)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "`x`, `y` and `sample_weight` must have as many entries as each "
            f"other. Received: {', '.join(map(str, lengths))} entries"
        )
    return arrays


def check_strings(x: Any) -> None:
    """Checks the strings of a structure of arrays.

    Args:
        x: Arrays; those of dtype `object` must hold strings.

    Raises:
        ValueError: If an array is empty, or an entry is no string or no valid
            UTF-8.
    """
    for leaf in array_leaves(x):
        if len(leaf) == 0:
            raise ValueError(
                "`x` must hold at least one string. Received: an empty list"
            )
        if leaf.dtype.kind == "O":
            for index, text in enumerate(leaf.reshape(-1)):
                _check_string(text, index)


def _check_string(text: Any, index: int) -> None:
    if not isinstance(text, (str, bytes)):
        raise ValueError(
            f"`x` must hold strings only. Received: {text!r} of type "
            f"{type(text).__name__} at position {index}"
        )
    try:
        _ = text.decode() if isinstance(text, bytes) else text.encode()
    except UnicodeError as error:
        raise ValueError(
            "`x` must hold strings that are valid UTF-8. Received: "
            f"{_shortened(text)} at position {index}"
        ) from error


def _first(values: Any) -> Any:
    """Returns the first value that is not `None`, or an empty string."""
    return next((v for v in values if v is not None), "")


def _shortened(text: Any) -> str:
    """Returns the beginning of a string, quoted for an error message."""
    return f"{text[:40]!r}" + ("..." if len(text) > 40 else "")
