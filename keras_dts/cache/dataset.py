"""The batches of a cache, as Keras takes them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.utils import require


class CachedBatches(keras.utils.PyDataset):
    """The batches of one epoch after the other.

    Args:
        take: A function from the indices of examples, shape `(n,)`, and an
            epoch to a batch.
        examples: The number of examples.
        batch_size: The number of examples in a batch.
        shuffle: Whether each epoch has another order, seeded by
            `keras.utils.set_random_seed`.
        epoch: The epoch to begin with.
    """

    def __init__(
        self,
        take: Callable[[Any, int], tuple[Any, ...]],
        examples: int,
        batch_size: int,
        *,
        shuffle: bool,
        epoch: int,
    ) -> None:
        super().__init__()
        self._take = take
        self._examples = examples
        self._batch_size = batch_size
        self._seed = random.randrange(2**63) if shuffle else None
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        """Sets the epoch, and with it the order and the views."""
        self._epoch = epoch
        self._order = np.arange(self._examples)
        if self._seed is not None:
            rng = np.random.default_rng([self._seed, epoch])
            self._order = rng.permutation(self._order)

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-self._examples // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Returns one batch of the epoch."""
        start = index * self._batch_size
        rows = self._order[start : start + self._batch_size]
        return self._take(rows, self._epoch)


def to_tf_dataset(batches: CachedBatches) -> Any:
    """Returns batches of raw strings as a `tf.data.Dataset`.

    The input pipeline tokenizes the strings of such a data set.

    Args:
        batches: The batches. Each iteration over the data set reads them for
            the epoch that was set last.
    """
    (tf,) = require("text", "Raw strings in a cache", "tensorflow")

    def generate() -> Iterator[Any]:
        yield from (batches[i] for i in range(len(batches)))

    specs = keras.tree.map_structure(
        lambda leaf: tf.TensorSpec(
            (None, *leaf.shape[1:]),
            tf.string if leaf.dtype.kind == "O" else leaf.dtype,
        ),
        batches[0],
    )
    data = tf.data.Dataset.from_generator(generate, output_signature=specs)
    return data.apply(tf.data.experimental.assert_cardinality(len(batches)))
