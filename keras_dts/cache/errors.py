"""The errors of caches that a program may want to catch."""

from __future__ import annotations

from pathlib import Path


class DamagedCacheError(ValueError):
    """A file of a cache is not as it was written.

    The message names the file and what is wrong with it.
    """

    @classmethod
    def of(cls, file: Path, fault: str, remedy: str) -> DamagedCacheError:
        """Returns the error for a file.

        Args:
            file: The file.
            fault: What is wrong with it.
            remedy: What repairs the cache, as an imperative.
        """
        return cls(
            "`path` must hold a cache as it was written. Received: "
            f"{str(file)!r}, {fault}. {remedy}"
        )


class CacheInUseError(RuntimeError):
    """Another process, or another thread, writes the same part of a cache."""
