"""Data that a policy holds, beside those that the student learns from."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.types import Tensor
from keras_dts.utils import flatten

_SEED = 0


class HeldOut(keras.layers.Layer):
    """Labelled examples as weights, and the batches of them.

    Batches follow each other through one random order, round and round.

    Args:
        data: `(x, y)` of arrays, or a data set of such batches; or what
            `shapes` returned, for weights that are loaded later.
        batch_size: The number of examples in a batch.

    Attributes:
        data: The weights that hold the examples.
        position: The weight that holds where the next batch begins.

    Raises:
        ValueError: If data hold no labels, strings or no end.
    """

    def __init__(self, data: Any, batch_size: int) -> None:
        super().__init__(name="held_out", autocast=False)
        arrays = _to_arrays(data)
        self._structure = keras.tree.map_structure(lambda _: None, arrays)
        flat = [_checked(array) for array in flatten(arrays)]
        self.size = len(flat[0])
        if any(len(array) != self.size for array in flat) or not self.size:
            raise ValueError(
                "`validation_data` must have as many labels as inputs, at "
                f"least one. Received: {[len(array) for array in flat]}"
            )
        order = np.random.default_rng(_SEED).permutation(self.size)
        self.data = [
            self.add_weight(
                name=f"data_{i}",
                shape=array.shape,
                dtype=str(array.dtype),
                initializer=lambda *_, array=array, **__: array[order],
                trainable=False,
            )
            for i, array in enumerate(flat)
        ]
        self.position = self.add_weight(
            name="position",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
        )
        # The greatest class index, if there is one output with indices.
        self._greatest: int | None = None
        if len(flatten(arrays[1])) == 1 and "int" in str(flat[-1].dtype):
            self._greatest = int(flat[-1].max())
        self.batch_size = min(batch_size, self.size)
        self.built = True

    def batch(self) -> tuple[Any, Any]:
        """Returns the inputs and the labels of the next batch."""
        rows = (self.position.value + ops.arange(self.batch_size)) % self.size
        taken = [ops.take(v.value, rows, axis=0) for v in self.data]
        x, y = keras.tree.pack_sequence_as(self._structure, taken)
        return x, y

    def next_position(self) -> Tensor:
        """Returns where the batch after the next one begins."""
        return (self.position.value + self.batch_size) % self.size

    def shapes(self) -> Any:
        """Returns the structure of the data, with a shape for each array."""
        shapes = [f"{v.dtype}:{','.join(map(str, v.shape))}" for v in self.data]
        return keras.tree.pack_sequence_as(self._structure, shapes)

    def check_classes(self, size: int | None) -> None:
        """Raises unless the labels are among the classes of an output.

        Args:
            size: The size of the student's output, `None` if it is unknown;
                1 is two classes.

        Raises:
            ValueError: If a class index is not less than their number.
        """
        if self._greatest is None or size is None:
            return
        classes = max(size, 2)
        if self._greatest >= classes:
            raise ValueError(
                "The class indices in `validation_data` must be less than the "
                f"number of the student's classes, {classes}. Received: "
                f"{self._greatest}"
            )


def _to_arrays(data: Any) -> Any:
    """Returns `(x, y)` of arrays."""
    if isinstance(data, (tuple, list)):
        batches = [data]
    elif isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        batches = [] if count is None else [data[i] for i in range(count)]
    else:
        endless = getattr(data, "cardinality", lambda: 0)() == -1
        ends = hasattr(data, "__iter__") and not endless
        batches = list(data) if ends else []
    if not batches:
        raise ValueError(
            "`validation_data` must be arrays `(x, y)`, or batches of them "
            f"that end. Received: {type(data).__name__}"
        )
    pairs = []
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                "`validation_data` must be inputs and labels, `(x, y)`. "
                f"Received: {type(batch).__name__}"
                + (f" of {len(batch)}" if hasattr(batch, "__len__") else "")
            )
        pairs.append(tuple(batch))
    return keras.tree.map_structure(
        lambda *parts: np.concatenate([_to_array(p) for p in parts]), *pairs
    )


def _to_array(values: Any) -> Any:
    """Returns an array; zeros where only a shape is known."""
    if isinstance(values, str) and ":" in values:
        dtype, shape = values.split(":")
        sizes = [int(size) for size in shape.split(",")]
        return np.zeros(sizes, dtype)
    if hasattr(values, "shape"):
        return ops.convert_to_numpy(values)
    return np.asarray(values)


def _checked(array: Any) -> Any:
    """Returns an array in a dtype that every backend holds."""
    if array.dtype.kind not in "biuf" or array.ndim == 0:
        raise ValueError(
            "`validation_data` must be arrays of numbers; strings are to be "
            f"tokenized first. Received: an array of {array.dtype}"
        )
    narrow = {"float64": "float32", "int64": "int32", "uint64": "uint32"}
    return array.astype(narrow.get(str(array.dtype), array.dtype))
