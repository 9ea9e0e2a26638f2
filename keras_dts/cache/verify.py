"""Compares the outputs in a cache with those that a teacher computes."""

from __future__ import annotations

import numpy as np

from keras_dts.cache.examples import Examples
from keras_dts.cache.fields import FieldKind
from keras_dts.cache.outputs import read_output
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.shards import ShardedReader
from keras_dts.cache.structure import Array

# The allowed difference of values of size 1 at most, by the dtype of the
# cache: batches of another size round otherwise, float16 has 11 bits, and a
# step of 8 bits may be a 255th of a wide range.
_TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "uint8": 5e-2}


def compare_some_outputs(
    records: ShardedReader,
    examples: Examples,
    predictor: TeacherPredictor,
    samples: int,
) -> float:
    """Compares outputs of some examples, drawn at random, with a teacher's.

    Args:
        records: The records of a cache.
        examples: The examples of the cache.
        predictor: Runs the teacher.
        samples: The number of examples.

    Returns:
        The largest difference, as `compare_outputs` does.

    Raises:
        ValueError: If values differ by more than the dtype explains.
    """
    count = records.count
    rows = np.random.default_rng().choice(
        count, min(samples, count), replace=False
    )
    x, _, _ = examples.take(rows, np.zeros_like(rows))
    return compare_outputs(records, predictor.predict(x), rows)


def compare_outputs(
    records: ShardedReader, computed: dict[str, Array], rows: Array
) -> float:
    """Compares the first view of some examples with computed fields.

    Args:
        records: The records of a cache.
        computed: The fields of the examples, as `TeacherPredictor.predict`
            returns them.
        rows: The indices of the examples, int64, shape `(n,)`.

    Returns:
        The largest difference between values; of top-k outputs between
        probabilities.

    Raises:
        ValueError: If values differ by more than the dtype explains.
    """
    tolerance = _TOLERANCE[records.metadata["dtype"]]
    first_view = np.zeros_like(rows)

    def read(name: str) -> Array:
        return records.read(name, rows, first_view)

    largest = 0.0
    for index, name in enumerate(FieldKind.OUTPUT.names_in(computed)):
        stored, expected = (
            read_output(read, records.fields, index),
            read_output(computed.__getitem__, computed, index),
        )
        if FieldKind.CLASSES.name_of(index) in computed:
            # The order of classes with equal logits may differ, and so their
            # indices; the sorted log probabilities do not.
            stored, expected = (
                np.exp(x.astype("float32")) for x in (stored, expected)
            )
        found = _difference(name, stored, expected, rows, tolerance)
        largest = max(largest, found)
    for name in FieldKind.FEATURE.names_in(computed):
        found = _difference(name, read(name), computed[name], rows, tolerance)
        largest = max(largest, found)
    return largest


def _difference(
    name: str, stored: Array, expected: Array, rows: Array, tolerance: float
) -> float:
    """Returns the largest difference of two fields of some examples.

    Args:
        name: The name of the field, for the message.
        stored: The values in the cache, shape `(n, ...)`.
        expected: The values that the teacher computes, of the same shape.
        rows: The indices of the examples, shape `(n,)`.
        tolerance: The allowed difference, relative to an example's largest
            value if that is above 1.
    """
    stored, expected = (
        x.astype("float32").reshape(len(rows), -1) for x in (stored, expected)
    )
    apart = np.abs(stored - expected).max(axis=1)  # (n,)
    scale = np.maximum(np.abs(expected), 1).max(axis=1)  # (n,)
    worst = int(np.argmax(apart / scale))
    if apart[worst] > tolerance * scale[worst]:
        raise ValueError(
            "`teacher` must compute the outputs that are in the cache. "
            f"Received: another {name} for example {rows[worst]}, which "
            f"differs by {apart[worst]:.3g}"
        )
    return float(apart.max())
