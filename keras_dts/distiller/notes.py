"""What a step finds wrong with its batch, and where it notes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.backend import (
    StoppedStepError,
    all_finite,
    some,
)
from keras_dts.logits import FAULTS, Faults
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype

# What may be wrong, the cause before its effects. Beside `FAULTS`: inputs or
# sample weights that are not finite, weights of losses or the temperature by
# their schedules, the learning rate, and the loss.
CAUSES = (
    "inputs",
    "weights",
    "schedules",
    "rate",
    "labels",
    "teacher",
    "ruled out",
    "kind",
    "loss",
)
if missing := set(FAULTS) - set(CAUSES):
    raise AssertionError(f"no place for {missing}")


class FaultNotes(keras.layers.Layer):
    """Counts broken steps, each by the first cause that it has.

    Attributes:
        counts: How many there were since `clear`, for each of `CAUSES`.
    """

    def __init__(self) -> None:
        super().__init__(name="notes", autocast=False)
        self.counts = self.add_weight(
            name="counts",
            shape=(len(CAUSES),),
            dtype=loss_dtype(),
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.built = True

    def note(self, faults: Faults) -> None:
        """Notes what is wrong with a step, if something is.

        Args:
            faults: Bool scalars, by cause: the same on all replicas.

        Raises:
            StoppedStepError: Where Python knows that something is wrong
                without waiting for it.
        """
        known = some(faults.values())
        if known is False:
            return
        flags = ops.stack(
            [
                ops.convert_to_tensor(faults.get(cause, False), "bool")
                for cause in CAUSES
            ]
        )
        raised = ops.cast(flags, "int32")
        first = ops.logical_and(flags, ops.equal(ops.cumsum(raised), 1))
        first = ops.cast(first, self.counts.dtype)
        self.counts.assign(self.counts.value + first)
        if known is True:
            raise StoppedStepError

    def clear(self) -> None:
        """Forgets what was noted."""
        self.counts.assign(np.zeros(self.counts.shape, loss_dtype()))


def faults_of_data(x: Any, sample_weight: Any) -> Faults:
    """Looks for numbers that are not finite in what a step gets.

    Args:
        x: The inputs.
        sample_weight: The user's weights, or `None`.
    """
    given = {"inputs": x, "weights": sample_weight}
    return {
        cause: some(flags)
        for cause, data in given.items()
        if (flags := list(_not_finite(data)))
    }


def faults_of_loss(loss: Tensor, factors: list[Any]) -> Faults:
    """Says whether a loss is not finite, or what schedules give to it.

    Args:
        loss: A scalar.
        factors: Weights of losses and temperatures, scalars; numbers, and
            `None`, are no schedule's.
    """
    faults = {"loss": not_finite(loss)}
    tensors = [
        x for x in factors if not (x is None or isinstance(x, int | float))
    ]
    if tensors:
        faults["schedules"] = some(map(not_finite, tensors))
    return faults


def not_finite(values: Tensor) -> Tensor | bool:
    """Says whether some of the values are NaN or infinite, a bool scalar."""
    finite = all_finite(values)
    return not finite if isinstance(finite, bool) else ~finite


def _not_finite(data: Any) -> Iterator[Tensor | bool]:
    for leaf in keras.tree.flatten(data):
        dtype = str(getattr(leaf, "dtype", ""))
        if "float" in dtype:
            values = ops.convert_to_tensor(leaf)  # NumPy's, in train_on_batch
            if "16" in dtype:  # whose sum may be infinite
                values = ops.cast(values, loss_dtype())
            yield not_finite(values)
