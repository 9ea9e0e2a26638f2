"""Takes caches in `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dts.cache.dataset import CachedBatches
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
                the cache and goes through its views.

        Raises:
            ValueError: If the cache lacks what a loss reads, or labels or
                weights are given beside it.
        """
        del teacher
        cache: TeacherCache = options["x"]
        _check_alone(options)
        batch_size = options.pop("batch_size", None)
        if batch_size is None:
            batch_size = 32
        check_count("batch_size", batch_size)
        self._check(cache)
        batches = cache.batches(
            batch_size,
            shuffle=training and options.get("shuffle", True),
            epoch=options.get("initial_epoch", 0),
        )
        options["x"] = batches
        if training:
            options["shuffle"] = False
            options["callbacks"] = [
                *keras.tree.flatten(options.get("callbacks") or []),
                _BeginEpoch(batches),
            ]

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Raises a `ValueError`, since a cache is not one batch."""
        raise ValueError(
            "`x` must be one batch. Received: a cache of "
            f"{len(options['x'])} examples, which `fit`, `evaluate` and "
            "`predict` take"
        )


class _BeginEpoch(keras.callbacks.Callback):
    """Sets the epoch of cached batches.

    Keras calls methods of a `PyDataset` for each epoch, but also when it only
    reads the first batch to see the shapes.
    """

    def __init__(self, batches: CachedBatches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Selects the order and the views of the epoch."""
        self._batches.begin(epoch)


def _check_alone(options: dict[str, Any]) -> None:
    """Raises if data are given that the cache holds."""
    for name in ("y", "sample_weight", "validation_split"):
        value = options.get(name)
        if value is not None and not (np.isscalar(value) and value == 0):
            raise ValueError(
                f"`{name}` must not be given if `x` is a cache, which holds "
                f"labels and weights. Received: {name}={value!r}"
            )
