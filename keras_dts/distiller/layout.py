"""How the weights of a distiller lie on the devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_dts.backend import bytes_on_devices, is_divided

_ROLES = ("teacher", "student")
# Matrices that a table names; the largest.
_SHOWN = 10


@dataclass(frozen=True)
class LayoutReport:
    """Holds the bytes of weights on each device. It prints as a table.

    Args:
        teacher: The bytes of the teacher's weights on each device, by the
            device's name.
        student: The same for the student's weights.
        teacher_whole: The bytes of the teacher's weights with two axes or
            more that each of several devices has whole, by path.
        student_whole: The same for the student's weights.
    """

    teacher: dict[str, int]
    student: dict[str, int]
    teacher_whole: dict[str, int]
    student_whole: dict[str, int]

    def __str__(self) -> str:
        """Returns the table."""
        lines = [f"{'device':<9} {'teacher':>19} {'student':>19}  bytes"]
        for device in {**self.teacher, **self.student}:
            sizes = self.teacher.get(device, 0), self.student.get(device, 0)
            lines.append(f"{device:<9} {sizes[0]:>19,} {sizes[1]:>19,}")
        for role in _ROLES:
            lines += _lines_of(role, getattr(self, f"{role}_whole"))
        return "\n".join(lines)


def layout_report(distiller: Any) -> LayoutReport:
    """Says where the weights of a distiller's models lie.

    A `keras.distribution.LayoutMap` whose keys match no path is no error: all
    weights are then whole on each device. This report names them.

    Args:
        distiller: A `keras_dts.Distiller` whose models are built.

    Returns:
        A `LayoutReport`, with the devices of all processes on JAX.

    Raises:
        ValueError: If a model is not built.

    Example:
    >>> import keras
    >>> import keras_dts
    >>> teacher, student = (
    ...     keras.Sequential([keras.Input((8,)), keras.layers.Dense(units)])
    ...     for units in (32, 32)
    ... )
    >>> distiller = keras_dts.Distiller(teacher, student)
    >>> print(keras_dts.layout_report(distiller))
    device                teacher             student  bytes
    cpu:0                   1,152               1,152
    """
    sizes: list[dict[str, int]] = []
    whole: list[dict[str, int]] = []
    for role in _ROLES:
        model = getattr(distiller, role)
        if not model.built:
            raise ValueError(
                "`distiller` must have models that are built. Received: the "
                f"{role} {model.name!r}, which is not"
            )
        layouts = [(v, bytes_on_devices(v)) for v in model.weights]
        sizes.append(_summed(parts for _, parts in layouts))
        whole.append(
            {
                v.path: max(parts.values())
                for v, parts in layouts
                if len(parts) > 1 and len(v.shape) > 1 and not is_divided(v)
            }
        )
    return LayoutReport(*sizes, *whole)


def _summed(parts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Adds up the bytes of weights, device by device."""
    found: Counter[str] = Counter()
    for part in parts:
        found.update(part)
    return dict(found)


def _lines_of(role: str, whole: dict[str, int]) -> list[str]:
    """Returns the lines of a table that name whole matrices."""
    if not whole:
        return []
    largest = sorted(whole, key=lambda path: -whole[path])
    lines = [f"whole on each device, {role}:"]
    lines += [f"  {path} {whole[path]:,}" for path in largest[:_SHOWN]]
    more = len(largest) - _SHOWN
    return lines + ([f"  and {more} more"] if more > 0 else [])
