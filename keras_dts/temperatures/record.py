"""The last two batches of a training, until the reward of one is known."""

from __future__ import annotations

import keras
from keras import ops

from keras_dts.temperatures.base import add_scalar
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


class Record(keras.layers.Layer):
    """Holds a batch until the one after it says what it was worth.

    Args:
        examples: The number of rows of a batch.
        columns: The number of columns of a row.

    Attributes:
        last: The rows of the last batch, shape `(examples, columns)`.
        before: Those of the batch before it.
        quality: How good the student was in the last batch.
        gain: By how much better than in the batch before it.
    """

    def __init__(self, examples: int, columns: int) -> None:
        super().__init__(name="record", dtype=loss_dtype(), autocast=False)
        self.last, self.before = (
            self.add_weight(
                name=name,
                shape=(examples, columns),
                initializer="zeros",
                trainable=False,
            )
            for name in ("last", "before")
        )
        self.quality = add_scalar(self, "quality", 0.0)
        self.gain = add_scalar(self, "gain", 0.0)
        # How many batches have come, up to 2.
        self.count = add_scalar(self, "count", 0.0)
        self.built = True

    @property
    def is_rewarded(self) -> Tensor:
        """Whether `gain` is what `before` was worth, a bool scalar."""
        return ops.greater(self.count.value, 1.5)

    def forget(self) -> None:
        """Drops the batches: what comes later is not their reward."""
        self.count.assign(0.0)

    def add(
        self, rows: Tensor, quality: Tensor, known: Tensor, counts: Tensor
    ) -> None:
        """Takes a batch.

        Args:
            rows: Its rows, shape `(examples, columns)`.
            quality: How good the student is in it, a scalar.
            known: Whether it says so, a bool scalar; if not, nothing changed.
            counts: 1.0, or 0.0 for a batch that nothing is learned from.
        """
        quality = ops.where(known, quality, self.quality.value)
        self.gain.assign(quality - self.quality.value)
        self.quality.assign(quality)
        self.before.assign(self.last.value)
        self.last.assign(rows * counts)
        self.count.assign(ops.minimum(self.count.value + 1.0, 2.0) * counts)
