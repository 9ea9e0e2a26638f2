"""Runs a teacher once, and keeps its answers on disk."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.cache.predictor import Teacher
from keras_dts.cache.records import HEADER, Array, Writer, checksum, read_header
from keras_dts.cache.sources import (
    Arrays,
    Augment,
    Stream,
    Views,
    describe,
    has_texts,
    leaves,
    read_source,
)
from keras_dts.cache.teacher_cache import (
    ROLES,
    TeacherCache,
    check_inputs,
    check_teacher,
    folder_of,
    folders_in,
    other_data,
    teacher_name,
)
from keras_dts.utils import check_choice, check_number

_FORMAT = 1


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
    """Runs a teacher once over data, and keeps its answers on disk.

    What comes back is what `keras_dts.Distiller.fit` takes for `x`; there the
    teacher does not run. Called again, it runs nothing if `path` holds the
    same teacher's answers to the same data, and goes on if it was stopped,
    even killed, in between.

    Data in memory are not copied to disk; they are taken by their position
    when they are needed. Batches that come from somewhere else are written
    down with the answers, so that they can be shuffled, and are not needed
    again.

    Args:
        teacher: The trained teacher.
        data: As `validation_data` of `keras.Model.fit`: arrays `x`, or a
            tuple `(x, y)` or `(x, y, sample_weight)`, or a source of batches
            of such: a `tf.data.Dataset`, a `DataLoader` of PyTorch or Grain,
            a `keras.utils.PyDataset`, any iterable. For tasks of KerasHub `x`
            may be raw strings.
        path: A directory, made if it is not there.
        batch_size: How many examples of arrays the teacher sees at once, and
            how many are lost if it is killed.
        top_k: `None` keeps every class. A number keeps each entry's most
            probable classes and the mass of all others as one more, where an
            output has more than `top_k + 1` classes; then losses, `gap` and
            `teacher_kl` are those of these coarse distributions.
        dtype: `"float32"`, `"float16"` or `"uint8"`: 256 steps between each
            entry's lowest and highest value, with features in float16.
            Defaults to float32, and with `top_k` to float16. But for float32
            without `top_k`, a softmax's outputs are kept as logarithms.
        features: The paths of the teacher's layers that feature losses read.
        teacher_inputs: As for `keras_dts.Distiller`.
        from_logits: Whether the teacher's outputs are logits; `"auto"`, or as
            the distiller is told.
        augment: `None`, or a function `augment(x, rng)` that returns another
            `x` for one example, a NumPy array or a structure of them, and
            draws from the `numpy.random.Generator` alone. The teacher answers
            to `views` views of each example, and in each epoch the student is
            given one of these, with the teacher's answer to it.
        views: How many views of each example. Epoch `e` shows view
            `(e + position) % views`.
        seed: For the views.
        shard: `None`, or `(index, count)`: caches one of several parts, so
            that as many processes can work at once. Of arrays, the part is
            taken; batches must be the part already. Returns that part; a call
            without `shard` returns all of them.
        verbose: Whether to show a progress bar.

    Returns:
        The cache.

    Raises:
        ValueError: If `path` holds answers of another teacher, to other data,
            or of another kind; if the data or the answers change their
            shapes; if `augment` does not draw from `rng` alone.

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
    _check_arguments(top_k, dtype, augment, views)
    source = read_source(data, shard)
    about: dict[str, Any] = {
        "format": _FORMAT,
        "teacher": teacher_name(teacher),
        "top_k": top_k,
        "dtype": dtype or ("float32" if top_k is None else "float16"),
        "features": list(features),
        "from_logits": from_logits,
        "views": views,
        "seed": seed,
        "in_memory": isinstance(source, Arrays),
    }
    path = Path(path)
    for begun in folders_in(path):
        if (begun / HEADER).exists():
            found, _ = read_header(begun)
            check_teacher(begun, found, teacher, about["teacher"])
    folder = folder_of(path, shard)
    if shard is not None or set(folders_in(path)) <= {folder}:
        asked = Teacher.of(about, teacher, teacher_inputs)
        writer = Writer(folder, about)
        try:
            run = _Run(writer, source, asked, augment)
            run.go(batch_size, verbose=bool(verbose))
        finally:
            writer.close()
    cache = TeacherCache(path, source, augment=augment, shard=shard)
    cache.check_about(about)
    return cache


