"""A teacher's answers on disk, opened."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.cache.predictor import Teacher
from keras_dts.cache.quantization import ends_of, unpack
from keras_dts.cache.records import Array, Block, Reader, check_about, checksum
from keras_dts.cache.sources import (
    Arrays,
    Augment,
    Stream,
    Views,
    has_texts,
    leaves,
    read_source,
    rebuild,
)
from keras_dts.types import CachedBatch
from keras_dts.utils import fingerprint

# The parts of an example, as their fields are named.
ROLES = ("x", "y", "weight")

# Blocks of a complete cache whose inputs are compared with the data given.
_SAMPLED_BLOCKS = 64

# How far answers may lie apart, for those of size 1 at most: batches of other
# sizes round otherwise, float16 has 11 bits, and a step of 8 bits may be a
# 255th of a wide range.
_TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "uint8": 5e-2}


class TeacherCache:
    """A teacher's answers, for `keras_dts.Distiller.fit`.

    `keras_dts.cache_teacher` makes one, and this opens one without a teacher.
    `len(cache)` is the number of examples. Any number of processes can read
    one at the same time.

    Args:
        path: The directory.
        data: The arrays that the answers are to; not needed where the
            examples came in batches, since these are in the cache.
        augment: The function that the cache was made with, where it is of
            arrays and has views.
        shard: `None`, or which part to open, as `(index, count)`.

    Raises:
        ValueError: If there is no cache, it is not complete, files of it have
            been changed, or the data are not those of the cache.

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
        self._shard = shard
        folders = [folder_of(self.path, shard)]
        if shard is None:
            folders = folders_in(self.path) or folders
            _check_all_there(self.path, folders)
        self._parts = [Reader(folder) for folder in folders]
        self.about = self._parts[0].about
        for part in self._parts[1:]:
            check_about(part.folder, part.about, self.about)
        self._fields = {field.name: field for field in self._parts[0].fields}
        # Where each part begins, and the last one ends.
        self._starts = np.cumsum([0, *(part.count for part in self._parts)])
        self._views = Views(augment, self.about["seed"], self.about["views"])
        if self.about["in_memory"] and data is None:
            raise ValueError(
                "`data` must be the arrays that the cache is of; they are not "
                "in it. Received: data=None"
            )
        if self.about["in_memory"] and self._views.are_missing:
            raise ValueError(
                "`augment` must be the function that the cache was made with, "
                f"since it has {self._views.count} views of each example. "
                "Received: augment=None"
            )
        self._source: Arrays | None = None
        if data is not None:
            self._source = self._checked(data)

    def _checked(self, data: Any) -> Arrays | None:
        """Raises unless data are those of the cache; returns arrays."""
        source = read_source(data, self._shard)
        in_memory = self.about["in_memory"]
        if isinstance(source, Stream):
            if in_memory:
                raise other_data(self.path, "batches, where it is of arrays")
            self._check_stream(source)
            return None
        if not in_memory:
            raise other_data(self.path, "arrays, where it is of batches")
        if source.count != len(self):
            raise other_data(
                self.path, f"{source.count} examples, where it has {len(self)}"
            )
        for part, start in zip(self._parts, self._starts[:-1], strict=True):
            check_inputs(part.folder, part.blocks, source, start, self._views)
        return source

    def check_about(self, about: dict[str, Any]) -> None:
        """Raises a `ValueError` unless the cache is about that."""
        check_about(self.path, self.about, about)

    def __len__(self) -> int:
        """Returns the number of examples."""
        return int(self._starts[-1])

    @property
    def bytes_per_example(self) -> float:
        """How many bytes an example takes on disk."""
        return sum(part.size for part in self._parts) / len(self)

    def take(self, rows: Any, epoch: int = 0) -> tuple[Any, ...]:
        """Returns a batch as a `Distiller` takes it.

        Args:
            rows: Which examples, integers, shape `(n,)`.
            epoch: Which epoch it is for, where there are several views.

        Returns:
            `(x,)`, `(x, y)` or `(x, y, sample_weight)`, where `x` holds the
            inputs and the teacher's answers.
        """
        rows = np.asarray(rows, dtype=np.int64)
        number = (epoch + rows) % self.about["views"]
        x, y, weights = self._examples(rows, number)
        outputs: list[Array] = []
        classes, features = {}, {}
        while (name := f"output_{len(outputs)}") in self._fields:
            coarse = f"classes_{len(outputs)}"
            if coarse in self._fields:
                found = self._read(coarse, rows, number)
                classes[str(len(outputs))] = found.astype(np.int32)
            outputs.append(self._output(name, rows, number))
        for index, layer in enumerate(self.about["features"]):
            features[layer] = self._read(f"feature_{index}", rows, number)
        x = CachedBatch(x, tuple(outputs), classes, features)
        batch = (x, y, weights)
        return batch[: 1 + max(i for i in range(3) if batch[i] is not None)]

    def verify(
        self,
        teacher: keras.Model,
        data: Any = None,
        samples: int = 64,
        *,
        teacher_inputs: Callable[[Any], Any] | None = None,
    ) -> float:
        """Compares the cache with a teacher: every byte, and some answers.

        Args:
            teacher: The teacher.
            data: `None`, or data that must be those of the cache.
            samples: How many examples to ask the teacher about.
            teacher_inputs: The function that the cache was made with.

        Returns:
            The largest difference between an answer in the cache and the
            teacher's, as probabilities where the cache is coarse.

        Raises:
            ValueError: If the teacher or the data are others, if a file was
                changed, or if an answer differs.
        """
        self.check_teacher(teacher)
        if data is not None:
            self._checked(data)
        for part in self._parts:
            part.check_sums()
        asked = Teacher.of(self.about, teacher, teacher_inputs)
        rows = np.random.default_rng().choice(
            len(self), min(samples, len(self)), replace=False
        )
        number = np.zeros_like(rows)
        answers = asked.answer(self._examples(rows, number)[0])
        tolerance = _TOLERANCE[self.about["dtype"]]
        worst = 0.0
        for name, values in answers.items():
            # Equal logits may come in another order.
            if name.startswith("classes") or name.endswith("_ends"):
                continue
            kept = self._output(name, rows, number).astype("float32")
            if (ends := ends_of(name)) in answers:
                values = unpack(values, answers[ends])
            values = values.astype("float32")
            if name.replace("output", "classes") in answers:
                kept, values = np.exp(kept), np.exp(values)
            apart = np.abs(kept - values)
            apart = apart.reshape(len(rows), -1).max(axis=1)
            scale = np.maximum(np.abs(values).reshape(len(rows), -1), 1).max(1)
            wrong = int(np.argmax(apart / scale))
            if apart[wrong] > tolerance * scale[wrong]:
                raise ValueError(
                    "`teacher` must give the answers that are in the cache. "
                    f"Received: another {name} to example {rows[wrong]}, "
                    f"{apart[wrong]:.3g} away"
                )
            worst = max(worst, float(apart.max()))
        return worst

    def check_teacher(self, teacher: keras.Model) -> None:
        """Raises a `ValueError` if the answers are another teacher's."""
        check_teacher(self.path, self.about, teacher, teacher_name(teacher))

    def check_answers(
        self, features: list[str], from_logits: Any, *, outputs: bool
    ) -> None:
        """Raises a `ValueError` unless the cache has what losses ask for.

        Args:
            features: The paths of the layers they read.
            from_logits: How the outputs are to be read.
            outputs: Whether a loss reads them as the teacher gives them.
        """
        missing = sorted(set(features) - set(self.about["features"]))
        if missing:
            raise ValueError(
                "`features` of the cache must hold the layers that losses "
                f"read. Received: {self.about['features']}, without {missing}"
            )
        if from_logits != self.about["from_logits"]:
            raise ValueError(
                "`from_logits` must be the same for the cache and the "
                "distiller's teacher. Received: "
                f"{self.about['from_logits']!r} for the cache and "
                f"{from_logits!r} for the teacher"
            )
        if outputs and self.about["dtype"] != "float32":
            raise ValueError(
                "`dtype` of the cache must be 'float32', and `top_k` `None`, "
                "for a loss that reads the outputs as the teacher gives them. "
                f"Received: dtype={self.about['dtype']!r}, "
                f"top_k={self.about['top_k']}"
            )

    def batches(
        self, batch_size: int = 32, *, shuffle: bool = False, epoch: int = 0
    ) -> CachedBatches:
        """Returns an epoch's batches.

        `Distiller.fit(cache)` asks for them itself, for one epoch after the
        other.

        Args:
            batch_size: How many examples make a batch.
            shuffle: Whether each epoch has another order, seeded by
                `keras.utils.set_random_seed`.
            epoch: Which epoch.
        """
        return CachedBatches(self, batch_size, shuffle, epoch)

    @property
    def holds_texts(self) -> bool:
        """Whether the inputs are raw strings."""
        one, zero = np.zeros(1, np.int64), np.zeros(1, np.int64)
        x, _, _ = self._examples(one, zero)
        return has_texts(x)

    def _examples(self, rows: Array, number: Array) -> tuple[Any, Any, Any]:
        """Returns inputs, labels and weights; `number` says which views."""
        if self._source is not None:
            x, y, weights = self._source.take(rows)
            places = self._source.start + rows
            return self._views.of(x, places, number), y, weights
        kept = (
            leaf for role in ROLES for leaf in self._leaves(role, rows, number)
        )
        x, y, weights = rebuild(self.about["examples"], kept)
        return x, y, weights

    def _leaves(self, role: str, rows: Array, number: Array) -> Iterator[Array]:
        index = 0
        while (name := f"{role}_{index}") in self._fields:
            yield self._read(name, rows, number if role == "x" else None)
            index += 1

    def _output(self, name: str, rows: Array, number: Array) -> Array:
        """Returns an output, or a feature, unpacked if it is in eight bits."""
        values = self._read(name, rows, number)
        if (ends := ends_of(name)) in self._fields:
            return unpack(values, self._read(ends, rows, number))
        return values

    def _read(self, name: str, rows: Array, number: Array | None) -> Array:
        """Returns a field of some examples, whichever parts they are in."""
        field = self._fields[name]
        if field.is_text:
            number = None
        where = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(where, kind="stable")
        found = [
            self._parts[part].read(
                field,
                rows[where == part] - self._starts[part],
                None if number is None else number[where == part],
            )
            for part in np.unique(where)
        ]
        if len(found) == 1:
            return found[0]
        whole = np.concatenate(found)
        values = np.empty_like(whole)
        values[order] = whole
        return values

    def _check_stream(self, source: Stream) -> None:
        """Raises unless a stream begins as the cache does."""
        if source.comes_once or self.about["changes"]:
            return
        x, _, _ = next(source.batches(), (None, None, None))
        block = self._parts[0].blocks[0]
        rows = np.arange(block.records)
        if x is None or block.source != checksum(
            leaves(self._views.all(x, rows))
        ):
            raise other_data(self.path, "another first batch")


