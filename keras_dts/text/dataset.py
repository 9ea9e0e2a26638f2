"""Raw strings as a `tf.data.Dataset`, tokenized in the input pipeline."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import keras

from keras_dts.text.strings import as_arrays, holds_strings
from keras_dts.utils import require

# Batches that are tokenized at the same time, at most.
_WORKERS = 4
# Tokenized batches that wait for a training step.
_PREFETCHED = 4


def tensorflow() -> Any:
    """Returns TensorFlow, which tokenizes raw strings on every backend."""
    return require("text", "Raw strings in `x`", "tensorflow")[0]


def is_dataset(data: Any) -> bool:
    """Returns whether data are a `tf.data.Dataset`."""
    return hasattr(data, "element_spec")


def holds_raw_strings(data: Any) -> bool:
    """Returns whether inputs, or the inputs of a data set, are strings."""
    if not is_dataset(data):
        return holds_strings(data)
    return any("string" in str(s.dtype) for s in _input_specs(data))


def tokenized_dataset(raw: Any, preprocess: Callable[..., Any]) -> Any:
    """Returns a data set that tokenizes the batches of another one.

    Args:
        raw: A `tf.data.Dataset` of raw batches.
        preprocess: A function from `(x, y, sample_weight)`, as far as they
            exist, to a batch that the models take.
    """
    workers = min(_WORKERS, os.cpu_count() or 1)
    return raw.map(preprocess, num_parallel_calls=workers).prefetch(_PREFETCHED)


def strict_batches(data: Any) -> Any:
    """Returns a data set whose strings are checked when it is iterated.

    Args:
        data: A `tf.data.Dataset` of raw batches. Iterating over the result
            raises an error of TensorFlow at strings that are no valid UTF-8.

    Raises:
        ValueError: If the elements of `data` are single examples.
    """
    specs = _input_specs(data)
    if any(spec.shape.rank == 0 for spec in specs):
        raise ValueError(
            "`x` must be a data set of batches, as `dataset.batch(32)` makes "
            f"it. Received: a data set of single elements, {specs}"
        )
    tf = tensorflow()

    def check(x: Any) -> Any:
        if x.dtype != tf.string:
            return x
        return tf.strings.unicode_transcode(x, "UTF-8", "UTF-8", "strict")

    return data.map(
        lambda x, *others: (tf.nest.map_structure(check, x), *others)
    )


def raw_batches(
    x: Any,
    y: Any,
    sample_weight: Any,
    batch_size: int | None,
    *,
    shuffle: bool,
) -> Any:
    """Returns strings in memory as a `tf.data.Dataset` of raw batches.

    Args:
        x: The inputs.
        y: The labels, or `None`.
        sample_weight: The weights, or `None`.
        batch_size: Examples in a batch; `None` means 32.
        shuffle: Whether each epoch has another order, seeded by
            `keras.utils.set_random_seed`.

    Raises:
        ValueError: If strings are invalid, or the lengths differ.
    """
    arrays = as_arrays(x, y, sample_weight)
    tf = tensorflow()
    raw = tf.data.Dataset.from_tensor_slices(arrays)
    # With autotuning, a pipeline takes up to seconds to end.
    options = tf.data.Options()
    options.autotune.enabled = False
    raw = raw.with_options(options)
    if shuffle:
        raw = raw.shuffle(len(raw), seed=random.randrange(2**31))
    return raw.batch(batch_size or 32)


def shuffle_like_keras(options: dict[str, Any]) -> None:
    """Replaces raw strings in memory by batches in random order.

    `fit` of a KerasHub task does not shuffle strings in memory; Keras's `fit`
    shuffles arrays.

    Args:
        options: The arguments of a task's `fit`, by name.
    """
    x = options["x"]
    if not is_dataset(x) and holds_strings(x):
        options["x"] = raw_batches(*take_data(options), shuffle=True)
        options["shuffle"] = False


def take_data(options: dict[str, Any]) -> tuple[Any, Any, Any, int | None]:
    """Removes data and batch size from a method's arguments.

    Args:
        options: The arguments by name.

    Returns:
        `x`, `y`, `sample_weight` and `batch_size`, each `None` if missing.
    """
    x, y, weight, size = (
        options.pop(name, None)
        for name in ("x", "y", "sample_weight", "batch_size")
    )
    return x, y, weight, size


def _input_specs(data: Any) -> list[Any]:
    x, _, _ = keras.utils.unpack_x_y_sample_weight(data.element_spec)
    return keras.tree.flatten(x)
