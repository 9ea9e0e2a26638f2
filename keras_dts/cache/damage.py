"""Finds bytes of a store that are not those that were written."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, NamedTuple

from keras_dts.cache.log import Block
from keras_dts.cache.records import Field

REMEDY = (
    "Call `keras_dts.cache_teacher` again, which makes this part anew from "
    "there on."
)


class Damage(NamedTuple):
    """The first damage of a store.

    Attributes:
        block: The index of the block, the number of blocks if all are whole.
        file: The damaged file.
        fault: What is wrong with it.
    """

    block: int
    file: Path
    fault: str


def file_sizes(fields: list[Field], blocks: list[Block]) -> dict[str, int]:
    """Returns the number of bytes that blocks take in each file, by name."""
    names = [name for field in fields for name, _, _ in field.files]
    return {
        name: sum(block.sizes[i] for block in blocks)
        for i, name in enumerate(names)
    }


def find_wrong_size(
    folder: Path, fields: list[Field], blocks: list[Block]
) -> Damage | None:
    """Returns the first file of a complete store that has another size."""
    for name, size in file_sizes(fields, blocks).items():
        file = folder / name
        if not file.is_file():
            return Damage(0, file, "which is missing")
        found = file.stat().st_size
        if found != size:
            fault = f"of {found} bytes, where {size} were written"
            return Damage(len(blocks), file, fault)
    return None


def find_damage(
    folder: Path, fields: list[Field], blocks: list[Block]
) -> Damage | None:
    """Returns the first block whose bytes are not those that were written."""
    found = []
    for position, name in enumerate(file_sizes(fields, [])):
        file = folder / name
        if not file.is_file():
            found.append(Damage(0, file, "which is missing"))
            continue
        with file.open("rb") as content:
            for index, block in enumerate(blocks):
                if not is_whole(
                    content.read(block.sizes[position]), block, position
                ):
                    found.append(Damage(index, file, block_fault(index)))
                    break
    return min(found, default=None)


def is_whole(content: Any, block: Block, position: int) -> bool:
    """Returns whether bytes are those of a block in a file.

    Args:
        content: The bytes, or an array of them.
        block: The block.
        position: The index of the file among the files of all fields.
    """
    return (
        len(content) == block.sizes[position]
        and zlib.crc32(content) == block.sums[position]
    )


def block_fault(index: int) -> str:
    """Returns what is wrong with a file of which a block is damaged."""
    return f"of which block {index} has another checksum"
