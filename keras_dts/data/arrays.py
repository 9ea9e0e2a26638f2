"""Texts as arrays: cleaned, without duplicates, and split by class."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Texts: TypeAlias = npt.NDArray[np.object_]
Labels: TypeAlias = npt.NDArray[np.int32]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def to_objects(texts: Iterable[str]) -> Texts:
    """Returns the texts as an object array of `str`, shape `(n,)`."""
    return np.array(list(texts), dtype=object)


def unique(labelled: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Returns each text once with its label, without texts of two labels."""
    labels: dict[str, set[int]] = {}
    for text, label in labelled:
        labels.setdefault(text, set()).add(label)
    return {text: min(ls) for text, ls in labels.items() if len(ls) == 1}


def split_by_class(
    labels: Labels,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Returns shuffled indices of 80 % and of 20 % of each class."""
    order = np.random.default_rng(0).permutation(len(labels))
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        is_test[members[: round(0.2 * len(members))]] = True
    return order[~is_test[order]], order[is_test[order]]


def clean(text: str) -> str:
    """Returns the text without control characters, in valid UTF-8."""
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode().strip()
