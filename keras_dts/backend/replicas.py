"""Replicas of a model that train together, each on a part of a batch.

Replicas are threads of a strategy on TensorFlow, and processes on PyTorch. JAX
needs none of this: its compiled step sees the whole batch, on however many
devices and processes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_dts.types import Tensor

# Steps ask often; Keras has imported its backend.
_backend: str = keras.config.backend()
_distributed: Any = (
    importlib.import_module("torch.distributed")
    if _backend == "torch"
    else None
)
# What this thread computes, see `one_step` and `together`.
_local = threading.local()


@contextlib.contextmanager
def _during(part: str) -> Iterator[None]:
    before = getattr(_local, part, False)
    setattr(_local, part, True)
    try:
        yield
    finally:
        setattr(_local, part, before)


# A context, and a decorator, for a step. Its logs are of this process alone.
one_step = functools.partial(_during, "step")
# A context for the part of a step in which replicas exchange numbers. Outside
# of it none may wait for the others, which may compute nothing.
together = functools.partial(_during, "together")


def in_step() -> bool:
    """Says whether this thread runs a step."""
    found: bool = getattr(_local, "step", False)
    return found


def joined_replicas() -> int:
    """Returns how many replicas compute this step; 1 outside of `together`."""
    if not getattr(_local, "together", False):
        return 1
    return process_count() if _backend == "torch" else replica_count()


def replica_count() -> int:
    """Returns how many replicas of a model TensorFlow trains at the same time.

    Keras divides losses by that number, since the replicas' gradients are
    summed. It is 1 on the other backends.
    """
    if _backend != "tensorflow":
        return 1
    tf: Any = importlib.import_module("tensorflow")
    count: int = tf.distribute.get_strategy().num_replicas_in_sync
    return count


def process_count() -> int:
    """Returns how many processes PyTorch trains in; 1 on other backends."""
    count: int = _distributed.get_world_size() if is_joined() else 1
    return count


def is_joined() -> bool:
    """Says whether `torch.distributed` is initialised, on PyTorch."""
    if _distributed is None or not _distributed.is_available():
        return False
    found: bool = _distributed.is_initialized()
    return found


def total(values: Tensor) -> Tensor:
    """Sums a tensor over the replicas, without a gradient.

    Args:
        values: Of the same shape on each.
    """
    if joined_replicas() == 1:
        return ops.stop_gradient(values)
    if _backend == "tensorflow":
        values = ops.stop_gradient(values)
        return ops.stop_gradient(_context().all_reduce("SUM", values))
    summed = values.detach().clone()
    _distributed.all_reduce(summed)
    return summed


def gathered(values: Tensor) -> tuple[Tensor, Any]:
    """Returns the values of all replicas, in their order, without a gradient.

    Args:
        values: Shape `(n,)`, where `n` may differ between replicas.

    Returns:
        All values, and where those of this replica begin among them.
    """
    if joined_replicas() == 1:
        return ops.stop_gradient(values), 0
    if _backend == "tensorflow":
        tf: Any = importlib.import_module("tensorflow")
        values = ops.stop_gradient(values)
        context = _context()
        sizes = context.all_gather(tf.shape(values), axis=0)
        place = context.replica_id_in_sync_group
        everything = context.all_gather(values, axis=0)
        return ops.stop_gradient(everything), ops.sum(sizes[:place])
    return _torch_gathered(values.detach())


def _torch_gathered(values: Tensor) -> tuple[Tensor, int]:
    torch: Any = importlib.import_module("torch")
    size = torch.tensor([len(values)], device=values.device)
    sizes = [torch.zeros_like(size) for _ in range(process_count())]
    _distributed.all_gather(sizes, size)
    counts = [int(n) for n in sizes]
    room = values.new_zeros(max(counts))
    room[: len(values)] = values
    parts = [torch.empty_like(room) for _ in counts]
    _distributed.all_gather(parts, room)
    found = torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])
    return found, sum(counts[: _distributed.get_rank()])


def _context() -> Any:
    """Returns the context of this replica, of a strategy of TensorFlow."""
    tf: Any = importlib.import_module("tensorflow")
    return tf.distribute.get_replica_context()
