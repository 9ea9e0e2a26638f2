"""The shards of a cache: stores that are read as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_dts.cache.checks import check_metadata
from keras_dts.cache.reader import RecordReader
from keras_dts.cache.structure import Array


class ShardedReader:
    """Reads the records of all shards of a cache, or of one.

    Args:
        path: The directory of the cache.
        shard: `None`, or the shard to read, as `(index, count)`.

    Raises:
        ValueError: If a shard is missing, is incomplete, has other metadata,
            or a file of it has changed.
    """

    def __init__(self, path: Path, shard: tuple[int, int] | None) -> None:
        folders = [shard_folder(path, shard)]
        if shard is None:
            folders = shard_folders(path) or folders
            _check_all_there(path, folders)
        self._readers = [RecordReader(folder) for folder in folders]
        self.metadata = self._readers[0].metadata
        for reader in self._readers[1:]:
            check_metadata(reader.folder, reader.metadata, self.metadata)
        self.fields = {field.name: field for field in self._readers[0].fields}
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
            ValueError: If a byte has changed.
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
    return sorted(path.glob("?????-of-?????"))


def _check_all_there(path: Path, folders: list[Path]) -> None:
    count = int(folders[0].name[-5:])
    wanted = [shard_folder(path, (index, count)) for index in range(count)]
    if folders != wanted:
        missing = sorted({f.name for f in wanted} - {f.name for f in folders})
        raise ValueError(
            f"`path` must hold all {count} shards of a cache, and no other. "
            f"Received: path={str(path)!r}, which has "
            f"{[f.name for f in folders]} and lacks {missing}"
        )
