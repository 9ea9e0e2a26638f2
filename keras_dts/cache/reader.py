"""Reads records of a complete store, in any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_dts.cache.damage import (
    REMEDY,
    Damage,
    block_fault,
    file_sizes,
    find_damage,
    find_wrong_size,
    is_whole,
)
from keras_dts.cache.errors import DamagedCacheError
from keras_dts.cache.header import HEADER, read_header
from keras_dts.cache.log import LOG, read_log
from keras_dts.cache.records import Field
from keras_dts.cache.structure import Array


def map_bytes(file: str) -> Array:
    """Returns the bytes of a file, which is mapped into memory."""
    if Path(file).stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(file, np.uint8, "r"))


class RecordReader:
    """Reads records of a complete store.

    A block is compared with its checksums when a record of it is read for the
    first time.

    Args:
        folder: The directory of the store.
        mapped: A function from a file to its bytes. Of many stores it may
            keep only some files open.

    Raises:
        DamagedCacheError: If the header, the log or the size of a file is not
            as it was written.
        ValueError: If there is no store, or the store is incomplete or of
            another format.
    """

    def __init__(
        self, folder: Path, mapped: Callable[[str], Array] = map_bytes
    ) -> None:
        if not (folder / HEADER).exists():
            raise ValueError(
                "`path` must hold a cache. Received: "
                f"path={str(folder)!r}, which holds none"
            )
        self.folder = folder
        header = read_header(folder)
        self.metadata, self.fields = header
        log = read_log(folder, self.fields, header.seal)
        self.blocks = log.blocks
        self.count = sum(block.records for block in self.blocks)
        if log.fault is not None:
            raise DamagedCacheError.of(folder / LOG, log.fault, REMEDY)
        if not log.is_complete:
            raise ValueError(
                "`path` must hold a complete cache; call "
                "`keras_dts.cache_teacher` again to complete it. Received: "
                f"path={str(folder)!r}, which ends after {self.count} examples"
            )
        _refuse(find_wrong_size(folder, self.fields, self.blocks))
        self._mapped = mapped
        self._ends = np.cumsum([block.records for block in self.blocks])
        # Which blocks of each field have not been read yet.
        self._unread = {
            field.name: np.ones(len(self.blocks), bool) for field in self.fields
        }
        names = [n for field in self.fields for n, _, _ in field.files]
        # Texts, whose hashes Python keeps: `mapped` may look them up.
        self._paths = {name: str(folder / name) for name in names}
        self._positions = {name: i for i, name in enumerate(names)}
        # Where each block begins in each file.
        sizes = [[0] * len(names), *(block.sizes for block in self.blocks)]
        self._starts = np.cumsum(sizes, axis=0, dtype=np.int64).T.tolist()

    @property
    def size(self) -> int:
        """The number of bytes that the records take."""
        return sum(file_sizes(self.fields, self.blocks).values())

    def read(
        self, field: Field, rows: Array, columns: Array | None = None
    ) -> Array:
        """Returns a field of some records.

        Args:
            field: The field.
            rows: The indices of the records, int64, shape `(n,)`.
            columns: `None`, or the index of one entry of each record, for a
                field that holds no strings, shape `(n,)`.

        Returns:
            The values, shape `(n, ...)`; strings with dtype `object`.

        Raises:
            DamagedCacheError: If a byte of a block that is read for the first
                time has changed.
        """
        if field.name in self._unread:
            self._check_blocks(field, rows)
        content = self._mapped(self._paths[field.file])
        if field.is_text:
            return self._texts(field, content, rows)
        values = content.view(field.dtype).reshape(self.count, *field.shape)
        found: Array
        found = values[rows] if columns is None else values[rows, columns]
        return found

    def check_sums(self) -> None:
        """Compares every byte with the checksums of the log.

        Raises:
            DamagedCacheError: If a byte has changed.
        """
        _refuse(find_damage(self.folder, self.fields, self.blocks))

    def _texts(self, field: Field, values: Array, rows: Array) -> Array:
        """Returns some strings of a field, whose bytes are given."""
        ends = self._mapped(self._paths[field.ends_file]).view(np.int64)
        starts = np.where(rows > 0, ends[rows - 1], 0)
        spans = zip(starts, ends[rows], strict=True)
        try:
            texts = [values[a:b].tobytes().decode() for a, b in spans]
        except UnicodeDecodeError as error:
            raise DamagedCacheError.of(
                self.folder / field.file, "which holds no UTF-8", REMEDY
            ) from error
        return np.array(texts, dtype=object)

    def _check_blocks(self, field: Field, rows: Array) -> None:
        """Compares the blocks of records that are read for the first time."""
        unread = self._unread[field.name]
        if field.is_text:  # a string begins where the one before it ends
            rows = np.concatenate([rows, np.maximum(rows - 1, 0)])
        blocks = np.unique(np.searchsorted(self._ends, rows, side="right"))
        new = blocks[unread[blocks]].tolist()
        for name, _, _ in field.files:
            position, path = self._positions[name], self._paths[name]
            content = self._mapped(path).data
            starts = self._starts[position]
            for index in new:
                part = content[starts[index] : starts[index + 1]]
                if not is_whole(part, self.blocks[index], position):
                    _refuse(Damage(index, Path(path), block_fault(index)))
        unread[new] = False
        if not unread.any():
            self._unread.pop(field.name, None)


def _refuse(damage: Damage | None) -> None:
    if damage is not None:
        raise DamagedCacheError.of(damage.file, damage.fault, REMEDY)
