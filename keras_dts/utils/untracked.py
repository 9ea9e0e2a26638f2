"""What a Keras layer holds without making it a part of itself."""

from __future__ import annotations

import dataclasses
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


@dataclasses.dataclass(frozen=True, eq=False)
class Untracked(Generic[_Value]):
    """Holds a layer, which Keras would track as an attribute or in a tuple.

    Args:
        value: What is held.
    """

    value: _Value
