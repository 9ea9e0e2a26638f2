"""The shards of a cache: stores that are read as one."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_dts.cache.checks import check_metadata
from keras_dts.cache.errors import DamagedCacheError
from keras_dts.cache.header import HEADER
from keras_dts.cache.reader import RecordReader, map_bytes
from keras_dts.cache.structure import Array
from keras_dts.utils import check_part

# How many files of a cache are mapped at the same time: each takes one of the
# files that a process may open, 256 on some machines.
_MAPPED_FILES = 128
_FOLDER = re.compile(r"([0-9]{5})-of-([0-9]{5})")


class ShardedReader:
    """Reads the records of all shards of a cache, or of one.

    Args:
        path: The directory of the cache.
        shard: `None`, or the shard to read, as `(index, count)`.

    Raises:
        DamagedCacheError: If a file of a shard is not as it was written.
        ValueError: If `shard` is no part, or a shard is missing, is
            incomplete or has other metadata.
    """

    def __init__(self, path: Path, shard: tuple[int, int] | None) -> None:
        check_shard(path, shard)
        folders = [shard_folder(path, shard)]
        if shard is None:
            folders = shard_folders(path) or folders
            _check_all_there(path, folders)
        mapped = functools.lru_cache(maxsize=_MAPPED_FILES)(map_bytes)
        self._readers = [RecordReader(folder, mapped) for folder in folders]
        first = self._readers[0]
        self.metadata = first.metadata
        for reader in self._readers[1:]:
            check_metadata(reader.folder, reader.metadata, self.metadata)
            if reader.fields != first.fields:
                raise DamagedCacheError.of(
                    reader.folder / HEADER,
                    f"with other fields than {str(first.folder)!r}",
                    "Delete the folder of the part that is wrong.",
                )
        self.fields = {field.name: field for field in first.fields}
        # The index of each shard's first record, and the number of records.
        counts = [reader.count for reader in self._readers]
        self._starts = np.cumsum([0, *counts])

    @property
    def count(self) -> int:
        """The number of records."""
        return int(self._starts[-1])

    @property
    def size(self) -> int:
        """The number of bytes that the records take."""
        return sum(reader.size for reader in self._readers)

    @property
    def shards(self) -> list[tuple[RecordReader, int]]:
        """The reader of each shard, and the index of its first record."""
        starts = map(int, self._starts[:-1])
        return list(zip(self._readers, starts, strict=True))

    def read(
        self, name: str, rows: Array, numbers: Array | None = None
    ) -> Array:
        """Returns a field of some records.

        Args:
            name: The name of the field.
            rows: The indices of the records, int64, shape `(n,)`.
            numbers: The view of each record, shape `(n,)`, or `None` for a
                field without views. Strings have one view.

        Returns:
            The values, shape `(n, ...)`; strings with dtype `object`.
        """
        field = self.fields[name]
        if field.is_text:
            numbers = None
        shard = np.searchsorted(self._starts, rows, side="right") - 1
        found = [
            self._readers[i].read(
                field,
                rows[shard == i] - self._starts[i],
                None if numbers is None else numbers[shard == i],
            )
            for i in np.unique(shard)
        ]
        if len(found) == 1:
            return found[0]
        by_shard = np.concatenate(found)
        values = np.empty_like(by_shard)
        values[np.argsort(shard, kind="stable")] = by_shard
        return values

    def check_sums(self) -> None:
        """Compares every byte with the checksums of the logs.

        Raises:
            DamagedCacheError: If a byte has changed.
        """
        for reader in self._readers:
            reader.check_sums()


def shard_folder(path: Path, shard: tuple[int, int] | None) -> Path:
    """Returns the directory of a shard of a cache.

    Args:
        path: The directory of the cache.
        shard: The shard, as `(index, count)`; `None` is the only one.
    """
    index, count = shard or (0, 1)
    return path / f"{index:05d}-of-{count:05d}"


def shard_folders(path: Path) -> list[Path]:
    """Returns the directories of the shards of a cache, in their order."""
    folders = path.glob("?????-of-?????")
    return sorted(f for f in folders if _FOLDER.fullmatch(f.name))


def check_shard(path: Path, shard: Any) -> None:
    """Checks the part of a cache that is to be written or read.

    Args:
        path: The directory of the cache.
        shard: `None`, or the part, as `(index, count)`.

    Raises:
        ValueError: If this is no part, or `path` has those of another number
            of parts.
    """
    check_part("shard", shard)
    if shard is None:
        return
    others = {int(f.name[-5:]) for f in shard_folders(path)} - {shard[1]}
    if others:
        raise ValueError(
            f"`shard` must be one of the {min(others)} parts that `path` has. "
            f"Received: shard={shard!r}, for path={str(path)!r}"
        )


def _check_all_there(path: Path, folders: list[Path]) -> None:
    count = int(folders[0].name[-5:])
    wanted = [shard_folder(path, (index, count)) for index in range(count)]
    if folders != wanted:
        found = [folder.name for folder in folders]
        missing = sorted({folder.name for folder in wanted} - set(found))
        raise ValueError(
            f"`path` must hold all {count} shards of a cache, and no other. "
            f"Received: path={str(path)!r}, which has {_shortened(found)} and "
            f"lacks {_shortened(missing)}"
        )


def _shortened(names: list[str], most: int = 5) -> str:
    more = len(names) - most
    return f"{names[:most]}" + (f" and {more} more" if more > 0 else "")
