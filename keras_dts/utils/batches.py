"""The batches of examples that are read by position, as Keras takes them."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dts.utils.checks import check_count, check_part


def batch_of(x: Any, y: Any, sample_weight: Any) -> tuple[Any, ...]:
    """Returns `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Args:
        x: The inputs.
        y: The labels, or `None`, which stays where there are weights.
        sample_weight: The weights, or `None`.
    """
    batch = (x, y, sample_weight)
    return batch[: 1 + max(i for i in range(3) if batch[i] is not None)]


def default_batch_size(examples: int, steps: int | None) -> int:
    """Returns the batch size that Keras takes of arrays, if none is given.

    Args:
        examples: The number of examples.
        steps: How many batches an epoch has, or `None`.
    """
    return math.ceil(examples / steps) if steps else 32


class EpochBatches(keras.utils.PyDataset):
    """The batches of one epoch after the other, or a part of each batch.

    Batches are cut out of one order of all examples, and then into parts, so
    that they do not depend on the number of parts.

    Args:
        take: A function from the indices of examples, shape `(n,)`, and an
            epoch to a batch.
        examples: The number of examples.
        batch_size: The number of examples in a batch of all parts.
        shuffle: Whether each epoch has another order.
        seed: The seed of the orders. Defaults to one drawn from Python's
            random numbers; with `part` and `shuffle` it must be given.
        epoch: The epoch to begin with.
        part: `None`, or which part of each batch to take, as
            `(index, count)`. Sizes of parts differ by one at most.
        drop_remainder: Whether to leave out a last batch that is smaller, as
            is always done where it has fewer examples than there are parts.

    Raises:
        ValueError: If an argument is out of its range, or a batch has not an
            example for each part.
    """

    def __init__(
        self,
        take: Callable[[Any, int], tuple[Any, ...]],
        examples: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int | None = None,
        epoch: int = 0,
        part: tuple[int, int] | None = None,
        drop_remainder: bool = False,
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        check_part("part", part)
        if seed is not None:
            check_count("seed", seed, low=0)
        elif shuffle and part is not None:
            raise ValueError(
                "`seed` must be given if `part` and `shuffle` are, so that all "
                f"parts have one order. Received: seed=None, part={part}"
            )
        self._part = part or (0, 1)
        rest = _left_out(examples, batch_size, self._part, drop_remainder)
        if rest:
            warnings.warn(
                f"The last {rest} of {examples} examples of each epoch are "
                f"left out: they make no batch of {batch_size} that all parts "
                "can share.",
                stacklevel=3,
            )
        self._take = take
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed if shuffle else None
        if shuffle and seed is None:
            self._seed = random.randrange(2**63)
        self._count = -(-(examples - rest) // batch_size)
        self.begin(epoch)

    def put_in(self, options: dict[str, Any]) -> None:
        """Makes these batches the data that `fit` trains on.

        Args:
            options: The arguments of `fit` by name, which are changed.
        """
        options["x"] = self
        options["shuffle"] = False
        callbacks = keras.tree.flatten(options.get("callbacks") or [])
        options["callbacks"] = [*callbacks, _BeginEpoch(self)]

    def begin(self, epoch: int) -> None:
        """Sets the epoch, and with it the order and the views."""
        self._epoch = epoch
        self._order = np.arange(self._examples)
        if self._seed is not None:
            rng = np.random.default_rng([self._seed, epoch])
            self._order = rng.permutation(self._order)

    def __len__(self) -> int:
        """Returns the number of batches, the same for each part."""
        return self._count

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Returns this part of one batch of the epoch."""
        start = index * self._batch_size
        rows = self._order[start : start + self._batch_size]
        part, count = self._part
        size = len(rows)
        rows = rows[part * size // count : (part + 1) * size // count]
        return self._take(rows, self._epoch)


def _left_out(
    examples: int, batch_size: int, part: tuple[int, int], drop_remainder: bool
) -> int:
    """Returns how many examples of an epoch make no batch.

    Args:
        examples: The number of examples.
        batch_size: The number of examples in a batch.
        part: The part of each batch.
        drop_remainder: Whether a last batch that is smaller is left out.

    Raises:
        ValueError: If a part has no example of a batch, or there is no batch.
    """
    _, count = part
    if batch_size < count:
        raise ValueError(
            "`batch_size` is that of all parts together, and must be at least "
            f"their number. Received: batch_size={batch_size}, part={part}"
        )
    rest = examples % batch_size
    left_out = rest if rest < count or drop_remainder else 0
    if left_out == examples:
        raise ValueError(
            "`batch_size` must leave at least one batch, with an example for "
            f"each part. Received: batch_size={batch_size}, {examples} "
            f"examples, part={part}, drop_remainder={drop_remainder}"
        )
    return left_out


class _BeginEpoch(keras.callbacks.Callback):
    """Sets the epoch of batches.

    Keras calls methods of a `PyDataset` for each epoch, but also when it only
    reads the first batch to see the shapes.

    Args:
        batches: The batches.
    """

    def __init__(self, batches: EpochBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Selects the order and the views of the epoch."""
        self._batches.begin(epoch)
