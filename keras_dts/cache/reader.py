"""Reads records of a complete store, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_dts.cache.records import (
    END,
    HEADER,
    Field,
    damaged_blocks,
    file_sizes,
    logged_blocks,
    read_header,
)
from keras_dts.cache.structure import Array


class RecordReader:
    """Reads records of a complete store.

    Args:
        folder: The directory of the store.

    Raises:
        ValueError: If there is no store, the store is incomplete or of
            another format, or a file has another size than was written.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / HEADER).exists():
            raise ValueError(
                "`path` must hold a cache. Received: "
                f"path={str(folder)!r}, which holds none"
            )
        self.folder = folder
        self.metadata, self.fields = read_header(folder)
        blocks = logged_blocks(folder)
        self.blocks = [block for block in blocks if block != END]
        self.count = sum(block.records for block in self.blocks)
        if len(self.blocks) == len(blocks):
            raise ValueError(
                "`path` must hold a complete cache; call "
                "`keras_dts.cache_teacher` again to complete it. Received: "
                f"path={str(folder)!r}, which ends after {self.count} examples"
            )
        for name, size in file_sizes(self.fields, self.blocks).items():
            found = _size(folder / name)
            if found != size:
                raise ValueError(
                    "`path` must hold a cache as it was written. Received: "
                    f"{str(folder / name)!r} of {found} bytes, where {size} "
                    "were written"
                )
        self._arrays = {
            name: _mapped(folder / name, dtype, shape)
            for field in self.fields
            for name, dtype, shape in field.files
        }

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
        """
        values = self._arrays[field.file]
        if not field.is_text:
            found: Array
            found = values[rows] if columns is None else values[rows, columns]
            return found
        ends = self._arrays[field.ends_file]
        starts = np.where(rows > 0, ends[rows - 1], 0)
        spans = zip(starts, ends[rows], strict=True)
        texts = [values[start:end].tobytes().decode() for start, end in spans]
        return np.array(texts, dtype=object)

    def check_sums(self) -> None:
        """Compares every byte with the checksums of the log.

        Raises:
            ValueError: If a byte has changed.
        """
        for index, name in damaged_blocks(
            self.folder, self.fields, self.blocks
        ):
            raise ValueError(
                "`path` must hold a cache as it was written. Received: "
                f"{str(self.folder / name)!r}, of which block {index} has "
                "another checksum"
            )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _mapped(file: Path, dtype: str, shape: tuple[int, ...]) -> Array:
    """Returns the values of a file, which is mapped into memory."""
    if _size(file) == 0:  # an empty file cannot be mapped
        return np.zeros((0, *shape), dtype)
    flat = np.memmap(file, dtype, "r")
    return np.asarray(flat).reshape(-1, *shape)  # (records, ...)
