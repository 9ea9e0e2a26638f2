"""The sizes of batches, as far as they are known before a training."""

from __future__ import annotations

import math
from typing import Any

import keras

from keras_dts.backend import batch_devices, indivisible
from keras_dts.cache import TeacherCache
from keras_dts.utils import default_batch_size


def check_fit_sizes(options: dict[str, Any], replicas: int = 1) -> None:
    """Raises if devices do not divide the batches of `fit`.

    Args:
        options: Its arguments by name, as they were given.
        replicas: How many replicas must divide the first batch.

    Raises:
        ValueError: If a batch of arrays, or of a cache for the validation,
            does not divide.
    """
    x = options.get("x")
    is_cache = isinstance(x, TeacherCache)
    if replicas > 1 and (examples := _examples_of(x)):
        steps = None if is_cache else options.get("steps_per_epoch")
        size = options.get("batch_size") or default_batch_size(examples, steps)
        first = min(size, examples)
        if first % replicas:
            raise ValueError(
                "`batch_size` must let the replicas of the strategy divide the "
                "first batch evenly, as Keras needs it. Received: a first "
                f"batch of {first} examples for {replicas} replicas"
            )
    if batch_devices() == 1:
        return
    epochs = options.get("epochs", 1) - options.get("initial_epoch", 0)
    # A cache leaves out the last batch of a training by itself.
    examples = None if is_cache else _examples_of(x)
    given = options.get("validation_data")
    if given is not None:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(given)
        others = _examples_of(x)
    elif examples is not None and options.get("validation_split"):
        left = math.floor(examples * (1 - options["validation_split"]))
        examples, others = left, examples - left
    else:
        others = None
    size = options.get("batch_size")
    _check("x", examples, size, options.get("steps_per_epoch"), epochs)
    name = "validation_split" if given is None else "validation_data"
    size = options.get("validation_batch_size") or size
    _check(name, others, size, options.get("validation_steps"), epochs)


def check_sizes(options: dict[str, Any]) -> None:
    """Raises if devices do not divide the batches of `evaluate` or `predict`.

    Args:
        options: The arguments by name, as they were given.

    Raises:
        ValueError: If a batch of arrays or of a cache does not divide.
    """
    if batch_devices() > 1:
        examples = _examples_of(options.get("x"))
        size = options.get("batch_size")
        _check("x", examples, size, options.get("steps"), 1)


def _examples_of(x: Any) -> int | None:
    """Returns how many examples inputs have, or `None` for a stream."""
    if isinstance(x, TeacherCache):
        return len(x)
    while isinstance(x, dict):
        x = next(iter(x.values()), None)
    if isinstance(x, (list, tuple)) and hasattr(next(iter(x), None), "shape"):
        x = x[0]
    if isinstance(x, (list, tuple)):  # of strings
        return len(x)
    shape = getattr(x, "shape", None)
    return int(shape[0]) if shape else None


def _check(
    name: str,
    examples: int | None,
    size: int | None,
    steps: int | None,
    epochs: int,
) -> None:
    """Raises for the first batch that the devices do not divide.

    Args:
        name: The argument that holds the data.
        examples: The number of examples, or `None` if it is not known.
        size: The `batch_size`.
        steps: How many batches an epoch has, if it does not have all.
        epochs: The number of epochs.
    """
    if not examples:
        return
    size = size or default_batch_size(examples, steps)
    batches = math.ceil(examples / size)
    reached = batches if steps is None else steps * epochs
    devices, data = batch_devices(), f"`{name}`"
    first, last = min(size, examples), examples % size
    if first % devices:
        raise indivisible(first, devices, data=data)
    if reached >= batches and last % devices:
        raise indivisible(last, devices, "a last batch", data)
