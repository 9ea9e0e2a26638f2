"""Takes caches in `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dts.backend import dealing
from keras_dts.cache.teacher_cache import TeacherCache
from keras_dts.utils import check_count


class CacheAdapter:
    """Turns a cache into batches with the teacher's outputs.

    A `keras_dts.utils.DataAdapter`.

    Args:
        check: A function that raises a `ValueError` unless a cache holds what
            a distiller reads.
    """

    def __init__(self, check: Callable[[TeacherCache], None]) -> None:
        self._check = check

    def takes(self, x: Any) -> bool:
        """Returns whether inputs are a cache."""
        return isinstance(x, TeacherCache)

    def adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> None:
        """Replaces a cache by its batches.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name.
            teacher: Has no effect, since the batches hold the teacher's
                outputs.
            training: Whether these are the arguments of `fit`, which shuffles
                the cache, goes through its views, and on several processes
                takes the part of each batch that is this one's.

        Raises:
            ValueError: If the cache lacks what a loss reads, labels or
                weights are given beside it, or other processes have another
                cache.
        """
        del teacher
        cache: TeacherCache = options["x"]
        _check_alone(options)
        batch_size = options.pop("batch_size", None)
        if batch_size is None:
            batch_size = 32
        check_count("batch_size", batch_size)
        self._check(cache)
        if not training:
            options["x"] = cache.batches(batch_size)
            return
        shuffle = options.get("shuffle", True)
        batches = cache.batches(
            batch_size,
            shuffle=shuffle,
            epoch=options.get("initial_epoch", 0),
            **dealing(
                "x",
                len(cache),
                batch_size,
                shuffle=shuffle,
                facts=("a cache", *cache.shards),
            ),
        )
        batches.put_in(options)

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Raises a `ValueError`, since a cache is not one batch."""
        raise ValueError(
            "`x` must be one batch. Received: a cache of "
            f"{len(options['x'])} examples, which `fit`, `evaluate` and "
            "`predict` take"
        )


def _check_alone(options: dict[str, Any]) -> None:
    """Raises if data are given that the cache holds."""
    for name in ("y", "sample_weight", "validation_split"):
        value = options.get(name)
        if value is not None and not (np.isscalar(value) and value == 0):
            raise ValueError(
                f"`{name}` must not be given if `x` is a cache, which holds "
                f"labels and weights. Received: {name}={value!r}"
            )
