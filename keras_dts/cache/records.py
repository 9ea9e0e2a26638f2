"""The files of a store of records: what a writer and a reader agree on.

A store is a directory:

- `header.json` holds the format, the metadata and the fields of the records;
- each field has one file, in which its values lie one after the other as in
  memory (strings have two: the bytes, and where each string ends);
- `blocks.jsonl` has one line with checksums for each block of records, and a
  last line that marks the end. The line is written after the block.

If a writer is killed, at most one block is incomplete; the next writer removes
it. A store holds no code, and names no file but its own. Every record can be
read alone, by any number of processes at the same time.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, NamedTuple

import numpy as np

from keras_dts.cache.fields import is_field_name
from keras_dts.cache.structure import Array

_TEXT = "text"
# All that a field may be. A dtype such as "object" would be code.
_DTYPES = {
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("bfloat16", "float16", "float32", "float64"),
    _TEXT,
}
_LARGEST = 2**40  # bytes of one record in a field
_MAX_RANK = 32


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

        Raises:
            ValueError: If a cache cannot hold the values.
        """
        is_text = values.dtype.kind == "O"
        dtype = _TEXT if is_text else values.dtype.name
        field = cls(name, dtype, tuple(values.shape[1:]))
        if not field.is_allowed:
            raise ValueError(
                "`data` must hold numbers, booleans or one string for each "
                f"example. Received: {name} of dtype {values.dtype} and shape "
                f"{values.shape}"
            )
        return field

    @property
    def is_text(self) -> bool:
        """Whether the field holds strings."""
        return self.dtype == _TEXT

    @property
    def is_allowed(self) -> bool:
        """Whether a store may have the field, also one from a stranger."""
        return (
            isinstance(self.name, str)
            and is_field_name(self.name)
            and isinstance(self.dtype, str)
            and self.dtype in _DTYPES
            and len(self.shape) <= _MAX_RANK
            and all(type(n) is int and 0 <= n < _LARGEST for n in self.shape)
            and math.prod(self.shape) * 8 < _LARGEST
            and not (self.is_text and self.shape)
        )

    @property
    def files(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """The name of each file, and the dtype and shape of its entries."""
        if self.is_text:
            return [(self.ends_file, "int64", ()), (self.file, "uint8", ())]
        return [(self.file, self.dtype, self.shape)]

    @property
    def bytes_per_record(self) -> list[int | None]:
        """The bytes of a record in each file; `None` if they differ."""
        if self.is_text:
            return [8, None]
        return [np.dtype(self.dtype).itemsize * math.prod(self.shape)]

    @property
    def file(self) -> str:
        """The name of the file of the values."""
        return f"{self.name}.text" if self.is_text else f"{self.name}.bin"

    @property
    def ends_file(self) -> str:
        """The name of the file with the end of each string."""
        return f"{self.name}.ends"


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
