"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`, whose file then takes its place.

    Nobody finds half of a file at `path`: not a reader, and not who comes after
    a process that was killed. A link is followed.
    """
    path = path.resolve()
    part = path.with_name(f"part.{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step, so that no reader finds half of it."""
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")
