"""Where a cache's examples come from: arrays in memory, or batches."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.cache.records import Array, checksum
from keras_dts.text import as_array, check_strings

# From one example's `x` and a generator to draw from, to another `x`.
Augment = Callable[[Any, np.random.Generator], Any]


class Arrays:
    """Examples in memory, which can be taken in any order.

    Args:
        data: `x`, or a tuple `(x, y)` or `(x, y, sample_weight)`; each an
            array or a list, or a tuple or dictionary of such.
        part: Which of how many parts to keep, as `(index, count)`.

    Raises:
        ValueError: If there are no examples, or lengths differ.
    """

    def __init__(self, data: Any, part: tuple[int, int] = (0, 1)) -> None:
        arrays = _unpacked(data)
        lengths = {len(leaf) for leaf in leaves(arrays)}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError(
                "`data` must hold arrays of equal lengths, of one example at "
                f"least. Received: lengths {sorted(lengths)}"
            )
        (total,) = lengths
        index, count = part
        self.start = index * total // count
        self.count = (index + 1) * total // count - self.start
        self._arrays = _mapped(
            lambda leaf: leaf[self.start : self.start + self.count], arrays
        )

    def take(self, rows: Any) -> tuple[Any, Any, Any]:
        """Returns `x`, `y` and the sample weights of some examples."""
        x, y, weights = _mapped(lambda leaf: leaf[rows], self._arrays)
        return x, y, weights

    def batches(
        self, size: int, start: int = 0
    ) -> Iterator[tuple[Any, Any, Any]]:
        """Yields `x`, `y` and the sample weights, batch by batch."""
        for first in range(start, self.count, size):
            yield self.take(slice(first, first + size))


class Stream:
    """Batches that come one after the other, as they are.

    Args:
        data: What gives them: a `tf.data.Dataset`, a `DataLoader` of PyTorch
            or of Grain, a `keras.utils.PyDataset`, or any iterable, of `x`,
            `(x, y)` or `(x, y, sample_weight)`.
    """

    def __init__(self, data: Any) -> None:
        self.start = 0
        self._data = data
        pages = isinstance(data, keras.utils.PyDataset)
        if not pages and not hasattr(data, "__iter__"):
            raise ValueError(
                "`data` must be arrays, or give batches one after the other. "
                f"Received: {data!r} of type {type(data).__name__}"
            )
        self.comes_once = not pages and iter(data) is data

    @property
    def length(self) -> int | None:
        """The number of batches, if it is known."""
        try:
            return len(self._data)
        except TypeError:
            return None

    def batches(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yields `x`, `y` and the sample weights, as NumPy arrays."""
        pages = self._data
        if isinstance(pages, keras.utils.PyDataset):
            batches = map(pages.__getitem__, range(len(pages)))
        else:
            batches = iter(pages)
        for batch in batches:
            yield _unpacked(tuple(batch) if isinstance(batch, list) else batch)


class Views:
    """The views of examples that the models are shown.

    Which view of an example it is depends on nothing but the arguments here,
    the example's position and the view's number, so that it can be made
    again.

    Args:
        augment: What makes a view of one example, or `None`, where every
            view is the example itself.
        seed: A number for all of them.
        count: How many views each example has.
    """

    def __init__(self, augment: Augment | None, seed: int, count: int) -> None:
        self._augment = augment
        self._seed = seed
        self.count = count

    @property
    def are_missing(self) -> bool:
        """Whether there is nothing to make several views with."""
        return self._augment is None and self.count > 1

    def of(self, x: Any, rows: Array, numbers: Array) -> Any:
        """Returns one view of each example.

        Args:
            x: The examples' inputs, arrays of shape `(n, ...)`.
            rows: The examples' positions, shape `(n,)`.
            numbers: Which views, shape `(n,)`.
        """
        if self._augment is None:
            return x
        made = [
            self._augment(
                _mapped(operator.itemgetter(i), x),
                np.random.default_rng([self._seed, int(row), int(number)]),
            )
            for i, (row, number) in enumerate(zip(rows, numbers, strict=True))
        ]
        columns = zip(
            *(leaves(_mapped(np.asarray, one)) for one in made), strict=True
        )
        return rebuild(describe(made[0]), map(_stacked, columns))

    def all(self, x: Any, rows: Array) -> list[Any]:
        """Returns every view of the examples."""
        return [
            self.of(x, rows, np.full(len(rows), number))
            for number in range(self.count)
        ]

    def check(self, x: Any, rows: Array) -> None:
        """Raises a `ValueError` unless views can be made again."""
        once, again = (checksum(leaves(self.all(x, rows))) for _ in range(2))
        if once != again:
            raise ValueError(
                "`augment` must draw from its second argument alone, so that "
                "the student sees what the teacher saw. Received: a function "
                "that makes another view of the same example from an equal "
                "generator"
            )


