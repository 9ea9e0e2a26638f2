"""Writes records to a store, block by block."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_dts.cache.checks import check_metadata
from keras_dts.cache.records import (
    END,
    HEADER,
    LOG,
    Block,
    Field,
    damaged_blocks,
    file_sizes,
    logged_blocks,
    read_header,
    write_header,
)
from keras_dts.cache.structure import Array


class RecordWriter:
    """Appends blocks of records to a store.

    Args:
        folder: The directory of the store. If it holds an incomplete store,
            the writer goes on after the last whole block.
        metadata: A description of the records, for JSON.

    Raises:
        ValueError: If the directory holds a store with other metadata, or of
            another format.
    """

    def __init__(self, folder: Path, metadata: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.metadata = metadata
        self.blocks: list[Block] = []
        self.count = 0  # records written
        self._fields: list[Field] = []
        # In the order of the fields' files; the log is the last one.
        self._files: list[IO[bytes]] = []
        self._sizes: dict[str, int] = {}
        if (folder / HEADER).exists():
            self.metadata, self._fields = read_header(folder)
            check_metadata(folder, self.metadata, metadata)
            self.blocks = _whole_blocks(folder, self._fields)
            self.count = sum(block.records for block in self.blocks)
            self._open("r+b")

    @property
    def is_complete(self) -> bool:
        """Whether the end of the store has been written."""
        return self.blocks[-1:] == [END]

    def append(self, source: int, values: dict[str, Array]) -> None:
        """Appends a block.

        Args:
            source: The checksum of the inputs that the records were made
                from.
            values: The fields by name, one value for each record, each of
                shape `(n, ...)`; strings with dtype `object`.

        Raises:
            ValueError: If the fields differ from those of the first block.
        """
        fields = [Field.of(name, value) for name, value in values.items()]
        if not self._files:
            self._begin(fields)
        if fields != self._fields:
            raise ValueError(
                "`data` must have examples of one shape, and the teacher must "
                f"have outputs of one shape. Received: {_listed(fields)}, "
                f"after {_listed(self._fields)}"
            )
        parts = [
            part
            for field, value in zip(fields, values.values(), strict=True)
            for part in self._bytes(field, value)
        ]
        for file, part in zip(self._files, parts, strict=False):
            file.write(part)
        _flush(self._files[:-1])
        self._log(
            Block(
                len(next(iter(values.values()))),
                source,
                [len(part) for part in parts],
                [zlib.crc32(part) for part in parts],
            )
        )

    def finish(self) -> None:
        """Writes the end of the store."""
        self._log(END)

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()
        self._files = []

    def _begin(self, fields: list[Field]) -> None:
        self._fields = fields
        self._open("w+b")
        write_header(self.folder, self.metadata, fields)

    def _open(self, mode: str) -> None:
        """Opens the files, and removes what follows the last whole block."""
        sizes = file_sizes(self._fields, self.blocks)
        sizes[LOG] = sum(len(block.line) for block in self.blocks)
        for name, size in sizes.items():
            file = (self.folder / name).open(mode)
            file.truncate(size)
            file.seek(size)
            self._files.append(file)
        self._sizes = sizes

    def _bytes(self, field: Field, values: Array) -> list[bytes]:
        """Returns the bytes of values for each file of a field."""
        if not field.is_text:
            return [np.ascontiguousarray(values).tobytes()]
        texts = [text.encode() for text in values]
        start = self._sizes[field.file]
        ends = start + np.cumsum([len(text) for text in texts], dtype="int64")
        self._sizes[field.file] = int(ends[-1])
        return [ends.tobytes(), b"".join(texts)]

    def _log(self, block: Block) -> None:
        self.blocks.append(block)
        self.count += block.records
        self._files[-1].write(block.line)
        _flush(self._files[-1:])


def _whole_blocks(folder: Path, fields: list[Field]) -> list[Block]:
    """Returns the blocks before the first one that is damaged."""
    blocks = logged_blocks(folder)
    for index, _ in damaged_blocks(folder, fields, blocks):
        return blocks[:index]
    return blocks


def _listed(fields: list[Field]) -> str:
    return ", ".join(f"{f.name} {f.dtype} {f.shape}" for f in fields)


def _flush(files: list[IO[bytes]]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())
