"""Takes arrays in `fit` where several processes are given the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dts.backend import dealing, shares_arrays
from keras_dts.cache import ArraySource, checksum
from keras_dts.hub import is_in_memory, split_off_validation
from keras_dts.utils import EpochBatches, batch_of, default_batch_size, flatten

_NAMES = ("x", "y", "sample_weight")
# Examples that processes compare.
_COMPARED = 64


class ArrayAdapter:
    """Turns arrays into this process's part of their batches.

    A `keras_dts.utils.DataAdapter`. A batch of all processes together has
    `batch_size` examples of one permutation, as that of a cache.

    Args:
        check_labels: Raises for labels that Keras would change.
    """

    def __init__(self, check_labels: Callable[[Any], None]) -> None:
        self._check_labels = check_labels

    def takes(self, x: Any) -> bool:
        """Returns whether inputs are arrays that all processes are given."""
        return x is not None and shares_arrays() and is_in_memory(x)

    def adapt(
        self, options: dict[str, Any], *, teacher: bool, training: bool = False
    ) -> None:
        """Replaces arrays by batches, if they train the student.

        Args:
            options: The arguments of `fit`, `evaluate` or `predict` by name.
            teacher: Has no effect.
            training: Whether these are the arguments of `fit`. Each process
                evaluates all data.

        Raises:
            ValueError: If processes have other arrays or arguments, or a
                batch has not an example for each.
        """
        del teacher
        if not training:
            return
        self._check_labels(options.get("y"))
        if options.get("validation_split"):
            split_off_validation(options)
        arrays = tuple(options.pop(name, None) for name in _NAMES)
        source = ArraySource(arrays)
        size = options.pop("batch_size", None)
        if size is None:
            steps = options.get("steps_per_epoch")
            size = default_batch_size(source.count, steps)
        shuffle = options.get("shuffle", True)
        rows = np.linspace(0, source.count - 1, _COMPARED).astype(int)
        some = [leaf for leaf in flatten(source.take(rows)) if leaf is not None]
        batches = EpochBatches(
            lambda rows, epoch: batch_of(*source.take(rows)),
            source.count,
            size,
            shuffle=shuffle,
            epoch=options.get("initial_epoch", 0),
            **dealing(
                "x",
                source.count,
                size,
                shuffle=shuffle,
                facts=(f"arrays with the checksum {checksum(some)}",),
            ),
        )
        batches.put_in(options)

    def adapt_batch(self, options: dict[str, Any], *, teacher: bool) -> None:
        """Does nothing: a process gives its own batch."""
