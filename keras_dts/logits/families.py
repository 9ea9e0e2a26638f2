"""What a loss on labels says of the output that it is given for."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.utils import loss_setting

# By the names of their classes and functions.
_OF_LABELS = {"binarycrossentropy", "binaryfocalcrossentropy"}
_OF_CLASSES = {
    "categoricalcrossentropy",
    "categoricalfocalcrossentropy",
    "sparsecategoricalcrossentropy",
    "sparsecategoricalfocalcrossentropy",
}
# Their labels are no classes of the output's entries.
_OF_OTHERS = {"ctc", "hinge", "squaredhinge"}
_OF_VALUES = {
    "cosinesimilarity",
    "huber",
    "logcosh",
    "meanabsoluteerror",
    "meanabsolutepercentageerror",
    "meansquarederror",
    "meansquaredlogarithmicerror",
}


def is_of_labels(loss: Any) -> bool:
    """Says whether a loss takes each unit for a label that may be true.

    Args:
        loss: A loss as `compile` takes it for one output, or `None`.
    """
    return _name(loss) in _OF_LABELS


def reads_classes(loss: Any) -> bool | None:
    """Says whether a loss reads a class, or labels, for each entry.

    Args:
        loss: A loss as `compile` takes it for one output, or `None`.

    Returns:
        `None` where nobody knows, as of a function of one's own.
    """
    name = _name(loss)
    if name in _OF_OTHERS:
        return False
    return True if name in _OF_CLASSES | _OF_LABELS else None


def is_of_values(loss: Any) -> bool:
    """Says whether a loss compares values, and not distributions.

    Args:
        loss: A loss as `compile` takes it for one output, or `None`.
    """
    return _name(loss) in _OF_VALUES


def reads_logits(loss: Any) -> bool | None:
    """Says whether a loss takes the output for logits; `None` if it may not.

    Args:
        loss: A loss as `compile` takes it for one output, or `None`.
    """
    said = loss_setting(loss, "from_logits")
    return said if isinstance(said, bool) else None


def name_of(loss: Any) -> str:
    """Returns the name of a loss, for messages."""
    if isinstance(loss, str):
        return loss
    return getattr(loss, "__name__", type(loss).__name__)


def _name(loss: Any) -> str:
    if loss is None:
        return ""
    try:
        known = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError:  # which `compile` reports
        return ""
    return name_of(known).replace("_", "").lower()