class _Run:
    """One run of a teacher over data, or over what is left of them.

    Args:
        writer: Where the answers go.
        source: The data.
        teacher: The teacher.
        augment: What makes the views, or `None`.
    """

    def __init__(
        self,
        writer: Writer,
        source: Arrays | Stream,
        teacher: Teacher,
        augment: Augment | None,
    ) -> None:
        self._writer = writer
        self._source = source
        self._teacher = teacher
        about = writer.about
        self._views = Views(augment, about["seed"], about["views"])
        self._done = sum(block.records for block in writer.blocks)

    def go(self, batch_size: int, *, verbose: bool) -> None:
        """Asks for all answers that are not there yet, and writes them.

        Args:
            batch_size: How many examples of arrays to ask about at once.
            verbose: Whether to show a progress bar.
        """
        writer = self._writer
        if writer.is_complete:
            return
        bar = keras.utils.Progbar(
            self._to_do(batch_size), verbose=int(verbose), unit_name="batch"
        )
        for step, (x, y, weights) in enumerate(self._batches(batch_size), 1):
            rows = np.arange(len(leaves(x)[0])) + self._done
            rows += self._source.start
            if self._done == 0:
                writer.about["examples"] = describe((x, y, weights))
                writer.about["changes"] = self._changes(x, rows)
            shown = self._views.all(x, rows)
            answers = [self._teacher.answer(one) for one in shown]
            values = {
                name: np.stack([answer[name] for answer in answers], axis=1)
                for name in answers[0]
            }
            if isinstance(self._source, Stream):
                values |= _examples(shown, y, weights)
            writer.append(checksum(leaves(shown)), values)
            self._done += len(rows)
            bar.update(step)
        if self._done == 0:
            raise ValueError(
                "`data` must have at least one batch. Received: none"
            )
        writer.finish()

    def _to_do(self, batch_size: int) -> int | None:
        """Returns how many batches are left, if it is known."""
        if isinstance(self._source, Arrays):
            return -(-(self._source.count - self._done) // batch_size)
        length = self._source.length
        return length and length - len(self._writer.blocks)

    def _batches(self, size: int) -> Iterator[tuple[Any, Any, Any]]:
        """Yields the batches that are left."""
        writer = self._writer
        if isinstance(self._source, Arrays):
            check_inputs(
                writer.folder, writer.blocks, self._source, 0, self._views
            )
            yield from self._source.batches(size, self._done)
            return
        batches = self._source.batches()
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
        """Says whether data are others when they are read again, and warns.

        Raises a `ValueError` if the views of the first example are.
        """
        one = keras.tree.map_structure(lambda leaf: leaf[:1], x)
        self._views.check(one, rows[:1])
        source = self._source
        if isinstance(source, Arrays) or source.comes_once:
            return False
        again, _, _ = next(source.batches())
        if checksum(leaves(again)) == checksum(leaves(x)):
            return False
        warnings.warn(
            "`data` are others each time they are read: they are shuffled or "
            "augmented. The cache keeps each example as it comes now, in one "
            "view; `augment` and `views` make several. A run that is stopped "
            "cannot be gone on with.",
            stacklevel=5,
        )
        return True


def _examples(shown: list[Any], y: Any, weights: Any) -> dict[str, Array]:
    """Returns the fields of the examples themselves."""
    columns = [leaves(x) for x in shown]
    fields = {}
    for i, views in enumerate(zip(*columns, strict=True)):
        is_text = has_texts(views[0])
        if is_text and len(views) > 1:
            raise ValueError(
                "`data` must be in memory where `augment` makes several views "
                "of texts. Received: batches of texts"
            )
        fields[f"x_{i}"] = views[0] if is_text else np.stack(views, axis=1)
    for role, part in zip(ROLES[1:], (y, weights), strict=True):
        fields |= {f"{role}_{i}": leaf for i, leaf in enumerate(leaves(part))}
    return fields


def _check_arguments(
    top_k: int | None, dtype: str | None, augment: Any, views: int
) -> None:
    if top_k is not None:
        check_number("top_k", top_k, low=1)
    check_choice("dtype", dtype, [None, "float32", "float16", "uint8"])
    check_number("views", views, low=1)
    if (views > 1) and augment is None:
        raise ValueError(
            "`augment` must make the views where there are several. Received: "
            f"views={views}, augment=None"
        )
