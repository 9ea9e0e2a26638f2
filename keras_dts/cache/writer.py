"""Writes records to a store, block by block."""

from __future__ import annotations

import contextlib
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_dts.cache.checks import check_metadata
from keras_dts.cache.damage import (
    Damage,
    file_sizes,
    find_damage,
    find_wrong_size,
)
from keras_dts.cache.files import lock, naming, open_for_writing, write
from keras_dts.cache.header import (
    HEADER,
    Header,
    check_header,
    read_header,
    write_header,
)
from keras_dts.cache.log import END, LOG, Block, read_log
from keras_dts.cache.records import Field
from keras_dts.cache.structure import Array
from keras_dts.utils import sync_folder


class RecordWriter:
    """Appends blocks of records to a store, as the only writer.

    Nothing is changed before there is a block to write. A complete store is
    not opened for writing.

    Args:
        folder: The directory of the store. If it holds an incomplete store,
            the writer goes on after the last whole block; if it holds a
            damaged one, after the last block before the damage.
        metadata: A description of the records, for JSON.

    Raises:
        CacheInUseError: If another writer has the store.
        DamagedCacheError: If the store's header is damaged.
        ValueError: If the directory holds a store with other metadata, or of
            another format.
    """

    def __init__(self, folder: Path, metadata: dict[str, Any]) -> None:
        self.folder = folder
        self.metadata = metadata
        self.blocks: list[Block] = []
        self.count = 0  # records written
        self.is_complete = False
        # What is wrong after the last whole block, or `None`.
        self.damage: Damage | None = None
        self.lost = 0  # blocks after it
        self._fields: list[Field] = []
        self._seal = self._log_size = 0
        self._sizes: dict[str, int] = {}
        # The files of the fields, once they are open.
        self._files: dict[str, IO[bytes]] = {}
        self._log: IO[bytes] | None = None
        self._made: list[Path] = []
        if (folder / HEADER).exists():
            self._load(metadata, sizes_alone=True)
        if self.is_complete:
            self._load(metadata)
        if not self.is_complete:
            before = self.damage  # of a log that is not there yet
            self._log = self._locked_log()
            self._load(metadata)
            self.damage = self.damage or before

    def append(self, given: list[int], values: dict[str, Array]) -> None:
        """Appends a block.

        Args:
            given: The checksums of the inputs that the records were made
                from, of their labels and of their weights.
            values: The fields by name, one value for each record, each of
                shape `(n, ...)`; strings with dtype `object`.

        Raises:
            ValueError: If the fields differ from those of the first block.
        """
        fields = [Field.of(name, value) for name, value in values.items()]
        if self._fields and fields != self._fields:
            raise ValueError(
                "`data` must have examples of one shape, and the teacher must "
                f"have outputs of one shape. Received: {_listed(fields)}, "
                f"after {_listed(self._fields)}"
            )
        self._open(fields)
        parts = [
            part
            for field, value in zip(fields, values.values(), strict=True)
            for part in self._bytes(field, value)
        ]
        for (name, file), part in zip(self._files.items(), parts, strict=True):
            write(file, self.folder / name, part)
        block = Block(
            len(next(iter(values.values()))),
            given,
            [len(part) for part in parts],
            [zlib.crc32(part) for part in parts],
        )
        self._write_line(block)
        self.blocks.append(block)
        self.count += block.records

    def finish(self) -> None:
        """Writes the end of the store."""
        self._open(self._fields)
        self._write_line(END)
        self.is_complete = True

    def close(self) -> None:
        """Closes the files, and removes folders that are still empty."""
        for file in self._files.values():
            file.close()
        self._files = {}
        if self._log is not None:
            if self._made and not (self.folder / HEADER).exists():
                (self.folder / LOG).unlink(missing_ok=True)
                for folder in self._made:
                    with contextlib.suppress(OSError):
                        folder.rmdir()
            self._log.close()
            self._log = None

    def _load(
        self, wanted: dict[str, Any], *, sizes_alone: bool = False
    ) -> None:
        """Reads what the store holds, up to the first damage.

        Args:
            wanted: The metadata that the store must have.
            sizes_alone: Whether to take the bytes of the files for whole.
        """
        self.damage = None
        if not (self.folder / HEADER).exists():
            if (self.folder / LOG).stat().st_size:
                self.damage = Damage(
                    0, self.folder / HEADER, "which is missing"
                )
            return
        header = read_header(self.folder)
        self.metadata, self._fields = header
        check_metadata(self.folder, self.metadata, wanted)
        log = read_log(self.folder, self._fields, header.seal)
        if log.fault is not None:
            self.damage = Damage(len(log.blocks), self.folder / LOG, log.fault)
        found = (self.folder, self._fields, log.blocks)
        damages = [
            self.damage,
            None if sizes_alone else find_damage(*found),
            find_wrong_size(*found) if log.is_complete else None,
        ]
        self.damage = min(filter(None, damages), default=None)
        self.is_complete = log.is_complete and self.damage is None
        whole = self.damage.block if self.damage else len(log.blocks)
        self.lost = len(log.blocks) - whole
        self._keep(header, log.blocks[:whole])

    def _keep(self, header: Header, blocks: list[Block]) -> None:
        """Takes blocks for those that the store has."""
        self.blocks = blocks
        self.count = sum(block.records for block in blocks)
        self._seal, self._log_size = header.seal, 0
        for block in blocks:
            line, self._seal = block.sealed(self._seal)
            self._log_size += len(line)

    def _locked_log(self) -> IO[bytes]:
        """Returns the log, which no other writer can open now."""
        if self.folder.is_symlink():
            raise ValueError(
                "`path` must hold folders, and no links to folders. Received: "
                f"{str(self.folder)!r}, which is a link"
            )
        self._made = [
            folder
            for folder in (self.folder, *self.folder.parents)
            if not folder.exists()
        ]
        self.folder.mkdir(parents=True, exist_ok=True)
        log = open_for_writing(self.folder / LOG)
        try:
            lock(log, self.folder / LOG)
        except BaseException:
            log.close()
            raise
        return log

    def _open(self, fields: list[Field]) -> None:
        """Opens the files, and removes what follows the last whole block."""
        if self._files:
            return
        assert self._log is not None, "a complete store takes no block"
        header = Header(self.metadata, fields)
        if not self._fields:
            check_header(header)
        self._sizes = file_sizes(fields, self.blocks)
        for name, size in self._sizes.items():
            self._files[name] = open_for_writing(self.folder / name)
            _cut(self._files[name], self.folder / name, size)
        _cut(self._log, self.folder / LOG, self._log_size)
        if not self._fields:
            write_header(self.folder, header)
            self._fields, self._seal = fields, header.seal
        sync_folder(self.folder)

    def _bytes(self, field: Field, values: Array) -> list[bytes]:
        """Returns the bytes of values for each file of a field."""
        if not field.is_text:
            return [np.ascontiguousarray(values).tobytes()]
        texts = [text.encode() for text in values]
        start = self._sizes[field.file]
        ends = start + np.cumsum([len(text) for text in texts], dtype="int64")
        self._sizes[field.file] = int(ends[-1])
        return [ends.tobytes(), b"".join(texts)]

    def _write_line(self, block: Block) -> None:
        assert self._log is not None, "a complete store takes no block"
        line, self._seal = block.sealed(self._seal)
        write(self._log, self.folder / LOG, line)


def _cut(file: IO[bytes], path: Path, size: int) -> None:
    with naming(path):
        file.truncate(size)
        file.seek(size)


def _listed(fields: list[Field]) -> str:
    return ", ".join(f"{f.name} {f.dtype} {f.shape}" for f in fields)
