"""Checks that a cache, a teacher and data belong together."""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.backend import replica_count
from keras_dts.cache.log import Block
from keras_dts.cache.records import checksum
from keras_dts.cache.sources import ArraySource
from keras_dts.cache.structure import Array, leaves
from keras_dts.cache.views import Views
from keras_dts.utils import (
    check_choice,
    check_count,
    check_function,
)

# Blocks of a cache that are compared with the data when it is opened.
SAMPLED_BLOCKS = 64


def check_arguments(
    teacher: Any,
    batch_size: Any,
    top_k: Any,
    dtype: Any,
    features: Any,
    teacher_inputs: Any,
    from_logits: Any,
    augment: Any,
    views: Any,
    seed: Any,
    steps: Any,
) -> None:
    """Checks arguments of `cache_teacher`.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if not isinstance(teacher, keras.Model) or not teacher.built:
        raise ValueError(
            "`teacher` must be a trained Keras model, and so a built one. "
            f"Received: {teacher!r} of type {type(teacher).__name__}"
        )
    check_count("batch_size", batch_size)
    if top_k is not None:
        check_count("top_k", top_k)
    if steps is not None:
        check_count("steps", steps)
    check_choice("dtype", dtype, [None, "float32", "float16", "uint8"])
    if isinstance(features, str) or not (
        isinstance(features, Sequence)
        and all(isinstance(name, str) for name in features)
    ):
        raise ValueError(
            "`features` must be a list of paths of the teacher's layers. "
            f"Received: features={features!r}"
        )
    check_choice("from_logits", from_logits, [True, False, "auto"])
    check_count("views", views)
    is_whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not is_whole or seed < 0:
        raise ValueError(
            "`seed` must be a whole number of at least 0. Received: "
            f"seed={seed!r}"
        )
    check_function("augment", augment)
    check_function("teacher_inputs", teacher_inputs)
    if views > 1 and augment is None:
        raise ValueError(
            "`augment` must be a function if there are several views. "
            f"Received: augment=None, views={views}"
        )


def check_not_replicated(function: str) -> None:
    """Raises a `ValueError` inside of a TensorFlow strategy with replicas.

    Every replica would run the teacher on the whole batch.

    Args:
        function: The name of the function that was called, for the message.
    """
    count = replica_count()
    if count > 1:
        raise ValueError(
            f"`{function}` must be called outside of `strategy.scope()`; a "
            "teacher that was made inside of it may be given. Received: a "
            f"strategy with {count} replicas, each of which would compute all "
            "outputs"
        )


def check_metadata(
    path: Path, found: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Checks that a cache has the metadata that are wanted.

    Args:
        path: The directory of the cache, for the message.
        found: The metadata of the cache.
        wanted: The metadata that are wanted; the cache may have more.

    Raises:
        ValueError: If a value differs.
    """
    # As JSON returns the values.
    wanted = json.loads(json.dumps(wanted))
    for name, value in wanted.items():
        if found.get(name) != value:
            raise ValueError(
                f"`path` must hold a cache with the same `{name}`, or none. "
                f"Received: path={str(path)!r}, which was made with "
                f"{name}={found.get(name)!r}, not {value!r}"
            )


def check_teacher(
    path: Path, metadata: dict[str, Any], teacher: keras.Model, name: str
) -> None:
    """Checks that a cache holds the outputs of a teacher.

    Args:
        path: The directory of the cache, for the message.
        metadata: The metadata of the cache.
        teacher: The teacher.
        name: Its `teacher_name`.

    Raises:
        ValueError: If the cache holds the outputs of another teacher.
    """
    if metadata["teacher"] != name:
        raise ValueError(
            "`teacher` must be the model whose outputs are in the cache. "
            f"Received: {teacher.name!r}, whose weights differ from those of "
            f"the teacher of {str(path)!r}"
        )


