"""Where the examples of a cache come from: arrays in memory, or batches."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.cache.structure import (
    Array,
    has_strings,
    leaves,
    map_leaves,
)
from keras_dts.hub import as_array, check_strings


class ArraySource:
    """Examples in memory, which can be read in any order.

    Args:
        data: `x`, or a tuple `(x, y)` or `(x, y, sample_weight)`; each an
            array or a list, or a tuple or dictionary of such.
        shard: `None`, or the part of the examples to use, as
            `(index, count)`.

    Raises:
        ValueError: If there are no examples, or lengths differ.
    """

    in_memory = True

    def __init__(self, data: Any, shard: tuple[int, int] | None = None) -> None:
        arrays = _unpacked(data)
        lengths = {len(leaf) for leaf in leaves(arrays)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                "`data` must hold arrays of one length, at least 1. Received: "
                f"lengths {sorted(lengths)}"
            )
        (total,) = lengths
        index, count = shard or (0, 1)
        if count > total:
            raise ValueError(
                "`shard` must leave at least one example to each part. "
                f"Received: shard={shard!r} of {total} examples"
            )
        self.start = index * total // count
        self.count = (index + 1) * total // count - self.start
        self._arrays = map_leaves(
            lambda leaf: leaf[self.start : self.start + self.count], arrays
        )

    def take(self, rows: Any) -> tuple[Any, Any, Any]:
        """Returns inputs, labels and sample weights of some examples.

        Args:
            rows: The indices of the examples, shape `(n,)`, or a slice.
        """
        x, y, weights = map_leaves(lambda leaf: leaf[rows], self._arrays)
        return x, y, weights

    def batches(
        self, size: int, start: int = 0
    ) -> Iterator[tuple[Any, Any, Any]]:
        """Yields inputs, labels and sample weights, batch by batch.

        Args:
            size: The number of examples in a batch.
            start: The index of the first example.
        """
        for first in range(start, self.count, size):
            yield self.take(slice(first, first + size))


class BatchSource:
    """Batches that come one after the other.

    Args:
        data: A `tf.data.Dataset`, a `DataLoader` of PyTorch or of Grain, a
            `keras.utils.PyDataset`, or any iterable, of `x`, `(x, y)` or
            `(x, y, sample_weight)`.
        steps: `None`, or how many batches to take.

    Raises:
        ValueError: If `data` is not iterable, or endless without `steps`.
    """

    in_memory = False
    start = 0

    def __init__(self, data: Any, steps: int | None = None) -> None:
        self._data = data
        self._steps = steps
        indexed = isinstance(data, keras.utils.PyDataset)
        batches = hasattr(data, "__iter__")
        if not indexed and (not batches or isinstance(data, (str, bytes))):
            raise ValueError(
                "`data` must be arrays, or yield batches. "
                f"Received: {data!r} of type {type(data).__name__}"
            )
        # Whether the batches cannot be read a second time.
        self.is_iterator = not indexed and iter(data) is data
        length = _length_of(data)
        if length == math.inf and steps is None:
            raise ValueError(
                "`data` must end, or `steps` must say how many batches to "
                f"take. Received: endless data of type {type(data).__name__}, "
                "and steps=None"
            )
        # The number of batches, or `None` if it is unknown.
        self.length = steps if steps or length is None else int(length)

    def batches(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yields inputs, labels and sample weights as NumPy arrays.

        Raises:
            ValueError: If the data end before `steps`.
        """
        data = self._data
        if isinstance(data, keras.utils.PyDataset):
            batches = map(data.__getitem__, _indices(data))
        else:
            batches = iter(data)
        taken = 0
        for batch in itertools.islice(batches, self._steps):
            taken += 1
            yield _unpacked(tuple(batch) if isinstance(batch, list) else batch)
        if self._steps is not None and taken < self._steps:
            raise ValueError(
                "`data` must have at least as many batches as `steps`. "
                f"Received: {taken} batches, and steps={self._steps}"
            )


