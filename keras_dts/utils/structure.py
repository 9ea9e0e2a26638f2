"""Structures of outputs, and what a structure says of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras


def flatten(outputs: Any) -> list[Any]:
    """Returns what `keras.tree.flatten` does, sooner for a single tensor."""
    if isinstance(outputs, (list, tuple, dict)):
        return keras.tree.flatten(outputs)
    return [outputs]


def per_output(
    structure: Any, outputs: Any, names: Sequence[str] = ()
) -> list[Any]:
    """Returns labels, sample weights or losses for each output.

    Args:
        structure: One thing for all outputs, or a list, tuple or dictionary
            of things like `outputs`; a dictionary may leave outputs out.
        outputs: A model's output: a tensor, list, tuple or dictionary.
        names: The names of outputs in a list, which a dictionary may use.

    Returns:
        A flat list in the order of `keras.tree.flatten(outputs)`; `None` for
        every output if the structure does not fit, which Keras reports.
    """
    if isinstance(structure, dict) and isinstance(outputs, dict):
        return [structure.get(key) for key in sorted(outputs)]
    if _is_named(structure, names):
        return [structure.get(name) for name in names]
    count = len(flatten(outputs))
    if isinstance(structure, (list, tuple, dict)):
        flat = keras.tree.flatten(structure)
        return flat if len(flat) == count else [None] * count
    return [structure] * count


def per_output_strictly(
    structure: Any, outputs: Any, argument: str
) -> list[Any]:
    """Returns what a structure says of each output, or raises.

    Args:
        structure: As for `per_output`; its lists are not nested.
        outputs: A model's output: a tensor, list, tuple or dictionary.
        argument: The argument's name, for the message.

    Raises:
        ValueError: If the structures do not fit.
    """
    count = len(flatten(outputs))
    named = isinstance(outputs, dict)
    if isinstance(structure, dict):
        fits = named and not set(structure) - set(outputs)
    elif isinstance(structure, (list, tuple)):
        fits = not named and len(structure) == count
    else:
        fits = True
    if not fits:
        wanted = sorted(outputs) if named else count
        raise ValueError(
            f"`{argument}` must fit the student's outputs: {wanted}. "
            f"Received: {structure!r}"
        )
    if isinstance(structure, (list, tuple)):
        return list(structure)
    return per_output(structure, outputs)


def _is_named(structure: Any, names: Sequence[str]) -> bool:
    """Says whether a dictionary has things for outputs in a list, by name."""
    named = isinstance(structure, dict) and len(names) > 0
    return named and not set(structure) - set(names)


def repack(
    structure: Any, outputs: Any, flat: list[Any], names: Sequence[str] = ()
) -> Any:
    """Puts values for each output back into the structure they came in.

    Args:
        structure: What `per_output` was given.
        outputs: A model's output.
        flat: A value for each output.
        names: As for `per_output`.
    """
    by_key = isinstance(structure, dict) and isinstance(outputs, dict)
    if by_key or _is_named(structure, names):
        keys = sorted(outputs) if by_key else names
        new = dict(zip(keys, flat, strict=True))
        return {key: new.get(key, value) for key, value in structure.items()}
    if isinstance(structure, (list, tuple, dict)):
        if len(keras.tree.flatten(structure)) != len(flat):
            return structure
        return keras.tree.pack_sequence_as(structure, flat)
    return flat[0] if len(flat) == 1 else structure
