"""Opens files of a cache for writing, and locks them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from keras_dts.cache.errors import CacheInUseError, DamagedCacheError

# What a lock that another process holds answers, by platform.
_HELD = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_NO_LINKS = "Delete it, so that no file outside of the cache is changed."


def open_for_writing(file: Path) -> IO[bytes]:
    """Opens a file in place, unbuffered, and makes it if it does not exist.

    Raises:
        DamagedCacheError: If the file is a link, which is not followed, or
            no file at all.
    """
    flags = os.O_RDWR | os.O_CREAT
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    if file.is_symlink():  # not every platform has the flag
        raise DamagedCacheError.of(file, "which is a link", _NO_LINKS)
    opened = os.fdopen(os.open(file, flags, 0o666), "r+b", buffering=0)
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise DamagedCacheError.of(file, "which is no file", _NO_LINKS)
    return opened


def write(file: IO[bytes], path: Path, content: bytes) -> None:
    """Writes bytes to a file, and waits until the disk has them.

    Args:
        file: An unbuffered file.
        path: Its path, which an `OSError` names.
        content: The bytes.
    """
    rest = memoryview(content)
    with naming(path):
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the path of a file to an `OSError` that names none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def lock(file: IO[bytes], path: Path) -> None:
    """Locks a file until it is closed, or until its process ends.

    Args:
        file: The file, opened for writing.
        path: Its path.

    Raises:
        CacheInUseError: If the file is locked already.
    """
    try:
        _lock(file.fileno())
        held = not path.exists() or not os.path.samestat(
            os.fstat(file.fileno()), path.stat()
        )
    except OSError as error:
        held = error.errno in _HELD
        if not held:
            warnings.warn(
                f"{str(path)!r} cannot be locked ({error.strerror}). Let one "
                "process at a time write this part of the cache.",
                stacklevel=2,
            )
    if held:
        raise CacheInUseError(
            "`path` must be written by one process at a time. Wait for the "
            "other one, or give each its own `shard`. Received: "
            f"path={str(path.parent)!r}, which another one writes"
        )


if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    # A lock keeps readers out on Windows: a byte that no file has.
    _FAR = 2**31 - 2

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
