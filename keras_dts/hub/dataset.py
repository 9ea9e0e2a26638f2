"""Raw inputs as a `tf.data.Dataset`, preprocessed in the input pipeline."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_dts.hub.strings import (
    as_array,
    as_arrays,
    holds_strings,
    map_array_leaves,
)
from keras_dts.hub.tasks import is_task
from keras_dts.utils import require

# Batches that are preprocessed at the same time, at most.
_WORKERS = 4
# Preprocessed batches that wait for a training step.
_PREFETCHED = 4


def tensorflow() -> Any:
    """Returns TensorFlow, which preprocesses raw inputs on every backend."""
    return require("text", "Raw inputs in `x`", "tensorflow")[0]


def is_dataset(data: Any) -> bool:
    """Returns whether data are a `tf.data.Dataset`."""
    return hasattr(data, "element_spec")


def is_in_memory(data: Any) -> bool:
    """Returns whether data are arrays, or a structure of them."""
    arrays = hasattr(data, "shape") or hasattr(data, "__array__")
    return arrays or isinstance(data, (list, tuple, dict, str, bytes))


def holds_raw_strings(data: Any) -> bool:
    """Returns whether inputs, or the inputs of a data set, hold strings.

    Args:
        data: The inputs, a `tf.data.Dataset`, or a `keras.utils.PyDataset`.
    """
    if is_dataset(data):
        return any("string" in str(s.dtype) for s in _input_specs(data))
    if isinstance(data, keras.utils.PyDataset):
        data, _, _ = keras.utils.unpack_x_y_sample_weight(data[0])
    return holds_strings(data)


def raw_dataset(options: dict[str, Any], *, shuffle: bool) -> Any:
    """Returns raw inputs as a `tf.data.Dataset` of batches.

    Args:
        options: The arguments of a method by name. Data and batch size of
            inputs in memory are removed.
        shuffle: Whether inputs in memory have another order in each epoch.

    Raises:
        ValueError: If the inputs are invalid, or come from an iterator.
    """
    x = options["x"]
    if is_dataset(x):
        return _strict_batches(x)
    if is_in_memory(x):
        return raw_batches(*take_data(options), shuffle=shuffle)
    return _dataset_of(x)


def preprocessed_dataset(raw: Any, preprocess: Callable[..., Any]) -> Any:
    """Returns a data set that preprocesses the batches of another one.

    Args:
        raw: A `tf.data.Dataset` of raw batches.
        preprocess: A function from `(x, y, sample_weight)`, as far as they
            exist, to a batch that the models take.
    """
    workers = min(_WORKERS, os.cpu_count() or 1)
    return raw.map(preprocess, num_parallel_calls=workers).prefetch(_PREFETCHED)


def _strict_batches(data: Any) -> Any:
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
    """Returns inputs in memory as a `tf.data.Dataset` of raw batches.

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
    arrays = tf.nest.map_structure(tf.constant, arrays)
    examples = len(tf.nest.flatten(arrays)[0])
    # Positions are shuffled, since a buffer would copy the examples.
    raw = tf.data.Dataset.range(examples)
    # With autotuning, a pipeline takes up to seconds to end.
    options = tf.data.Options()
    options.autotune.enabled = False
    raw = raw.with_options(options)
    if shuffle:
        raw = raw.shuffle(examples, seed=random.randrange(2**31))

    def take(rows: Any) -> tuple[Any, ...]:
        batch = tf.nest.map_structure(lambda a: tf.gather(a, rows), arrays)
        return tuple(batch)

    return raw.batch(batch_size or 32).map(take)


def _dataset_of(batches: Any) -> Any:
    """Returns batches that can be read again as a `tf.data.Dataset`.

    Args:
        batches: A `keras.utils.PyDataset`, or an iterable, such as a
            `DataLoader` of PyTorch or Grain.

    Raises:
        ValueError: If `batches` are an iterator, or not iterable.
    """
    indexed = isinstance(batches, keras.utils.PyDataset)
    readable = hasattr(batches, "__iter__") and iter(batches) is not batches
    if not indexed and not readable:
        raise ValueError(
            "`x` must be arrays, or batches that can be read again, such as a "
            "`tf.data.Dataset`, for a KerasHub task with a `preprocessor`. "
            f"Received: {batches!r} of type {type(batches).__name__}. "
            "`task.preprocessor = None` takes inputs that are ready"
        )
    tf = tensorflow()

    def generate() -> Iterator[Any]:
        yield from map(_batch_of_arrays, _each_batch(batches))

    specs = keras.tree.map_structure(
        lambda leaf: tf.TensorSpec(
            (None, *leaf.shape[1:]),
            tf.string if leaf.dtype.kind == "O" else leaf.dtype,
        ),
        next(generate()),
    )
    data = tf.data.Dataset.from_generator(generate, output_signature=specs)
    count = batches.num_batches if indexed else _length_of(batches)
    if count is None:
        return data
    return data.apply(tf.data.experimental.assert_cardinality(count))


def _each_batch(batches: Any) -> Iterator[Any]:
    if not isinstance(batches, keras.utils.PyDataset):
        yield from batches
        return
    count = batches.num_batches
    for i in itertools.count() if count is None else range(count):
        yield batches[i]
    batches.on_epoch_end()


def _batch_of_arrays(batch: Any) -> tuple[Any, ...]:
    """Returns a batch as a tuple of structures of NumPy arrays."""
    batch = tuple(batch) if isinstance(batch, list) else batch
    parts = batch if isinstance(batch, tuple) else (batch,)
    return tuple(map_array_leaves(as_array, part) for part in parts)


def _length_of(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:
        return None


def shuffle_like_keras(model: keras.Model, options: dict[str, Any]) -> None:
    """Replaces a task's inputs in memory by batches in random order.

    `fit` of a KerasHub task does not shuffle inputs in memory, whether they are
    raw or tokens; Keras's `fit` shuffles arrays.

    Args:
        model: The model, which may be a task.
        options: The arguments of its `fit`, by name.
    """
    if is_task(model) and is_in_memory(options["x"]):
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
