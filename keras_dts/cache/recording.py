"""Runs a teacher over the data whose records are missing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.cache.checks import (
    check_arrays,
    check_batches,
    given_sums,
    other_data,
)
from keras_dts.cache.examples import example_fields
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.records import checksum
from keras_dts.cache.sources import ArraySource, BatchSource, Source
from keras_dts.cache.structure import Array, describe, leaves
from keras_dts.cache.views import Augment, Views
from keras_dts.cache.writer import RecordWriter


class Recording:
    """Runs a teacher over data, or over the rest of them.

    Args:
        writer: Writes the records.
        source: The data.
        predictor: Runs the teacher.
        augment: The function that computes views, or `None`.
    """

    def __init__(
        self,
        writer: RecordWriter,
        source: Source,
        predictor: TeacherPredictor,
        augment: Augment | None,
    ) -> None:
        self._writer = writer
        self._source = source
        self._predictor = predictor
        metadata = writer.metadata
        self._views = Views(augment, metadata["seed"], metadata["views"])

    def run(self, batch_size: int, *, verbose: bool) -> None:
        """Writes all records that are missing.

        Args:
            batch_size: The number of examples in a batch of arrays.
            verbose: Whether to show a progress bar.

        Raises:
            ValueError: If the source has no examples, or none in the place of
                those that are damaged.
        """
        writer = self._writer
        if writer.is_complete:
            return
        bar = keras.utils.Progbar(
            self._batches_left(batch_size),
            verbose=int(verbose),
            unit_name="batch",
        )
        step = 0
        for step, (x, y, weights) in enumerate(self._rest(batch_size), 1):
            rows = np.arange(len(leaves(x)[0])) + writer.count
            rows += self._source.start
            if "examples" not in writer.metadata:
                writer.metadata["examples"] = describe((x, y, weights))
                writer.metadata["changes"] = self._changes(x, rows)
            views = self._views.all(x, rows)
            writer.append(
                given_sums(views, y, weights), self._fields(views, y, weights)
            )
            bar.update(step)
        if writer.count == 0:
            raise ValueError(
                "`data` must have at least one batch. Received: none"
            )
        if step == 0 and writer.lost:
            raise other_data(
                writer.folder,
                f"no batch after {writer.count} examples, from where on the "
                "cache is damaged",
            )
        writer.finish()

    def _fields(self, views: list[Any], y: Any, weights: Any) -> dict[str, Any]:
        """Returns the fields of a batch, by name.

        Args:
            views: The inputs, one structure of arrays for each view.
            y: The labels, or `None`.
            weights: The sample weights, or `None`.
        """
        start = self._source.start + self._writer.count
        computed = [self._predictor.predict(x, start) for x in views]
        fields = {
            name: np.stack([one[name] for one in computed], axis=1)
            for name in computed[0]
        }  # (batch, views, ...)
        if isinstance(self._source, BatchSource):
            fields |= example_fields(views, y, weights)
        return fields

    def _batches_left(self, batch_size: int) -> int | None:
        """Returns the number of batches to come, or `None` if unknown."""
        if isinstance(self._source, ArraySource):
            return -(-(self._source.count - self._writer.count) // batch_size)
        length = self._source.length
        return None if length is None else length - len(self._writer.blocks)

    def _rest(self, batch_size: int) -> Iterator[tuple[Any, Any, Any]]:
        """Yields the batches whose records are missing."""
        writer, source = self._writer, self._source
        if isinstance(source, ArraySource):
            check_arrays(writer.folder, writer.blocks, source, 0, self._views)
            yield from source.batches(batch_size, writer.count)
            return
        batches = source.batches()
        check_batches(writer.folder, writer.blocks, batches, self._views)
        yield from batches

    def _changes(self, x: Any, rows: Array) -> bool:
        """Returns whether a second reading gives other data, and warns then.

        Raises a `ValueError` if a second computation gives other views.

        Args:
            x: The inputs of the first batch.
            rows: The positions of its examples, shape `(n,)`.
        """
        first = keras.tree.map_structure(lambda leaf: leaf[:1], x)
        self._views.check(first, rows[:1])
        source = self._source
        if isinstance(source, ArraySource) or source.is_iterator:
            return False
        again, _, _ = next(source.batches())
        if checksum(leaves(again)) == checksum(leaves(x)):
            return False
        warnings.warn(
            "`data` change each time they are read: they are shuffled or "
            "augmented. The cache stores each example as it is now, in one "
            "view; `augment` and `views` make several. An interrupted run "
            "cannot be resumed.",
            stacklevel=4,
        )
        return True
