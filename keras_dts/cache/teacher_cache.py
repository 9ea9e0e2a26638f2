"""A teacher's outputs on disk, opened for reading."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import keras

from keras_dts.cache.checks import (
    check_metadata,
    check_not_replicated,
    check_teacher,
    checked_rows,
)
from keras_dts.cache.examples import Examples
from keras_dts.cache.fields import FieldKind
from keras_dts.cache.fingerprint import teacher_name
from keras_dts.cache.outputs import output_indices, read_batch
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.shards import ShardedReader
from keras_dts.cache.structure import Array
from keras_dts.cache.verify import compare_some_outputs
from keras_dts.cache.views import Augment, Views
from keras_dts.utils import EpochBatches, batch_of


class TeacherCache:
    """A teacher's outputs on disk, for `keras_dts.Distiller.fit`.

    `keras_dts.cache_teacher` makes a cache; this class opens one without a
    teacher. `len(cache)` is the number of examples. Any number of processes
    can read a cache at the same time.

    Args:
        path: The directory of the cache.
        data: The arrays that the cache was made from. Not needed if the
            examples came in batches, since the cache then holds the examples.
        augment: The function that the cache was made with, if it was made
            from arrays and has several views.
        shard: `None` for the whole cache, or the part to open, as
            `(index, count)`.

    Raises:
        DamagedCacheError: If a file of the cache is not as it was written; it
            is in `keras_dts.cache`.
        ValueError: If `shard` is no part, `path` holds no complete cache or a
            cache of another format, or `data` are not the data of the cache.
            Of arrays at most 64 blocks are compared, of batches the first one:
            `compared` says how many, and `verify` compares all.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import tempfile
    >>> import keras_dts
    >>> teacher = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    >>> x, y = np.ones((100, 8), "float32"), np.zeros(100, "int32")
    >>> with tempfile.TemporaryDirectory() as path:
    ...     made = keras_dts.cache_teacher(
    ...         teacher, (x, y), path, verbose=False
    ...     )
    ...     opened = keras_dts.TeacherCache(path, (x, y))
    ...     difference = opened.verify(teacher)
    >>> len(opened), difference < 1e-4
    (100, True)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        data: Any = None,
        *,
        augment: Augment | None = None,
        shard: tuple[int, int] | None = None,
    ) -> None:
        self.path = Path(path)
        self._records = ShardedReader(self.path, shard)
        self.metadata = self._records.metadata
        views = Views(augment, self.metadata["seed"], self.metadata["views"])
        self._examples = Examples(self.path, self._records, views, shard, data)

    def __repr__(self) -> str:
        """Returns what the cache is, and what opening it compared."""
        return (
            f"TeacherCache({str(self.path)!r}, {len(self)} examples, compared "
            f"with data: {self.compared})"
        )

    @property
    def compared(self) -> str:
        """What opening the cache compared with `data`.

        A number of blocks: of each their inputs, labels and weights.
        """
        return self._examples.compared

    def __len__(self) -> int:
        """Returns the number of examples."""
        return self._records.count

    @property
    def shards(self) -> list[str]:
        """The names of the folders in `path` that are open."""
        return [reader.folder.name for reader, _ in self._records.shards]

    @property
    def bytes_per_example(self) -> float:
        """The number of bytes that an example takes on disk."""
        return self._records.size / len(self)

    def take(self, rows: Any, epoch: int = 0) -> tuple[Any, ...]:
        """Returns a batch of examples, as a `Distiller` takes it.

        Args:
            rows: The indices of the examples, whole numbers from 0, shape
                `(n,)`.
            epoch: The epoch, counted from 0, which selects the view of each
                example.

        Returns:
            `(x,)`, `(x, y)` or `(x, y, sample_weight)`, where `x` is a
            `CachedBatch` with the inputs, the teacher's outputs (as logits,
            and top-k outputs as log probabilities) and features.

        Raises:
            DamagedCacheError: If a byte of a block that is read for the first
                time has changed.
            ValueError: If a row is no index of an example.
        """
        return self._take(checked_rows(rows, len(self)), epoch)

    def _take(self, rows: Array, epoch: int) -> tuple[Any, ...]:
        """Returns a batch of examples, of which all are there."""
        numbers = (epoch + rows) % self.metadata["views"]

        def read(name: str) -> Array:
            return self._records.read(name, rows, numbers)

        x, y, weights = self._examples.take(rows, numbers)
        fields, features = self._records.fields, self.metadata["features"]
        return batch_of(read_batch(x, read, fields, features), y, weights)

    def batches(
        self,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        epoch: int = 0,
        part: tuple[int, int] | None = None,
        drop_remainder: bool = False,
    ) -> EpochBatches:
        """Returns the batches of an epoch, or a part of each one.

        `Distiller.fit(cache)` calls this method itself, on several processes
        with the part of each, and goes from one epoch to the next.

        Args:
            batch_size: The number of examples in a batch, of all parts
                together.
            shuffle: Whether each epoch has another order.
            seed: The seed of the orders. Defaults to one that follows from
                `keras.utils.set_random_seed`; with `part` and `shuffle` it
                must be given, the same for all parts.
            epoch: The epoch, counted from 0.
            part: `None`, or which part of each batch to return, as
                `(index, count)`. For every `count` batches are the same, and
                for every `index` their number. Sizes of parts differ by one
                at most. A last batch with fewer examples than parts is left
                out, with a warning.
            drop_remainder: Whether to leave out any smaller last batch.

        Raises:
            ValueError: If an argument is out of its range.
        """
        return EpochBatches(
            self._take,
            len(self),
            batch_size,
            shuffle=shuffle,
            seed=seed,
            epoch=epoch,
            part=part,
            drop_remainder=drop_remainder,
        )

    def verify(
        self,
        teacher: keras.Model,
        data: Any = None,
        samples: int = 64,
        *,
        teacher_inputs: Callable[[Any], Any] | None = None,
    ) -> float:
        """Checks every byte and the data, and some outputs of the teacher.

        Args:
            teacher: The teacher.
            data: Data that must be those of the cache: all their inputs,
                labels and weights are compared. Defaults to the arrays that
                the cache was opened with. Batches that change each time
                cannot be compared.
            samples: The number of examples, drawn at random, for which the
                teacher runs.
            teacher_inputs: The function that the cache was made with.

        Returns:
            The largest difference between stored and computed values: logits
            and features, or probabilities if the cache has `top_k`.

        Raises:
            ValueError: If the teacher or the data are not those of the cache,
                a file has changed, or an output differs; or inside of the
                scope of a TensorFlow strategy with several replicas.
        """
        check_not_replicated("verify")
        self.check_teacher(teacher)
        if data is None:
            self._examples.check_again()
        else:
            self._examples.check(data, whole=True)
        self._records.check_sums()
        predictor = TeacherPredictor.from_metadata(
            self.metadata, teacher, teacher_inputs
        )
        return compare_some_outputs(
            self._records, self._examples, predictor, samples
        )

    # Checks of what a distiller needs.

    @property
    def output_indices(self) -> range:
        """The numbers of the teacher's outputs."""
        return output_indices(self._records.fields)

    def check_metadata(self, wanted: dict[str, Any]) -> None:
        """Raises a `ValueError` unless the cache has these metadata."""
        check_metadata(self.path, self.metadata, wanted)

    def check_teacher(self, teacher: keras.Model) -> None:
        """Raises a `ValueError` if the outputs are another teacher's."""
        check_teacher(self.path, self.metadata, teacher, teacher_name(teacher))

    def check_from_logits(self, from_logits: Any) -> None:
        """Raises a `ValueError` unless the cache was made with this argument.

        Args:
            from_logits: Whether a distiller takes the teacher's outputs for
                logits, or `"auto"`.
        """
        if from_logits != self.metadata["from_logits"]:
            raise ValueError(
                "`from_logits` must be the same for the cache and the "
                "distiller's teacher. Received: "
                f"{self.metadata['from_logits']!r} for the cache and "
                f"{from_logits!r} for the teacher"
            )

    def check_features(self, paths: Iterable[str]) -> None:
        """Raises a `ValueError` unless the cache has the outputs of layers.

        Args:
            paths: The paths of the layers that losses read.
        """
        missing = sorted(set(paths) - set(self.metadata["features"]))
        if missing:
            raise ValueError(
                "`features` of the cache must name the layers that losses "
                f"read. Received: {self.metadata['features']}, without "
                f"{missing}"
            )

    def check_every_class(
        self, loss: str, outputs: Collection[int] | None
    ) -> None:
        """Raises a `ValueError` unless the cache has every class of outputs.

        Args:
            loss: The name of the loss that needs every class, for the
                message.
            outputs: The numbers of the outputs that the loss reads; `None` if
                they are unknown, as long as the models are not built. Then
                the check fails only if no output has every class.
        """
        indices, fields = self.output_indices, self._records.fields
        top_k = [i for i in indices if FieldKind.CLASSES.name_of(i) in fields]
        if outputs is None:
            outputs = top_k if len(top_k) == len(indices) else []
        if set(outputs) & set(top_k):
            raise ValueError(
                f"`top_k` of the cache must be `None` for `{loss}`, which "
                "needs every class of the teacher's outputs. Received: a "
                f"cache with top_k={self.metadata['top_k']}"
            )
