"""Records on disk: flat files, and a log of what is whole.

A store is a directory:

- `header.json` says what the records are;
- for each field one file holds its values one after the other, as they lie
  in memory (texts: one file of bytes, and one of where each text ends);
- `blocks.jsonl` has a line with checksums for each block of records, written
  after the block itself, and a last line for the end.

A writer that is killed leaves at worst half a block behind, which the next
one cuts off. Nothing in a store is code. Each record can be read by itself,
by any number of processes.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_dts.utils import write_text

Array = npt.NDArray[Any]

HEADER = "header.json"
LOG = "blocks.jsonl"
_TEXT = "text"


class Field(NamedTuple):
    """One field of the records.

    Attributes:
        name: Its name, after which its files are named.
        dtype: A NumPy dtype's name, or `"text"` for one text a record.
        shape: Its shape in one record.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.dtype == _TEXT

    @property
    def files(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Each file's name, and the dtype and shape of an entry."""
        if self.is_text:
            return [
                (f"{self.name}.ends", "int64", ()),
                (f"{self.name}.text", "uint8", ()),
            ]
        return [(f"{self.name}.bin", self.dtype, self.shape)]


class Block(NamedTuple):
    """One line of the log.

    Attributes:
        records: How many records it has; 0 is the end.
        source: The checksum of what the records were made from.
        sizes: How many bytes it has in each file.
        sums: The checksums of these.
    """

    records: int
    source: int
    sizes: list[int]
    sums: list[int]


_END = Block(0, 0, [], [])


class Writer:
    """Appends blocks of records to a store.

    Args:
        folder: The store's directory. Where it holds the beginning of a
            store, the writer goes on after the last whole block.
        about: What the records are, for JSON.

    Raises:
        ValueError: If the directory holds a store of something else.
    """

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.about = about
        self._fields: list[Field] = []
        self._files: list[IO[bytes]] = []
        self._text_ends: dict[str, int] = {}
        self.blocks: list[Block] = []
        if (folder / HEADER).exists():
            self.about, self._fields = read_header(folder)
            check_about(folder, self.about, about)
            self.blocks = _whole_blocks(folder, self._fields)
            self._open("r+b")

    @property
    def is_complete(self) -> bool:
        """Whether the store has its end."""
        return self.blocks[-1:] == [_END]

    def append(self, source: int, values: dict[str, Array]) -> None:
        """Appends a block.

        Args:
            source: The checksum of what the records were made from.
            values: The fields by name, one value a record, each of shape
                `(n, ...)`; texts as objects.

        Raises:
            ValueError: If they do not fit the records before.
        """
        fields = [_field_of(name, value) for name, value in values.items()]
        if not self._files:
            self._begin(fields)
        if fields != self._fields:
            raise ValueError(
                "`data` must have examples of one shape, and the teacher must "
                f"answer in one shape. Received: {_listed(fields)}, after "
                f"{_listed(self._fields)}"
            )
        parts = [
            part
            for name, value in values.items()
            for part in self._bytes(name, value)
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
        """Writes the end."""
        self._log(_END)

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()
        self._files = []

    def _begin(self, fields: list[Field]) -> None:
        self._fields = fields
        self._open("w+b")
        header = {"about": self.about, "fields": fields}
        write_text(self.folder / HEADER, json.dumps(header, indent=1))

    def _open(self, mode: str) -> None:
        """Opens the files, the log last, and cuts off what is not whole."""
        sizes = _sizes(self._fields, self.blocks)
        sizes[LOG] = sum(len(_line(block)) for block in self.blocks)
        for name, size in sizes.items():
            file = (self.folder / name).open(mode)
            file.truncate(size)
            file.seek(size)
            self._files.append(file)
            self._text_ends[name] = size

    def _bytes(self, name: str, value: Array) -> list[bytes]:
        """Returns the bytes that go into each of a field's files."""
        if value.dtype.kind != "O":
            return [np.ascontiguousarray(value).tobytes()]
        texts = [text.encode() for text in value]
        start = self._text_ends[f"{name}.text"]
        ends = start + np.cumsum([len(text) for text in texts], dtype="int64")
        self._text_ends[f"{name}.text"] = int(ends[-1])
        return [ends.tobytes(), b"".join(texts)]

    def _log(self, block: Block) -> None:
        self.blocks.append(block)
        self._files[-1].write(_line(block))
        _flush(self._files[-1:])


class Reader:
    """Reads records of a complete store, in any order.

    Args:
        folder: The store's directory.

    Raises:
        ValueError: If there is no store, or it is not complete, or a file of
            it has another size than was written.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / HEADER).exists():
            raise ValueError(
                "`path` must hold a cache. Received: "
                f"path={str(folder)!r}, where there is none"
            )
        self.folder = folder
        self.about, self.fields = read_header(folder)
        blocks = _logged_blocks(folder)
        self.blocks = [block for block in blocks if block != _END]
        self.count = sum(block.records for block in self.blocks)
        if len(self.blocks) == len(blocks):
            raise ValueError(
                "`path` must hold a complete cache; call "
                "`keras_dts.cache_teacher` again to go on with this one. "
                f"Received: path={str(folder)!r}, which ends after "
                f"{self.count} examples"
            )
        for name, size in _sizes(self.fields, self.blocks).items():
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
        """How many bytes the records take."""
        return sum(_sizes(self.fields, self.blocks).values())

    def read(
        self, field: Field, rows: Array, columns: Array | None = None
    ) -> Array:
        """Returns a field of some records.

        Args:
            field: The field.
            rows: Which records, int64, shape `(n,)`.
            columns: `None`, or which entry of each record to take, of a field
                that is no text.

        Returns:
            Shape `(n, ...)`; texts as objects.
        """
        if not field.is_text:
            values = self._arrays[f"{field.name}.bin"]
            found: Array
            found = values[rows] if columns is None else values[rows, columns]
            return found
        ends = self._arrays[f"{field.name}.ends"]
        text = self._arrays[f"{field.name}.text"]
        starts = np.where(rows > 0, ends[rows - 1], 0)
        spans = zip(starts, ends[rows], strict=True)
        texts = [text[start:end].tobytes().decode() for start, end in spans]
        return np.array(texts, dtype=object)

    def check_sums(self) -> None:
        """Raises a `ValueError` unless every byte is as it was written."""
        for index, name in _damaged(self.folder, self.fields, self.blocks):
            raise ValueError(
                "`path` must hold a cache as it was written. Received: "
                f"{str(self.folder / name)!r}, of which block {index} has "
                "another checksum"
            )


def checksum(values: Any, start: int = 0) -> int:
    """Returns a checksum of arrays: of their dtypes, shapes and values.

    Args:
        values: An array, of objects if it holds texts, or a list of arrays.
        start: The checksum to go on from.
    """
    if isinstance(values, list):
        for value in values:
            start = checksum(value, start)
        return start
    if values.dtype.kind == "O":
        texts = [text.encode() for text in values.reshape(-1)]
        start = checksum(np.array([len(text) for text in texts]), start)
        return zlib.crc32(b"".join(texts), start)
    start = zlib.crc32(f"{values.dtype} {values.shape}".encode(), start)
    return zlib.crc32(np.ascontiguousarray(values).tobytes(), start)


def read_header(folder: Path) -> tuple[dict[str, Any], list[Field]]:
    """Returns what a store's records are, and their fields."""
    header = json.loads((folder / HEADER).read_text())
    fields = [Field(n, d, tuple(shape)) for n, d, shape in header["fields"]]
    return header["about"], fields


def check_about(
    folder: Path, found: dict[str, Any], about: dict[str, Any]
) -> None:
    """Raises a `ValueError` unless a store is about what is asked for.

    Args:
        folder: The store's directory.
        found: What it is about.
        about: What is asked for.
    """
    # As JSON gives it back.
    about = json.loads(json.dumps(about))
    for name, value in about.items():
        if found.get(name) != value:
            raise ValueError(
                f"`path` must hold a cache with the same `{name}`, or none. "
                f"Received: path={str(folder)!r}, which was made with "
                f"{name}={found.get(name)!r}, not {value!r}"
            )


def _field_of(name: str, values: Array) -> Field:
    if values.dtype.kind == "O":
        return Field(name, _TEXT, ())
    return Field(name, values.dtype.name, tuple(values.shape[1:]))


def _listed(fields: list[Field]) -> str:
    return ", ".join(f"{f.name} {f.dtype} {f.shape}" for f in fields)


def _line(block: Block) -> bytes:
    return (json.dumps(block) + "\n").encode()


def _logged_blocks(folder: Path) -> list[Block]:
    """Returns the log's blocks; a last line that is torn is none."""
    log = (folder / LOG).read_bytes() if (folder / LOG).exists() else b""
    *lines, _ = log.split(b"\n")
    return [Block(*json.loads(line)) for line in lines]


def _whole_blocks(folder: Path, fields: list[Field]) -> list[Block]:
    """Returns the blocks up to the first one that is not on disk."""
    blocks = _logged_blocks(folder)
    for index, _ in _damaged(folder, fields, blocks):
        return blocks[:index]
    return blocks


def _damaged(
    folder: Path, fields: list[Field], blocks: list[Block]
) -> list[tuple[int, str]]:
    """Lists blocks that are not as they were written, by file."""
    damaged = []
    for position, name in enumerate(_sizes(fields, [])):
        if not (folder / name).exists():
            damaged.append((0, name))
            continue
        with (folder / name).open("rb") as file:
            for index, block in enumerate(blocks):
                if block == _END:
                    break
                found = file.read(block.sizes[position])
                if zlib.crc32(found) != block.sums[position]:
                    damaged.append((index, name))
                    break
    return sorted(damaged)


def _sizes(fields: list[Field], blocks: list[Block]) -> dict[str, int]:
    """Returns how many bytes each file must have, by name."""
    names = [name for field in fields for name, _, _ in field.files]
    return {
        name: sum(block.sizes[i] for block in blocks if block != _END)
        for i, name in enumerate(names)
    }


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _mapped(file: Path, dtype: str, shape: tuple[int, ...]) -> Array:
    if _size(file) == 0:  # which cannot be mapped
        return np.zeros((0, *shape), dtype)
    flat = np.memmap(file, dtype, "r")
    return np.asarray(flat).reshape(-1, *shape)


def _flush(files: list[IO[bytes]]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())
