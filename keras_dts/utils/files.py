"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path, writer: int = 0) -> Iterator[Path]:
    """Yields a path beside `path`, whose file then takes its place.

    Nobody finds half of a file at `path`: not a reader, and not who comes after
    a process that was killed. A link is followed.

    Args:
        path: The path of the file.
        writer: A number of its own for each process that writes the file at
            the same time; the last one's stays.
    """
    with _beside(path.resolve(), writer) as part:
        yield part


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step, so that no reader finds half of it.

    Nor does one after a power cut: the disk has the file before it replaces
    the one that was there. A link is replaced, and not followed.
    """
    with _beside(path) as part, part.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@contextlib.contextmanager
def _beside(path: Path, writer: int = 0) -> Iterator[Path]:
    part = path.with_name(f"part{writer or ''}.{path.name}")
    # Made anew, so that a link in its place is not followed.
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Waits until the disk has the names of a folder's files."""
    if os.name == "nt":  # which opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
