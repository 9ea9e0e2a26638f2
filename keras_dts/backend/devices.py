"""Several devices on JAX, as `keras.distribution` lays them out."""

from __future__ import annotations

import contextlib
import importlib
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_dts.backend.processes import batch_multiple
from keras_dts.backend.replicas import process_count

# What JAX says of a batch that its devices do not divide.
_INDIVISIBLE = re.compile(
    r"axis 0 is partitioned (\d+) times, but the dimension size is (\d+)"
)


def process_index() -> int:
    """Returns the number of this process among those of a training, from 0."""
    index: int = 0
    if _on_jax():
        index = _jax().process_index()
    elif process_count() > 1:
        index = importlib.import_module("torch.distributed").get_rank()
    return index


def batch_devices() -> int:
    """Returns among how many devices a process divides each batch.

    It is 1 without a `keras.distribution`, and on other backends.
    """
    # A process that holds a part of a model gets all of that model's batch.
    devices = batch_multiple()
    return max(devices // _jax().process_count(), 1) if devices > 1 else 1


@contextlib.contextmanager
def checked_batches() -> Iterator[None]:
    """Raises in plain words if devices do not divide a batch.

    For batches of a size that nobody knows before they come.

    Raises:
        ValueError: Instead of JAX's own error.
    """
    try:
        yield
    except ValueError as error:
        found = _INDIVISIBLE.search(str(error))
        if not found or int(found[1]) != batch_multiple():
            raise
        raise indivisible(int(found[2]), int(found[1])) from error


def indivisible(
    size: int, devices: int, batch: str = "a batch", data: str = "the data"
) -> ValueError:
    """Returns the error for a batch that the devices do not divide.

    Args:
        size: The number of its examples.
        devices: The number of devices.
        batch: Which batch it is.
        data: The argument that holds it.
    """
    return ValueError(
        f"The {devices} devices among which `keras.distribution` divides "
        "batches must divide each of them evenly, also the last one. Choose "
        "another `batch_size` or number of examples, or leave the rest out: "
        "`batch(batch_size, drop_remainder=True)` of a `tf.data.Dataset`. "
        f"Received: {batch} of {size} examples in {data}"
    )


def on_all_devices(array: np.ndarray[Any, Any]) -> Any:
    """Returns an array as Keras's variables are kept: whole on each device.

    Without a `keras.distribution` on JAX, that is the array itself.

    Args:
        array: The same array in each process.
    """
    layout = keras.distribution.distribution() if _on_jax() else None
    if layout is None:
        return array
    whole = keras.distribution.TensorLayout(
        [None] * array.ndim, layout.device_mesh
    )
    return keras.distribution.distribute_tensor(array, whole)


def numpy_value(variable: Any) -> np.ndarray[Any, Any]:
    """Returns the whole value of a variable.

    Where several processes hold a part of it each, all of them must call.

    Args:
        variable: A Keras variable.
    """
    value = variable.value
    if not _spans_processes(value):
        return keras.ops.convert_to_numpy(value)
    tools: Any = importlib.import_module("jax.experimental.multihost_utils")
    whole: np.ndarray[Any, Any] = tools.process_allgather(value, tiled=True)
    return whole


def bytes_on_devices(variable: Any) -> dict[str, int]:
    """Returns how many bytes of a variable lie on each device, by its name.

    On JAX these are the devices of all processes.

    Args:
        variable: A Keras variable.
    """
    value = variable.value
    if not _on_jax():
        torch = hasattr(value, "element_size")
        size = value.element_size() if torch else value.dtype.size
        name = str(value.device).rpartition("device:")[2].lower()
        return {name: math.prod(value.shape) * size}
    part = math.prod(value.sharding.shard_shape(value.shape))
    devices = sorted(value.sharding.device_set, key=lambda device: device.id)
    return {
        f"{d.platform}:{d.id}": part * value.dtype.itemsize for d in devices
    }


def is_divided(variable: Any) -> bool:
    """Says whether no device of JAX's has a variable whole.

    Args:
        variable: A Keras variable.
    """
    return _on_jax() and not variable.value.is_fully_replicated


def spanning(variables: Iterable[Any]) -> list[Any]:
    """Returns the variables that no process holds whole.

    Args:
        variables: Keras variables.
    """
    return [v for v in variables if _spans_processes(v.value)]


def _spans_processes(value: Any) -> bool:
    """Says whether no process can read a variable's value by itself."""
    if not _on_jax() or not isinstance(value, _jax().Array):
        return False
    return not (value.is_fully_addressable or value.is_fully_replicated)


def _on_jax() -> bool:
    found: bool = keras.config.backend() == "jax"
    return found


def _jax() -> Any:
    return importlib.import_module("jax")