Source = ArraySource | BatchSource


def to_source(
    data: Any, shard: tuple[int, int] | None, steps: int | None = None
) -> Source:
    """Returns the source of a cache's examples.

    Args:
        data: As for `keras_dts.cache_teacher`, or a source.
        shard: `None`, or the part of arrays to use, as `(index, count)`.
        steps: `None`, or how many batches to take.

    Raises:
        ValueError: If `data` are neither arrays nor batches, if batches are
            endless without `steps`, or `steps` are given of arrays.
    """
    if isinstance(data, (ArraySource, BatchSource)):
        return data
    if isinstance(data, list) and data and _is_batch(data[0]):
        raise ValueError(
            "`data` must be arrays, or yield batches, as `iter(batches)` does. "
            f"Received: a list that holds a {type(data[0]).__name__} of arrays"
        )
    in_memory = isinstance(data, (tuple, list, dict)) or (
        hasattr(data, "shape") and hasattr(data, "__getitem__")
    )
    if not in_memory:
        return BatchSource(data, steps)
    if steps is not None:
        raise ValueError(
            "`steps` must be `None` if `data` are arrays, of which a part can "
            f"be given. Received: steps={steps!r}"
        )
    return ArraySource(data, shard)


def _length_of(batches: Any) -> float | None:
    """Returns the number of batches, infinity, or `None` if it is unknown."""
    if isinstance(batches, keras.utils.PyDataset):
        count = batches.num_batches
        return math.inf if count is None else int(count)
    if hasattr(batches, "cardinality"):  # of `tf.data`, which has two signs
        count = int(batches.cardinality())
        return {-1: math.inf, -2: None}.get(count, count)
    try:
        length = len(batches)
    except TypeError:
        return None
    # What Grain says of data that it repeats for ever.
    return math.inf if length >= sys.maxsize else length


def _indices(batches: keras.utils.PyDataset) -> Iterator[int]:
    count = batches.num_batches
    return itertools.count() if count is None else iter(range(count))


def _is_batch(value: Any) -> bool:
    """Returns whether a value is a tuple or a dictionary of arrays."""
    return isinstance(value, (tuple, dict)) and any(
        hasattr(leaf, "shape") for leaf in keras.tree.flatten(value)
    )


def _unpacked(data: Any) -> tuple[Any, Any, Any]:
    """Returns inputs, labels and sample weights as NumPy arrays."""
    data = data if isinstance(data, tuple) else (data,)
    if len(data) not in (1, 2, 3):
        raise ValueError(
            "`data` must be `(x,)`, `(x, y)` or `(x, y, sample_weight)`. "
            f"Received: a tuple of {len(data)}"
        )
    arrays = _to_arrays(keras.utils.unpack_x_y_sample_weight(data))
    strings = (leaf for leaf in leaves(arrays[0]) if has_strings(leaf))
    check_strings(tuple(strings))
    x, y, weights = map_leaves(_standardized, arrays)
    return x, y, weights


def _to_arrays(data: Any) -> Any:
    """Converts the leaves of a structure to NumPy arrays."""
    if isinstance(data, dict):
        return {key: _to_arrays(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(_to_arrays(value) for value in data)
    if isinstance(data, list) and data and hasattr(data[0], "shape"):
        return [_to_arrays(value) for value in data]
    if isinstance(data, np.ndarray) and data.dtype.kind not in "USO":
        return data  # not copied, since it may be a map of a large file
    return data if data is None else as_array(data)


def _standardized(array: Array) -> Array:
    """Decodes strings, and casts float64 to Keras's `floatx`.

    Numbers get the byte order of the machine.
    """
    if array.dtype.kind == "O":
        texts = [t.decode() if isinstance(t, bytes) else t for t in array]
        return np.array(texts, dtype=object)
    if array.dtype == np.float64:
        return array.astype(keras.config.floatx())
    if not array.dtype.isnative:
        return array.astype(array.dtype.newbyteorder("="))
    return array
