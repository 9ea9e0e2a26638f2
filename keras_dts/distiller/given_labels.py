"""Labels and weights as they are given, before Keras makes batches of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_dts.logits import reads_classes
from keras_dts.utils import flatten, per_output, static_shape

_INT32 = np.iinfo("int32")


def check_indices(y: Any, loss: Any, names: tuple[str, ...]) -> None:
    """Raises if arrays hold class indices that Keras would change.

    On JAX, Keras keeps 32 bits of each, so that 2**32 becomes 0.

    Args:
        y: The labels given.
        loss: The loss given to `compile`, or `None`.
        names: The names of the outputs, if they are known.

    Raises:
        ValueError: If an index is beyond 32 bits.
    """
    for array, function in zip(
        flatten(y), per_output(loss, y, names), strict=True
    ):
        is_wide = isinstance(array, np.ndarray) and array.dtype in (
            np.dtype("int64"),
            np.dtype("uint64"),
        )
        if not is_wide or not array.size or _is_others(function):
            continue
        for index in (array.min(), array.max()):
            if not _INT32.min <= index <= _INT32.max:
                raise ValueError(
                    "The class indices in `y` must be at least 0 and less "
                    f"than the number of classes. Received: {index}"
                )


def _is_others(loss: Any) -> bool:
    """Says whether a loss may read integers that are no classes."""
    return loss is not None and not reads_classes(loss)


def with_no_labels(y: Any, sample_weight: Any) -> Any:
    """Returns labels that keep weights without labels among the data.

    Of `x`, no labels and weights, Keras would make batches of `x` alone.

    Args:
        y: The labels given.
        sample_weight: The weights given.

    Returns:
        `y`; or, where there are weights alone, arrays of shape `(examples,
        0)`, which `known_labels` knows again.
    """
    if y is not None or sample_weight is None:
        return y
    return keras.tree.map_structure(
        lambda w: np.zeros((*getattr(w, "shape", ())[:1], 0), "float32"),
        sample_weight,
    )


def known_labels(y: Any) -> Any:
    """Returns the labels of a batch, `None` for those of `with_no_labels`."""
    if y is None:
        return None
    nothing = all(_is_nothing(labels) for labels in flatten(y))
    return None if nothing else y


def _is_nothing(labels: Any) -> bool:
    return labels is not None and static_shape(labels)[1:] == (0,)
