"""The log of a store: one line for each block of records, and the end.

Each line ends with a checksum of itself and of all lines before it, from the
header on. So a line that is changed, lost, doubled or of another store is
found by the line that follows it.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from keras_dts.cache.records import Field

LOG = "blocks.jsonl"
# The longest line that is read. A line has some 30 bytes for each field.
_LONGEST = 2**20


class Block(NamedTuple):
    """One line of the log.

    Attributes:
        records: The number of records in the block; 0 marks the end.
        given: The checksums of the inputs that the records were made from, of
            their labels and of their weights; 0 where there are none.
        sizes: The number of bytes of the block in each file.
        sums: The checksum of these bytes.
    """

    records: int
    given: list[int]
    sizes: list[int]
    sums: list[int]

    def sealed(self, seal: int) -> tuple[bytes, int]:
        """Returns the line of the log, and its checksum.

        Args:
            seal: The checksum of the line before, or of the header.
        """
        seal = zlib.crc32(json.dumps(self).encode(), seal)
        return (json.dumps([*self, seal]) + "\n").encode(), seal


END = Block(0, [], [], [])


class Log(NamedTuple):
    """The lines of a log up to the first one that is damaged.

    Attributes:
        blocks: The blocks, without the end.
        seal: The checksum of the last block's line.
        size: The number of bytes of the blocks' lines.
        is_complete: Whether the end follows.
        fault: What is wrong after the blocks, or `None`. A line that a killed
            run has begun is no fault.
    """

    blocks: list[Block]
    seal: int
    size: int
    is_complete: bool
    fault: str | None


def read_log(folder: Path, fields: list[Field], seal: int) -> Log:
    """Returns the log of a store.

    Args:
        folder: The directory of the store.
        fields: The fields of the records.
        seal: The checksum of the header.
    """
    file = folder / LOG
    blocks: list[Block] = []
    size, complete, fault = 0, False, None
    if not file.is_file():
        return Log([], seal, 0, False, "which is missing")
    with file.open("rb") as lines:
        while (line := lines.readline(_LONGEST)).endswith(b"\n"):
            block, next_seal = _read_line(line, fields, seal)
            if block == END:
                complete = True
                fault = "which goes on after its end" if lines.read(1) else None
                break
            if block is None:
                fault = f"of which line {len(blocks) + 1} is damaged"
                break
            blocks.append(block)
            seal, size = next_seal, size + len(line)
    return Log(blocks, seal, size, complete, fault)


def _read_line(
    line: bytes, fields: list[Field], seal: int
) -> tuple[Block | None, int]:
    """Returns the block of a line and its checksum, or `None` and 0."""
    try:
        *values, found = json.loads(line)
        block = Block(*values)
    except (ValueError, TypeError, RecursionError):
        return None, 0
    _, seal = block.sealed(seal)
    if found != seal or not (block == END or _is_sound(block, fields)):
        return None, 0
    return block, seal


def _is_sound(block: Block, fields: list[Field]) -> bool:
    """Returns whether a block has the sizes that its records take."""
    wanted = [n for field in fields for n in field.bytes_per_record]
    return (
        _are_counts([block.records], 1)
        and _are_counts(block.given, 3)
        and _are_counts(block.sizes, len(wanted))
        and _are_counts(block.sums, len(wanted))
        and block.records > 0
        and all(
            each is None or size == each * block.records
            for size, each in zip(block.sizes, wanted, strict=True)
        )
    )


def _are_counts(values: Any, length: int) -> bool:
    """Returns whether a value is a list of whole numbers below 2**48."""
    return (
        isinstance(values, list)
        and len(values) == length
        and all(type(value) is int and 0 <= value < 2**48 for value in values)
    )
