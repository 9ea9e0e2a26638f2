"""The fields of a cache: the name and the meaning of each, in one place."""

from __future__ import annotations

import enum
import re
from collections.abc import Container


class FieldKind(enum.Enum):
    """What a field holds of each example; the value is its name's pattern.

    Fields of one kind are numbered from 0: outputs in the order of
    `keras.tree.flatten`, features in the order of the metadata, and the
    arrays of inputs, labels and weights in the order of `leaves`.
    """

    # A teacher's output: logits, or the log probabilities of the classes that
    # `CLASSES` names and of the rest; shape `(views, ..., classes)`.
    OUTPUT = "output_{}"
    # The lowest and the highest value of each entry of an output in 8 bits,
    # shape `(views, ..., 2)`.
    RANGE = "output_{}_ends"
    # The classes of a top-k output, shape `(views, ..., k)`.
    CLASSES = "classes_{}"
    # The output of a layer, shape `(views, ...)`.
    FEATURE = "feature_{}"
    # The example itself, if it came in batches. Inputs have shape
    # `(views, ...)`, except strings, which have one view.
    INPUT = "x_{}"
    LABEL = "y_{}"
    WEIGHT = "weight_{}"

    @property
    def has_views(self) -> bool:
        """Whether the field has one value for each view of an example."""
        return self not in (FieldKind.LABEL, FieldKind.WEIGHT)

    def name_of(self, index: int | str) -> str:
        """Returns the name of a field of this kind.

        Args:
            index: The number of the field among those of its kind, or a
                pattern of such numbers.
        """
        return self.value.format(index)

    def names_in(self, fields: Container[str]) -> list[str]:
        """Returns the names of all fields of this kind, in their order.

        Args:
            fields: The names of all fields.
        """
        names: list[str] = []
        while (name := self.name_of(len(names))) in fields:
            names.append(name)
        return names


# The parts of an example, in the order of `(x, y, sample_weight)`.
EXAMPLE = (FieldKind.INPUT, FieldKind.LABEL, FieldKind.WEIGHT)

_NAMES = re.compile(
    "|".join(kind.name_of(r"(0|[1-9][0-9]{0,3})") for kind in FieldKind)
)


def is_field_name(name: str) -> bool:
    """Returns whether a name is that of a field, and so no path."""
    return _NAMES.fullmatch(name) is not None
