"""The files of a store of records: what a writer and a reader agree on.

A store is a directory:

- `header.json` holds the format, the metadata and the fields of the records;
- each field has one file, in which its values lie one after the other as in
  memory (strings have two: the bytes, and where each string ends);
- `blocks.jsonl` has one line with checksums for each block of records, and a
  last line that marks the end. The line is written after the block.

If a writer is killed, at most one block is incomplete; the next writer removes
it. A store holds no code. Every record can be read alone, by any number of
processes at the same time.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_dts.cache.structure import Array
from keras_dts.utils import write_text

# Raised with each change after which an older store means something else.
FORMAT = 2
HEADER = "header.json"
LOG = "blocks.jsonl"
_TEXT = "text"


class Field(NamedTuple):
    """One field of the records.

    Attributes:
        name: The name, after which the files are named.
        dtype: The name of a NumPy dtype, or `"text"` for one string a record.
        shape: The shape of the field in one record.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, values: Array) -> Field:
        """Returns the field of some values.

        Args:
            name: The name of the field.
            values: The values of several records, shape `(n, ...)`, or
                strings of dtype `object`, shape `(n,)`.
        """
        if values.dtype.kind == "O":
            return cls(name, _TEXT, ())
        return cls(name, values.dtype.name, tuple(values.shape[1:]))

    @property
    def is_text(self) -> bool:
        """Whether the field holds strings."""
        return self.dtype == _TEXT

    @property
    def files(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """The name of each file, and the dtype and shape of its entries."""
        if self.is_text:
            return [(self.ends_file, "int64", ()), (self.file, "uint8", ())]
        return [(self.file, self.dtype, self.shape)]

    @property
    def file(self) -> str:
        """The name of the file of the values."""
        return f"{self.name}.text" if self.is_text else f"{self.name}.bin"

    @property
    def ends_file(self) -> str:
        """The name of the file with the end of each string."""
        return f"{self.name}.ends"


class Block(NamedTuple):
    """One line of the log.

    Attributes:
        records: The number of records in the block; 0 marks the end.
        source: The checksum of the inputs that the records were made from.
        sizes: The number of bytes of the block in each file.
        sums: The checksum of these bytes.
    """

    records: int
    source: int
    sizes: list[int]
    sums: list[int]

    @property
    def line(self) -> bytes:
        """The line of the log."""
        return (json.dumps(self) + "\n").encode()


END = Block(0, 0, [], [])


def write_header(
    folder: Path, metadata: dict[str, Any], fields: list[Field]
) -> None:
    """Writes the header of a store."""
    header = {"format": FORMAT, "metadata": metadata, "fields": fields}
    write_text(folder / HEADER, json.dumps(header, indent=1))


def read_header(folder: Path) -> tuple[dict[str, Any], list[Field]]:
    """Returns the metadata and the fields of a store.

    Raises:
        ValueError: If the store has another format.
    """
    header = json.loads((folder / HEADER).read_text())
    # Format 1 kept its number in another place.
    found = header.get("format", 1)
    if found != FORMAT:
        raise ValueError(
            f"`path` must hold a cache of format {FORMAT}. Delete the old "
            "cache and call `keras_dts.cache_teacher` again. Received: "
            f"path={str(folder)!r} of format {found}"
        )
    fields = [Field(n, d, tuple(shape)) for n, d, shape in header["fields"]]
    return header["metadata"], fields


def logged_blocks(folder: Path) -> list[Block]:
    """Returns the blocks of a store's log, without an incomplete last line."""
    log = (folder / LOG).read_bytes() if (folder / LOG).exists() else b""
    *lines, _ = log.split(b"\n")
    return [Block(*json.loads(line)) for line in lines]


def file_sizes(fields: list[Field], blocks: list[Block]) -> dict[str, int]:
    """Returns the number of bytes that blocks take in each file, by name."""
    names = [name for field in fields for name, _, _ in field.files]
    return {
        name: sum(block.sizes[i] for block in blocks if block != END)
        for i, name in enumerate(names)
    }


def damaged_blocks(
    folder: Path, fields: list[Field], blocks: list[Block]
) -> list[tuple[int, str]]:
    """Returns the blocks whose bytes are not those that were written.

    Returns:
        The index of the first damaged block of each damaged file, and the
        name of the file, in the order of the indices.
    """
    damaged = []
    for position, name in enumerate(file_sizes(fields, [])):
        if not (folder / name).exists():
            damaged.append((0, name))
            continue
        with (folder / name).open("rb") as file:
            for index, block in enumerate(blocks):
                if block == END:
                    break
                found = file.read(block.sizes[position])
                if zlib.crc32(found) != block.sums[position]:
                    damaged.append((index, name))
                    break
    return sorted(damaged)


def checksum(values: Any, start: int = 0) -> int:
    """Returns a checksum of the dtypes, shapes and values of arrays.

    Args:
        values: An array, or a list of arrays. Strings have dtype `object`.
        start: The checksum of the arrays before these.
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
