"""Checks that a cache, a teacher and data belong together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_dts.cache.records import Block, checksum
from keras_dts.cache.sources import ArraySource
from keras_dts.cache.structure import leaves
from keras_dts.cache.views import Views
from keras_dts.utils import check_choice, check_number, fingerprint

# Blocks of a complete cache whose inputs are compared with the data.
_SAMPLED_BLOCKS = 64


def check_arguments(
    top_k: int | None, dtype: str | None, augment: Any, views: int
) -> None:
    """Checks arguments of `cache_teacher`.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if top_k is not None:
        check_number("top_k", top_k, low=1)
    check_choice("dtype", dtype, [None, "float32", "float16", "uint8"])
    check_number("views", views, low=1)
    if views > 1 and augment is None:
        raise ValueError(
            "`augment` must be a function if there are several views. "
            f"Received: augment=None, views={views}"
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


def teacher_name(teacher: keras.Model) -> str:
    """Returns a name that depends on the teacher's weights alone."""
    return fingerprint(teacher).tobytes().hex()


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


def check_inputs(
    path: Path,
    blocks: list[Block],
    source: ArraySource,
    start: int,
    views: Views,
) -> None:
    """Checks that blocks were made from the inputs that a source has.

    Of many blocks a sample is compared, from the first to the last.

    Args:
        path: The directory of the blocks, for the message.
        blocks: The blocks.
        source: The source.
        start: The index of the first block's first example in the source.
        views: The views of the examples.

    Raises:
        ValueError: If the inputs of a block differ.
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
                    path, f"other inputs, or views, from {rows[0]} on"
                )


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
