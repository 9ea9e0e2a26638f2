"""The batches of a cache, as Keras takes them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


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
