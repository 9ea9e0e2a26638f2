"""Labels and weights as they are given, before Keras makes batches of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.logits import TOLERANCE, OutputSpec, reads_classes
from keras_dts.utils import (
    flatten,
    loss_setting,
    per_output,
    static_shape,
)

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


def all_labels(arguments: dict[str, Any]) -> Any:
    """Returns the labels given, or `None` if weights may leave some out.

    Args:
        arguments: Those of `fit` or `train_on_batch`, by name.
    """
    weights = arguments.get("sample_weight")
    return arguments.get("y") if weights is None else None


def first_bad_label(
    specs: tuple[OutputSpec, ...], y: list[Any], losses: list[Any]
) -> str:
    """Shows the first label in arrays that means nothing, for a message.

    Args:
        specs: How the outputs are read.
        y: The labels given for each output, or `None`.
        losses: The loss given to `compile` for each output, or `None`.

    Returns:
        Such as `"7 at y[12]"`; `"others"` where none is found.
    """
    for spec in specs:
        if not hasattr(y[spec.index], "shape"):
            continue
        labels = ops.convert_to_numpy(y[spec.index])
        bad = np.argwhere(_mean_nothing(labels, spec, losses[spec.index]))
        if len(bad):
            where = tuple(bad[0].tolist())
            place = ", ".join(map(str, where))
            output = f" for output {spec.index}" if len(specs) > 1 else ""
            return f"{labels[where]} at y[{place}]{output}"
    return "others"


def _mean_nothing(labels: Any, spec: OutputSpec, loss: Any) -> Any:
    """Says which labels of one output are wrong, as `read_labels` does."""
    if spec.independent_by(loss) or spec.student_classes == 1:
        return ~((labels >= 0) & (labels <= 1))
    classes = spec.student_classes or np.inf
    if labels.ndim == spec.rank and labels.shape[-1] == classes:
        sums = labels.sum(-1, dtype="float64")
        adds_up = (abs(sums - 1) < TOLERANCE) | (sums == 0)
        return ~(adds_up & (labels >= 0).all(-1))
    names_one = (labels >= 0) & (labels < classes) & (labels % 1 == 0)
    return ~names_one & (labels != loss_setting(loss, "ignore_class"))


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
