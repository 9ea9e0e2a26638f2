"""Runs a teacher once, and stores its outputs on disk."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.cache.checks import (
    check_arguments,
    check_inputs,
    check_teacher,
    other_data,
    teacher_name,
)
from keras_dts.cache.examples import example_fields
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.records import HEADER, checksum, read_header
from keras_dts.cache.shards import shard_folder, shard_folders
from keras_dts.cache.sources import ArraySource, BatchSource, Source, to_source
from keras_dts.cache.structure import Array, describe, leaves
from keras_dts.cache.teacher_cache import TeacherCache
from keras_dts.cache.views import Augment, Views
from keras_dts.cache.writer import RecordWriter


def cache_teacher(
    teacher: keras.Model,
    data: Any,
    path: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    top_k: int | None = None,
    dtype: str | None = None,
    features: Sequence[str] = (),
    teacher_inputs: Callable[[Any], Any] | None = None,
    from_logits: bool | str = "auto",
    augment: Augment | None = None,
    views: int = 1,
    seed: int = 0,
    shard: tuple[int, int] | None = None,
    verbose: bool | int = True,
) -> TeacherCache:
    """Runs a teacher once over data, and stores its outputs on disk.

    `keras_dts.Distiller.fit` takes the returned cache for `x`, and does not
    run the teacher. If `path` already holds this teacher's outputs for this
    data, they are opened; an interrupted run is resumed.

    Arrays in memory are not copied to disk: the cache reads them by position
    when it is used. Batches from another source are stored with the outputs,
    so that they can be shuffled and the source is not needed again.

    A cache stores logits. Probabilities are stored as their logarithms, and
    a distiller restores them.

    Args:
        teacher: The trained teacher.
        data: As `validation_data` of `keras.Model.fit`: arrays `x`, or a
            tuple `(x, y)` or `(x, y, sample_weight)`; or a source of such
            batches: a `tf.data.Dataset`, a `DataLoader` of PyTorch or Grain,
            a `keras.utils.PyDataset`, any iterable. For tasks of KerasHub `x`
            may be raw strings.
        path: A directory, which is made if it does not exist.
        batch_size: The number of examples of arrays for which the teacher
            runs at once, and the most that an interruption loses.
        top_k: `None` stores every class. A number stores each entry's most
            probable classes, and the probability of all other classes as one
            more, if an output has more than `top_k + 1` classes; then losses,
            `gap` and `teacher_kl` are those of these distributions.
        dtype: `"float32"`, `"float16"` or `"uint8"`: 256 steps between each
            entry's lowest and highest value, with features in float16.
            Defaults to float32, and with `top_k` to float16.
        features: The paths of the teacher's layers that feature losses read.
        teacher_inputs: As for `keras_dts.Distiller`.
        from_logits: Whether the teacher's outputs are logits, or `"auto"`; as
            for the distiller's teacher.
        augment: `None`, or a function `augment(x, rng)` that returns
            augmented inputs of one example, NumPy arrays, and draws from the
            `numpy.random.Generator` alone. The teacher runs on `views` views
            of each example, and each epoch trains the student on one of them.
        views: The number of views of each example. Epoch `e` uses view
            `(e + position) % views`.
        seed: The seed of the views.
        shard: `None`, or one part of the cache, as `(index, count)`, so that
            `count` processes can work at the same time. Of arrays, the part
            is taken; batches must already be those of the part. Returns the
            part; a call without `shard` returns the whole.
        verbose: Whether to show a progress bar.

    Returns:
        The cache, opened.

    Raises:
        ValueError: If `path` holds a cache of another teacher, of other data,
            with other arguments or of another format; if examples or outputs
            change their shapes; if `augment` does not draw from `rng` alone.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import tempfile
    >>> import keras_dts
    >>> def classifier(width):
    ...     return keras.Sequential(
    ...         [
    ...             keras.Input((8,)),
    ...             keras.layers.Dense(width, activation="relu"),
    ...             keras.layers.Dense(3),
    ...         ]
    ...     )
    >>> teacher, student = classifier(64), classifier(4)
    >>> x, y = np.ones((100, 8), "float32"), np.zeros(100, "int32")
    >>> with tempfile.TemporaryDirectory() as path:
    ...     cache = keras_dts.cache_teacher(
    ...         teacher, (x, y), path, verbose=False
    ...     )
    ...     distiller = keras_dts.Distiller(teacher, student)
    ...     distiller.compile(
    ...         "adam",
    ...         keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ...     )
    ...     history = distiller.fit(cache, batch_size=25, epochs=2, verbose=0)
    >>> len(cache), cache.bytes_per_example
    (100, 12.0)
    """
    check_arguments(top_k, dtype, augment, views)
    source = to_source(data, shard)
    path = Path(path)
    metadata: dict[str, Any] = {
        "teacher": teacher_name(teacher),
        "top_k": top_k,
        "dtype": dtype or ("float32" if top_k is None else "float16"),
        "features": list(features),
        "from_logits": from_logits,
        "views": views,
        "seed": seed,
        "in_memory": source.in_memory,
    }
    folder = shard_folder(path, shard)
    for begun in shard_folders(path):
        if (begun / HEADER).exists():
            found, _ = read_header(begun)
            check_teacher(begun, found, teacher, metadata["teacher"])
    if shard is not None or set(shard_folders(path)) <= {folder}:
        predictor = TeacherPredictor.from_metadata(
            metadata, teacher, teacher_inputs
        )
        writer = RecordWriter(folder, metadata)
        try:
            build = _Build(writer, source, predictor, augment)
            build.run(batch_size, verbose=bool(verbose))
        finally:
            writer.close()
    cache = TeacherCache(path, source, augment=augment, shard=shard)
    cache.check_metadata(metadata)
    return cache


class _Build:
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
            ValueError: If the source has no examples.
        """
        writer = self._writer
        if writer.is_complete:
            return
        bar = keras.utils.Progbar(
            self._batches_left(batch_size),
            verbose=int(verbose),
            unit_name="batch",
        )
        for step, (x, y, weights) in enumerate(self._rest(batch_size), 1):
            rows = np.arange(len(leaves(x)[0])) + writer.count
            rows += self._source.start
            if writer.count == 0:
                writer.metadata["examples"] = describe((x, y, weights))
                writer.metadata["changes"] = self._changes(x, rows)
            views = self._views.all(x, rows)
            writer.append(
                checksum(leaves(views)), self._fields(views, y, weights)
            )
            bar.update(step)
        if writer.count == 0:
            raise ValueError(
                "`data` must have at least one batch. Received: none"
            )
        writer.finish()

    def _fields(self, views: list[Any], y: Any, weights: Any) -> dict[str, Any]:
        """Returns the fields of a batch, by name.

        Args:
            views: The inputs, one structure of arrays for each view.
            y: The labels, or `None`.
            weights: The sample weights, or `None`.
        """
        computed = [self._predictor.predict(x) for x in views]
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
        return length and length - len(self._writer.blocks)

    def _rest(self, batch_size: int) -> Iterator[tuple[Any, Any, Any]]:
        """Yields the batches whose records are missing."""
        writer, source = self._writer, self._source
        if isinstance(source, ArraySource):
            check_inputs(writer.folder, writer.blocks, source, 0, self._views)
            yield from source.batches(batch_size, writer.count)
            return
        batches = source.batches()
        row = 0
        for block in writer.blocks:
            x, _, _ = next(batches, (None, None, None))
            rows = row + np.arange(block.records)
            seen = None if x is None else leaves(self._views.all(x, rows))
            if seen is None or checksum(seen) != block.source:
                raise other_data(
                    writer.folder, f"another batch after {row} examples"
                )
            row += block.records
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
