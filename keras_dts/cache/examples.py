"""The examples of a cache: arrays in memory, or records of the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_dts.cache.checks import (
    SAMPLED_BLOCKS,
    check_arrays,
    check_batches,
    other_data,
)
from keras_dts.cache.fields import EXAMPLE, FieldKind
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

    Attributes:
        compared: What was compared with `data`.

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
        self.compared = "nothing"
        if data is not None:
            source, self.compared = self.check(data, whole=False)
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

    def check(
        self, data: Any, *, whole: bool
    ) -> tuple[ArraySource | BatchSource, str]:
        """Checks that data are those of the cache.

        Args:
            data: As for `keras_dts.cache_teacher`.
            whole: Whether to compare all blocks, and not a sample of those of
                arrays or the first one of batches.

        Returns:
            The source of the data, and a description of what was compared.

        Raises:
            ValueError: If the data are not those of the cache.
        """
        steps = self._records.metadata.get("steps")
        source = to_source(data, self._shard, steps)
        if isinstance(source, BatchSource):
            if self._in_memory:
                raise other_data(self._path, "batches, where it is of arrays")
            count = self._check_batches(source, whole=whole)
        elif not self._in_memory:
            raise other_data(self._path, "arrays, where it is of batches")
        else:
            count = self._check_arrays(source, whole=whole)
        blocks = sum(len(reader.blocks) for reader, _ in self._records.shards)
        return source, f"{count} of {blocks} blocks"

    def check_again(self) -> str:
        """Compares the arrays that the cache was opened with, all of them.

        Returns:
            A description of what was compared.

        Raises:
            ValueError: If they are not those of the cache any more.
        """
        if self._source is None:
            return "nothing"
        _, compared = self.check(self._source, whole=True)
        return compared

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

    def _check_arrays(self, source: ArraySource, *, whole: bool) -> int:
        """Returns the number of blocks that were compared."""
        count = self._records.count
        if source.count != count:
            raise other_data(
                self._path, f"{source.count} examples, where it has {count}"
            )
        shards = self._records.shards
        most = None if whole else -(-SAMPLED_BLOCKS // len(shards))
        return sum(
            check_arrays(
                reader.folder, reader.blocks, source, start, self._views, most
            )
            for reader, start in shards
        )

    def _check_batches(self, source: BatchSource, *, whole: bool) -> int:
        """Returns the number of blocks that were compared."""
        if self._records.metadata["changes"]:
            return 0
        if source.is_iterator and not whole:
            return 0
        batches = source.batches()
        shards = self._records.shards
        chosen = [(r, r.blocks) for r, _ in shards]
        if not whole:
            chosen = [(shards[0][0], shards[0][0].blocks[:1])]
        for reader, blocks in chosen:
            check_batches(reader.folder, blocks, batches, self._views)
        if whole and next(batches, None) is not None:
            raise other_data(self._path, "more batches")
        return sum(len(blocks) for _, blocks in chosen)


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
