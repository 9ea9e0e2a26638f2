"""Nested structures of arrays: their leaves, and a description for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def leaves(data: Any) -> list[Array]:
    """Returns the arrays of a structure, without `None`."""
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None]


def map_leaves(function: Callable[[Any], Any], data: Any) -> Any:
    """Applies a function to the arrays of a structure; `None` stays."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else function(leaf), data
    )


def has_strings(data: Any) -> bool:
    """Returns whether an array of a structure holds strings."""
    return any(leaf.dtype.kind == "O" for leaf in leaves(data))


def describe(data: Any) -> Any:
    """Returns a description of a structure of arrays, for JSON."""
    if isinstance(data, dict):
        # In the order of `leaves`.
        return {"dict": [[k, describe(data[k])] for k in sorted(data)]}
    if isinstance(data, (tuple, list)):
        kind = "tuple" if isinstance(data, tuple) else "list"
        return {kind: [describe(value) for value in data]}
    return None if data is None else "array"


def rebuild(description: Any, arrays: Iterator[Array]) -> Any:
    """Returns the structure that `describe` described.

    Args:
        description: The description.
        arrays: The arrays of the structure, in the order of `leaves`.
    """
    if isinstance(description, dict):
        ((kind, parts),) = description.items()
        if kind == "dict":
            return {key: rebuild(part, arrays) for key, part in parts}
        values = [rebuild(part, arrays) for part in parts]
        return tuple(values) if kind == "tuple" else values
    return None if description is None else next(arrays)


def count_leaves(description: Any) -> int:
    """Returns the number of arrays of a structure that `describe` described.

    Raises:
        ValueError: If this is no description.
        TypeError: If this is no description.
    """
    if description is None or description == "array":
        return int(description is not None)
    ((kind, parts),) = description.items()
    if kind == "dict":
        keys = [key for key, _ in parts]
        if keys != sorted(set(keys)):
            raise ValueError("keys are not sorted")
        return sum(count_leaves(part) for _, part in parts)
    if kind not in ("tuple", "list"):
        raise ValueError(kind)
    return sum(count_leaves(part) for part in parts)


def stack(values: tuple[Array, ...]) -> Array:
    """Stacks arrays of one example each; strings become objects."""
    if values[0].dtype.kind in "UO":
        return np.array([str(text) for text in values], dtype=object)
    return np.stack(values)
