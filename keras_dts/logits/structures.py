"""Whether two models have the same outputs, in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras


def check_counts(teacher: Iterable[Any], student: Iterable[Any]) -> None:
    """Raises a `ValueError` unless both models have as many outputs."""
    theirs, ours = len(list(teacher)), len(list(student))
    if theirs != ours:
        raise ValueError(
            "`teacher` and `student` must have the same outputs. "
            f"Received: {theirs} outputs of the teacher, {ours} of the student"
        )


def check_names(
    models: tuple[keras.Model, keras.Model],
    outputs: tuple[Any, Any],
    read: Iterable[int],
) -> None:
    """Raises unless outputs are paired with those of the same name.

    Outputs are paired by their order. Names of outputs in lists may be any,
    but not those of the other model in another order.

    Args:
        models: The teacher and the student.
        outputs: The outputs of each.
        read: The numbers of the outputs that losses read.

    Raises:
        ValueError: If they are not.
    """
    names = [
        _output_names(model, output)
        for model, output in zip(models, outputs, strict=True)
    ]
    theirs, ours = names
    if theirs == ours or len(keras.tree.flatten(outputs[1])) < 2:
        return
    by_name = any(isinstance(output, dict) for output in outputs)
    if None in names:
        differ = by_name
    else:
        differ = by_name and any(theirs[i] != ours[i] for i in read)
        differ = differ or sorted(theirs) == sorted(ours)
    if differ:
        raise ValueError(
            "`teacher` and `student` must have outputs of the same names in "
            "the same order, which for a dictionary is that of the alphabet. "
            f"Received: {theirs or 'no names'} of the teacher and "
            f"{ours or 'no names'} of the student"
        )


def _output_names(model: keras.Model, outputs: Any) -> Any:
    """Returns the names of outputs in the order of `keras.tree.flatten`."""
    if isinstance(outputs, dict):
        paths, _ = zip(*keras.tree.flatten_with_path(outputs), strict=True)
        return ["/".join(map(str, path)) for path in paths]
    names = getattr(model, "output_names", None)
    count = len(keras.tree.flatten(outputs))
    return list(names) if names and len(names) == count else None