def checked_rows(rows: Any, count: int) -> Array:
    """Returns the indices of examples as int64, shape `(n,)`.

    Args:
        rows: The indices.
        count: The number of examples.

    Raises:
        ValueError: If a row is no index of an example.
    """
    found = np.asarray(rows)
    is_list = found.ndim == 1 and found.size > 0 and found.dtype.kind in "iu"
    if not is_list or found.min() < 0 or found.max() >= count:
        raise ValueError(
            f"`rows` must be a list of whole numbers from 0 to {count - 1}. "
            f"Received: rows={rows!r:.80}"
        )
    return found.astype(np.int64, copy=False)


def given_sums(views: list[Any], y: Any, weights: Any) -> list[int]:
    """Returns the checksums of what a block was made from.

    Args:
        views: The inputs, one structure of arrays for each view.
        y: The labels, or `None`.
        weights: The sample weights, or `None`.
    """
    return [checksum(leaves(part)) for part in (views, y, weights)]


def check_given(
    path: Path, block: Block, views: Views, batch: Any, rows: Array
) -> None:
    """Checks that a block was made from a batch.

    Labels are compared if both have some, and so are weights.

    Args:
        path: The directory of the block, for the message.
        block: The block.
        views: The views of the examples.
        batch: Inputs, labels and weights, or `None`.
        rows: The positions of the examples in the data.

    Raises:
        ValueError: If the block was made from other data.
    """
    x, y, weights = batch or (None, None, None)
    if x is None or len(leaves(x)[0]) != block.records:
        if rows[0] == 0:
            raise other_data(path, "another first batch")
        raise other_data(path, f"another batch after {rows[0]} examples")
    found = given_sums(views.all(x, rows), y, weights)
    parts = ("inputs, or views", "labels", "sample weights")
    for part, one, other in zip(parts, found, block.given, strict=True):
        both = (one and other) or part == parts[0]
        if one != other and both:
            raise other_data(path, f"other {part}, from {rows[0]} on")


def check_arrays(
    path: Path,
    blocks: list[Block],
    source: ArraySource,
    start: int,
    views: Views,
    most: int | None = SAMPLED_BLOCKS,
) -> int:
    """Checks that blocks were made from the examples that a source has.

    Args:
        path: The directory of the blocks, for the message.
        blocks: The blocks.
        source: The source.
        start: The index of the first block's first example in the source.
        views: The views of the examples.
        most: `None`, or the most blocks to compare, from the first to the
            last.

    Returns:
        The number of blocks that were compared.

    Raises:
        ValueError: If a block was made from other data.
    """
    ends = start + np.cumsum([block.records for block in blocks], dtype=int)
    count = min(len(blocks), most or len(blocks))
    chosen = np.unique(np.linspace(0, len(blocks) - 1, count).astype(int))
    for i in chosen:
        rows = np.arange(ends[i] - blocks[i].records, ends[i])
        batch = source.take(rows[rows < source.count])
        check_given(path, blocks[i], views, batch, source.start + rows)
    return len(chosen)


def check_batches(
    path: Path,
    blocks: list[Block],
    batches: Iterator[Any],
    views: Views,
    start: int = 0,
) -> None:
    """Checks that blocks were made from batches, one from each.

    Args:
        path: The directory of the blocks, for the message.
        blocks: The blocks.
        batches: The batches. As many are taken as there are blocks.
        views: The views of the examples.
        start: The position of the first example.

    Raises:
        ValueError: If a block was made from other data.
    """
    for block in blocks:
        rows = start + np.arange(block.records)
        check_given(path, block, views, next(batches, None), rows)
        start += block.records


def other_data(path: Path, received: str) -> ValueError:
    """Returns the error for data that are not those of a cache.

    Args:
        path: The directory of the cache.
        received: A description of the data.
    """
    return ValueError(
        "`data` must be the data of the cache, in the same order. Received: "
        f"{received}, for {str(path)!r}"
    )
