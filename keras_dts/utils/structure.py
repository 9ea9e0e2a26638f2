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
    parts = _parts(structure, outputs, names)
    if parts is not None:
        return [x for part in parts for x in per_output(*part)]
    count = len(flatten(outputs))
    if isinstance(structure, (list, tuple, dict)):
        flat = keras.tree.flatten(structure)
        return flat if len(flat) == count else [None] * count
    return [structure] * count


def _parts(
    structure: Any, outputs: Any, names: Sequence[str]
) -> list[tuple[Any, Any]] | None:
    """Returns pairs of a part of both structures, if both have such parts."""
    if isinstance(structure, dict) and isinstance(outputs, dict):
        return [(structure.get(key), outputs[key]) for key in sorted(outputs)]
    if not isinstance(outputs, (list, tuple)):
        return None
    if _is_named(structure, names) and len(names) == len(outputs):
        parts = [structure.get(name) for name in names]
    elif isinstance(structure, (list, tuple)):
        parts = list(structure)
    else:
        return None
    if len(parts) != len(outputs):
        return None
    return list(zip(parts, outputs, strict=True))


def is_partial(structure: Any, losses: list[Any]) -> bool:
    """Says whether a structure is for the outputs with a loss alone.

    Keras takes labels like that.

    Args:
        structure: Labels or sample weights.
        losses: The loss of each output, or `None`.
    """
    if structure is None or isinstance(structure, dict):
        return False
    nested = isinstance(structure, (list, tuple))
    count = len(structure) if nested else 1
    known = sum(loss is not None for loss in losses)
    return count == known < len(losses)


def spread(structure: Any, losses: list[Any]) -> Any:
    """Returns what `is_partial` says yes to as a list for all outputs."""
    if not is_partial(structure, losses):
        return structure
    nested = isinstance(structure, (list, tuple))
    given = iter(structure if nested else [structure])
    return [None if loss is None else next(given) for loss in losses]


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
    parts = _parts(structure, outputs, names)
    if parts is None:
        if isinstance(structure, (list, tuple, dict)):
            if len(keras.tree.flatten(structure)) != len(flat):
                return structure
            return keras.tree.pack_sequence_as(structure, flat)
        return flat[0] if len(flat) == 1 else structure
    new, rest = [], list(flat)
    for part, output in parts:
        count = len(flatten(output))
        new.append(repack(part, output, rest[:count]))
        rest = rest[count:]
    if isinstance(structure, dict):
        keys = sorted(outputs) if isinstance(outputs, dict) else names
        named = dict(zip(keys, new, strict=True))
        return {key: named.get(key, x) for key, x in structure.items()}
    return keras.tree.pack_sequence_as(structure, keras.tree.flatten(new))