class CachedBatches(keras.utils.PyDataset):
    """The batches of one epoch after the other.

    Args:
        cache: The cache.
        batch_size: How many examples make a batch.
        shuffle: Whether each epoch has another order.
        epoch: Which epoch it is for.
    """

    def __init__(
        self, cache: TeacherCache, batch_size: int, shuffle: bool, epoch: int
    ) -> None:
        super().__init__()
        self.cache = cache
        self._batch_size = batch_size
        # Seeded by `keras.utils.set_random_seed`.
        self._seed = random.randrange(2**63) if shuffle else None
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        """Deals out the examples for an epoch."""
        self._epoch = epoch
        self._order = np.arange(len(self.cache))
        if self._seed is not None:
            rng = np.random.default_rng([self._seed, epoch])
            self._order = rng.permutation(self._order)

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-len(self.cache) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Returns one batch of the epoch."""
        start = index * self._batch_size
        rows = self._order[start : start + self._batch_size]
        return self.cache.take(rows, self._epoch)


def teacher_name(teacher: keras.Model) -> str:
    """Names a teacher by what its weights are."""
    return fingerprint(teacher).tobytes().hex()


def check_teacher(
    path: Path, about: dict[str, Any], teacher: keras.Model, name: str
) -> None:
    """Raises a `ValueError` unless a cache's answers are a teacher's.

    Args:
        path: Where the cache is, for the message.
        about: What it is about.
        teacher: The teacher.
        name: Its `teacher_name`.
    """
    if about["teacher"] != name:
        raise ValueError(
            "`teacher` must be the one whose answers are in the cache. "
            f"Received: {teacher.name!r}, whose weights are others than those "
            f"of the teacher of {str(path)!r}"
        )


def folder_of(path: Path, shard: tuple[int, int] | None) -> Path:
    """Returns the directory of one part of a cache."""
    index, count = shard or (0, 1)
    return path / f"{index:05d}-of-{count:05d}"


def folders_in(path: Path) -> list[Path]:
    """Returns the directories of a cache's parts, in their order."""
    return sorted(path.glob("?????-of-?????"))


