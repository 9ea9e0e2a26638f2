"""How a cache stores a teacher's outputs, and how they are restored.

A cache stores logits, whatever the teacher returns and whatever the dtype:
probabilities lose their small values in 16 or 8 bits, logarithms do not.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import keras

from keras_dts.cache.fields import FieldKind
from keras_dts.cache.quantization import dequantize
from keras_dts.cache.structure import Array
from keras_dts.logits import (
    find_output_kinds,
    from_stored_logits,
    gives_logits,
    to_stored_logits,
    top_classes,
)
from keras_dts.types import CachedBatch, Tensor


class OutputCodec:
    """Converts a teacher's outputs to those of a cache, and back.

    Args:
        teacher: The teacher.
        from_logits: Whether the teacher's outputs are logits, or `"auto"`.
        top_k: The number of classes to store, or `None` for all. Restoring
            does not need it.
    """

    def __init__(
        self,
        teacher: keras.Model,
        from_logits: bool | str,
        top_k: int | None = None,
    ) -> None:
        find_output_kinds(teacher, from_logits)
        self._teacher = teacher
        self._from_logits = from_logits
        self._top_k = top_k
        self._stored_unchanged: dict[int, bool] = {}

    def store(self, index: int, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns one of the teacher's outputs as a cache stores it.

        Args:
            index: The number of the output, in the order of
                `keras.tree.flatten`.
            output: The output, shape `(batch, ..., classes)`.

        Returns:
            Logits of the same shape, and `None`. Or, where there are more
            than `top_k + 1` classes, the log probabilities of the `top_k`
            most probable ones and of the rest, shape
            `(batch, ..., top_k + 1)`, and the indices of the classes, int32,
            shape `(batch, ..., top_k)`.

        Raises:
            ValueError: If an output of which some classes are to be stored
                is no distribution over classes.
        """
        unchanged = self._is_stored_unchanged(index)
        logits = to_stored_logits(output, from_logits=unchanged)
        k = self._top_k
        if k is None or k + 1 >= output.shape[-1]:
            return logits, None
        # Raises for an output that is no distribution.
        gives_logits(self._teacher, index, self._from_logits)
        return top_classes(logits, k)

    def restore(self, batch: CachedBatch) -> list[Tensor]:
        """Returns the teacher's outputs for a batch of a cache.

        Args:
            batch: The batch.

        Returns:
            Each output as the teacher returns it, logits or probabilities,
            but float32 or wider. Top-k outputs stay log probabilities.
        """
        return [
            output
            if str(index) in batch.classes
            else from_stored_logits(
                output, from_logits=self._is_stored_unchanged(index)
            )
            for index, output in enumerate(batch.outputs)
        ]

    def _is_stored_unchanged(self, index: int) -> bool:
        """Returns whether an output needs no logarithm to be stored."""
        if index not in self._stored_unchanged:
            try:
                unchanged = gives_logits(
                    self._teacher, index, self._from_logits
                )
            except ValueError:  # a row of sigmoids, which is no distribution
                unchanged = True
            self._stored_unchanged[index] = unchanged
        return self._stored_unchanged[index]


def output_indices(fields: Container[str]) -> range:
    """Returns the numbers of the outputs.

    Args:
        fields: The names of all fields.
    """
    return range(len(FieldKind.OUTPUT.names_in(fields)))


def read_output(
    read: Callable[[str], Array], fields: Container[str], index: int
) -> Array:
    """Returns an output from its fields.

    Args:
        read: A function from the name of a field to its values.
        fields: The names of all fields.
        index: The number of the output.

    Returns:
        The output as it was stored; values in 8 bits become float32.
    """
    values = read(FieldKind.OUTPUT.name_of(index))
    ends = FieldKind.RANGE.name_of(index)
    return dequantize(values, read(ends)) if ends in fields else values


def read_batch(
    x: Any,
    read: Callable[[str], Array],
    fields: Container[str],
    features: list[str],
) -> CachedBatch:
    """Returns the inputs of a batch with what its fields hold.

    Args:
        x: The inputs.
        read: A function from the name of a field to its values.
        fields: The names of all fields.
        features: The paths of the features, in the order of their fields.
    """
    names = [FieldKind.CLASSES.name_of(i) for i in output_indices(fields)]
    return CachedBatch(
        x,
        tuple(read_output(read, fields, i) for i in output_indices(fields)),
        {
            str(i): read(name).astype("int32")
            for i, name in enumerate(names)
            if name in fields
        },
        {
            layer: read(FieldKind.FEATURE.name_of(i))
            for i, layer in enumerate(features)
        },
    )