def read_source(data: Any, part: tuple[int, int] | None) -> Arrays | Stream:
    """Returns where data come from.

    Args:
        data: As for `keras_dts.cache_teacher`, or what this returned.
        part: `None`, or which of how many parts of arrays to keep.
    """
    if isinstance(data, (Arrays, Stream)):
        return data
    in_memory = isinstance(data, (tuple, list, dict)) or (
        hasattr(data, "shape") and hasattr(data, "__getitem__")
    )
    return Arrays(data, part or (0, 1)) if in_memory else Stream(data)


def leaves(data: Any) -> list[Array]:
    """Lists the arrays in a structure; `None` is none of them."""
    return [leaf for leaf in keras.tree.flatten(data) if leaf is not None]


def has_texts(data: Any) -> bool:
    """Says whether there are texts among the arrays in a structure."""
    return any(leaf.dtype.kind == "O" for leaf in leaves(data))


def describe(data: Any) -> Any:
    """Describes a structure of arrays, for JSON."""
    if isinstance(data, dict):
        # In the order of `leaves`.
        return {"dict": [[k, describe(data[k])] for k in sorted(data)]}
    if isinstance(data, (tuple, list)):
        kind = "tuple" if isinstance(data, tuple) else "list"
        return {kind: [describe(value) for value in data]}
    return None if data is None else "array"


def rebuild(description: Any, arrays: Iterator[Array]) -> Any:
    """Makes the structure that `describe` described."""
    if isinstance(description, dict):
        ((kind, parts),) = description.items()
        if kind == "dict":
            return {key: rebuild(part, arrays) for key, part in parts}
        values = [rebuild(part, arrays) for part in parts]
        return tuple(values) if kind == "tuple" else values
    return None if description is None else next(arrays)


def _stacked(values: tuple[Array, ...]) -> Array:
    if values[0].dtype.kind in "UO":
        return np.array([str(text) for text in values], dtype=object)
    return np.stack(values)


def _unpacked(data: Any) -> tuple[Any, Any, Any]:
    """Returns `x`, `y` and the sample weights as NumPy arrays."""
    data = data if isinstance(data, tuple) else (data,)
    arrays = _arrays(keras.utils.unpack_x_y_sample_weight(data))
    texts = (leaf for leaf in leaves(arrays[0]) if has_texts(leaf))
    check_strings(tuple(texts))
    x, y, weights = _mapped(_as_usual, arrays)
    return x, y, weights


def _arrays(data: Any) -> Any:
    """Makes arrays of what a structure holds."""
    if isinstance(data, dict):
        return {key: _arrays(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(_arrays(value) for value in data)
    if isinstance(data, list) and data and hasattr(data[0], "shape"):
        return [_arrays(value) for value in data]
    if isinstance(data, np.ndarray) and data.dtype.kind not in "USO":
        return data  # not copied: it may be a map of a large file
    return data if data is None else as_array(data)


def _as_usual(array: Array) -> Array:
    """Decodes texts, and gives floats that are too wide Keras's width."""
    if array.dtype.kind == "O":
        texts = [t.decode() if isinstance(t, bytes) else t for t in array]
        return np.array(texts, dtype=object)
    if array.dtype == np.float64:
        return array.astype(keras.config.floatx())
    return array


def _mapped(function: Callable[[Any], Any], data: Any) -> Any:
    """Maps the arrays in a structure; `None` stays."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else function(leaf), data
    )
