"""The header of a store, and all that one from a stranger may say."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from keras_dts.cache.errors import DamagedCacheError
from keras_dts.cache.fields import EXAMPLE, FieldKind
from keras_dts.cache.records import Field
from keras_dts.cache.structure import count_leaves
from keras_dts.utils import write_text

# Raised with each change after which an older store means something else.
FORMAT = 3
HEADER = "header.json"
_LONGEST = 2**24  # bytes
_UNREADABLE = "which is no header of a cache"
# What reading a header raises that is none.
_NO_HEADER = (
    *(AttributeError, IndexError, KeyError, RecursionError),
    *(TypeError, ValueError),
)
_REMEDY = (
    "Delete the folder and call `keras_dts.cache_teacher` again, which makes "
    "this part anew."
)


class Header(NamedTuple):
    """What the header of a store says.

    Attributes:
        metadata: How the records were made.
        fields: The fields of the records.
    """

    metadata: dict[str, Any]
    fields: list[Field]

    @property
    def seal(self) -> int:
        """The checksum of the header, with which the log begins."""
        text = json.dumps([FORMAT, *self], sort_keys=True)
        return zlib.crc32(text.encode())


def check_header(header: Header) -> None:
    """Raises a `ValueError` if a header could not be read."""
    fault = next(_faults(header), None)
    if fault is not None:
        raise ValueError(
            "`data` and the outputs of `teacher` must have shapes that a cache "
            f"can hold. Received: {fault}"
        )


def write_header(folder: Path, header: Header) -> None:
    """Writes the header of a store."""
    content = {
        "format": FORMAT,
        "checksum": header.seal,
        "metadata": header.metadata,
        "fields": header.fields,
    }
    write_text(folder / HEADER, json.dumps(content, indent=1))


def read_header(folder: Path) -> Header:
    """Returns the header of a store.

    Raises:
        DamagedCacheError: If the header is not as it was written, or says
            what no header says.
        ValueError: If the store has another format.
    """
    file = folder / HEADER
    try:
        content = json.loads(_text_of(file))
        # Format 1 kept its number in another place.
        found = content.get("format", 1 if "about" in content else None)
    except _NO_HEADER as error:
        raise DamagedCacheError.of(file, _UNREADABLE, _REMEDY) from error
    if found != FORMAT and type(found) is int:
        raise ValueError(
            f"`path` must hold a cache of format {FORMAT}. Delete the old "
            "cache and call `keras_dts.cache_teacher` again. Received: "
            f"path={str(folder)!r} of format {found}"
        )
    try:
        fields = [
            Field(n, d, tuple(shape)) for n, d, shape in content["fields"]
        ]
        header = Header(content["metadata"], fields)
        sound = content["checksum"] == header.seal
        fault = next(_faults(header), None) if sound else "another checksum"
    except _NO_HEADER as error:
        raise DamagedCacheError.of(file, _UNREADABLE, _REMEDY) from error
    if fault is not None:
        raise DamagedCacheError.of(file, f"which has {fault}", _REMEDY)
    return header


def _text_of(file: Path) -> str:
    if not file.is_file() or file.stat().st_size > _LONGEST:
        raise ValueError("no file, or too long")
    return file.read_text(encoding="utf-8")


def _faults(header: Header) -> Iterator[str]:
    """Yields what a header says that none says."""
    metadata, fields = header
    for name, allows in _METADATA.items():
        if not allows(metadata[name]):
            yield f"{name}={metadata[name]!r:.60}"
    steps = metadata.get("steps")  # caches had none once
    if steps is not None and not _is_count(steps):
        yield f"steps={steps!r:.60}"
    for field in fields:
        if not field.is_allowed:
            yield f"the field {tuple(field)!s:.80}"
    shapes = {field.name: field for field in fields}
    numbered = [name for kind in FieldKind for name in kind.names_in(shapes)]
    if len(shapes) != len(fields) or len(numbered) != len(fields):
        yield "fields that are not numbered from 0"
    yield from _faults_of_outputs(metadata, shapes)
    yield from _faults_of_examples(metadata, shapes)


def _faults_of_outputs(
    metadata: dict[str, Any], fields: dict[str, Field]
) -> Iterator[str]:
    outputs = FieldKind.OUTPUT.names_in(fields)
    if not outputs:
        yield "no outputs"
    if len(FieldKind.FEATURE.names_in(fields)) != len(metadata["features"]):
        yield "fields for other features"
    for name, field in fields.items():
        viewed = not field.is_text and not name.startswith(("y_", "weight_"))
        if viewed and field.shape[:1] != (metadata["views"],):
            yield f"another number of views of {name}"
    for index, name in enumerate(outputs):
        *entries, classes = fields[name].shape
        ends = fields.get(FieldKind.RANGE.name_of(index))
        if fields[name].dtype != metadata["dtype"] or (
            (ends is not None) != (metadata["dtype"] == "uint8")
        ):
            yield f"another dtype of {name}"
        if ends and ends[1:] != ("float16", (*entries, 2)):
            yield f"ranges that do not fit {name}"
        kept = fields.get(FieldKind.CLASSES.name_of(index))
        if kept and (
            kept.dtype not in ("uint16", "uint32")
            or kept.shape != (*entries, classes - 1)
        ):
            yield f"classes that do not fit {name}"
    for kind in (FieldKind.RANGE, FieldKind.CLASSES):
        if any(kind.name_of(i) in fields for i in range(len(outputs), 9999)):
            yield "classes or ranges without an output"


def _faults_of_examples(
    metadata: dict[str, Any], fields: dict[str, Field]
) -> Iterator[str]:
    for kind, part in zip(EXAMPLE, metadata["examples"]["tuple"], strict=True):
        wanted = 0 if metadata["in_memory"] else count_leaves(part)
        if len(kind.names_in(fields)) != wanted:
            yield f"another structure of {kind.name.lower()}s"


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


# What each entry of the metadata may be. All of them are there.
_METADATA: dict[str, Any] = {
    "teacher": lambda value: isinstance(value, str),
    "top_k": lambda value: value is None or _is_count(value),
    "dtype": lambda value: value in ("float32", "float16", "uint8"),
    "features": lambda value: (
        isinstance(value, list) and all(isinstance(v, str) for v in value)
    ),
    "from_logits": lambda value: value in (True, False, "auto"),
    "views": _is_count,
    "seed": lambda value: type(value) is int and value >= 0,
    "in_memory": lambda value: isinstance(value, bool),
    "examples": lambda value: count_leaves(value) >= 1,
    "changes": lambda value: isinstance(value, bool),
}