def _check_all_there(path: Path, folders: list[Path]) -> None:
    count = int(folders[0].name[-5:])
    wanted = [folder_of(path, (index, count)) for index in range(count)]
    if folders != wanted:
        missing = sorted({f.name for f in wanted} - {f.name for f in folders})
        raise ValueError(
            f"`path` must hold all {count} parts of a cache, and no other. "
            f"Received: path={str(path)!r}, which has "
            f"{[f.name for f in folders]} and lacks {missing}"
        )


def check_inputs(
    folder: Path,
    blocks: list[Block],
    source: Arrays,
    start: int,
    views: Views,
) -> None:
    """Raises unless arrays are those that blocks were made from.

    Of many blocks some are looked at, from the first to the last.

    Args:
        folder: Where the blocks are, for the message.
        blocks: The blocks.
        source: The arrays.
        start: The position of the first block's first example.
        views: The views of them that the teacher saw.

    Raises:
        ValueError: If an example of one of these blocks is another one.
    """
    ends = start + np.cumsum([block.records for block in blocks], dtype=int)
    last = len(blocks) - 1
    for i in np.unique(np.linspace(0, last, _SAMPLED_BLOCKS).astype(int)):
        if blocks:
            rows = np.arange(ends[i] - blocks[i].records, ends[i])
            x, _, _ = source.take(rows[rows < source.count])
            shown = views.all(x, source.start + rows)
            if blocks[i].source != checksum(leaves(shown)):
                raise other_data(
                    folder, f"other inputs, or views, from {rows[0]} on"
                )


def other_data(path: Path, received: str) -> ValueError:
    """Returns the error for data that are not those of a cache."""
    return ValueError(
        "`data` must be what the cache is of, in the same order. Received: "
        f"{received}, for {str(path)!r}"
    )
