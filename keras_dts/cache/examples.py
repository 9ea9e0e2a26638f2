"""The examples of a cache: arrays in memory, or records of the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_dts.cache.checks import check_inputs, other_data
from keras_dts.cache.fields import EXAMPLE, FieldKind
from keras_dts.cache.records import checksum
from keras_dts.cache.shards import ShardedReader
from keras_dts.cache.sources import ArraySource, BatchSource, to_source
from keras_dts.cache.structure import Array, has_strings, leaves, rebuild
from keras_dts.cache.views import Views


class Examples:
    """Inputs, labels and weights of the examples of a cache.

    Args:
        path: The directory of the cache, for messages.
        records: The records of the cache.
        views: The views of the examples.
        shard: `None`, or the part of the cache, as `(index, count)`.
        data: `None`, or the data that the cache was made from.

    Raises:
        ValueError: If the cache was made from arrays and `data`, or the
            function that computes the views, is missing; or if `data` are
            not the data of the cache.
    """

    def __init__(
        self,
        path: Path,
        records: ShardedReader,
        views: Views,
        shard: tuple[int, int] | None,
        data: Any,
    ) -> None:
        self._path = path
        self._records = records
        self._views = views
        self._shard = shard
        self._in_memory = records.metadata["in_memory"]
        if self._in_memory:
            self._check_given(data)
        self._source: ArraySource | None = None
        if data is not None:
            source = self.check(data)
            # Batches are not needed again: the records hold their examples.
            self._source = source if isinstance(source, ArraySource) else None

    def take(self, rows: Array, numbers: Array) -> tuple[Any, Any, Any]:
        """Returns inputs, labels and sample weights, `None` where missing.

        Args:
            rows: The indices of the examples, shape `(n,)`.
            numbers: The view of each example, shape `(n,)`.
        """
        if self._source is not None:
            x, y, weights = self._source.take(rows)
            places = self._source.start + rows
            return self._views.of(x, places, numbers), y, weights
        records = self._records
        stored = (
            records.read(name, rows, numbers if kind.has_views else None)
            for kind in EXAMPLE
            for name in kind.names_in(records.fields)
        )
        x, y, weights = rebuild(records.metadata["examples"], stored)
        return x, y, weights

    def check(self, data: Any) -> ArraySource | BatchSource:
        """Checks that data are those of the cache, and returns their source.

        Of many examples in memory a sample is compared, of batches the first
        one.

        Args:
            data: As for `keras_dts.cache_teacher`.

        Raises:
            ValueError: If the data are not those of the cache.
        """
        source = to_source(data, self._shard)
        if isinstance(source, BatchSource):
            if self._in_memory:
                raise other_data(self._path, "batches, where it is of arrays")
            self._check_first_batch(source)
        elif not self._in_memory:
            raise other_data(self._path, "arrays, where it is of batches")
        else:
            self._check_arrays(source)
        return source

    def _check_given(self, data: Any) -> None:
        if data is None:
            raise ValueError(
                "`data` must be the arrays that the cache was made from, "
                "since it does not hold them. Received: data=None"
            )
        if self._views.are_missing:
            raise ValueError(
                "`augment` must be the function that the cache was made with, "
                f"since it has {self._views.count} views of each example. "
                "Received: augment=None"
            )

    def _check_arrays(self, source: ArraySource) -> None:
        count = self._records.count
        if source.count != count:
            raise other_data(
                self._path, f"{source.count} examples, where it has {count}"
            )
        for reader, start in self._records.shards:
            check_inputs(
                reader.folder, reader.blocks, source, start, self._views
            )

    def _check_first_batch(self, source: BatchSource) -> None:
        if source.is_iterator or self._records.metadata["changes"]:
            return
        x, _, _ = next(source.batches(), (None, None, None))
        reader, _ = self._records.shards[0]
        block = reader.blocks[0]
        rows = np.arange(block.records)
        if x is None or block.source != checksum(
            leaves(self._views.all(x, rows))
        ):
            raise other_data(self._path, "another first batch")


def example_fields(views: list[Any], y: Any, weights: Any) -> dict[str, Array]:
    """Returns the fields of the examples of a batch, by name.

    Args:
        views: The inputs, one structure of arrays for each view.
        y: The labels, or `None`.
        weights: The sample weights, or `None`.

    Raises:
        ValueError: If there are several views of strings.
    """
    columns = [leaves(x) for x in views]
    fields = {}
    for i, column in enumerate(zip(*columns, strict=True)):
        is_text = has_strings(column[0])
        if is_text and len(column) > 1:
            raise ValueError(
                "`data` must be in memory if `augment` makes several views of "
                "strings. Received: batches of strings"
            )
        name = FieldKind.INPUT.name_of(i)
        fields[name] = column[0] if is_text else np.stack(column, axis=1)
    for kind, part in zip(EXAMPLE[1:], (y, weights), strict=True):
        fields |= {kind.name_of(i): leaf for i, leaf in enumerate(leaves(part))}
    return fields
