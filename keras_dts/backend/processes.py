"""Training on several processes: which one this is, and what all agree on."""

from __future__ import annotations

import contextlib
import importlib
import random
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_dts.backend.replicas import process_count


def process_part() -> tuple[int, int]:
    """Returns which part of each batch this process trains on.

    It is a rank of `torch.distributed`, or a data shard of JAX's
    `keras.distribution`. A strategy of TensorFlow splits batches by itself.

    Returns:
        `(index, count)`; `(0, 1)` is all of it.
    """
    if (count := process_count()) > 1:
        return _torch_distributed().get_rank(), count
    replicas = batch_multiple()
    if replicas > 1:
        jax: Any = importlib.import_module("jax")
        processes = jax.process_count()
        count = min(processes, replicas)
        return jax.process_index() // (processes // count), count
    return 0, 1


def shares_arrays() -> bool:
    """Says whether several processes give `fit` the same arrays.

    So they do on PyTorch. On JAX, Keras refuses arrays there, or takes them
    for those of the process alone.
    """
    return process_count() > 1


def divides_data(distribution: Any) -> bool:
    """Says whether Keras divides data among processes, as from 3.16 on.

    On PyTorch it trains by a distribution only then.

    Args:
        distribution: A `keras.distribution`, or `None`.
    """
    return hasattr(distribution, "num_data_shards")


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Keeps Keras from dividing data among processes, as long as it is open.

    From 3.16 on, Keras deals the batches of a `PyDataset` to the processes of
    a `keras.distribution`, also if they are this process's part already.
    """
    found = keras.distribution.distribution()
    if not divides_data(found):
        yield
        return
    before = found.auto_shard_dataset
    found.auto_shard_dataset = False
    try:
        yield
    finally:
        found.auto_shard_dataset = before


def check_steps(steps: int | None) -> None:
    """Raises on all of PyTorch's processes, unless each takes as many steps.

    All of them must call it.

    Args:
        steps: The steps of an epoch on this process; `None` where nobody
            knows.

    Raises:
        ValueError: Since in each step processes wait for the others.
    """
    if process_count() == 1:
        return
    found = [one[0] for one in _gathered([steps or 0])]
    if len(set(found)) > 1:
        raise ValueError(
            "`x` must have the same number of batches on every process, since "
            "they wait for each other in each step. Leave the rest out, or "
            "give `steps_per_epoch`. Received, for each process: "
            f"{', '.join(map(str, found))} batches"
        )


def batch_multiple() -> int:
    """Returns what the size of a batch must be a multiple of.

    JAX gives each replica of a `keras.distribution` as many examples as the
    others; elsewhere the number is 1.
    """
    found = keras.distribution.distribution()
    if keras.config.backend() != "jax" or found is None:
        return 1
    mesh = found.device_mesh
    return int(mesh.shape[mesh.axis_names.index(found.batch_dim_name)])


def dealing(
    argument: str,
    examples: int,
    batch_size: int,
    *,
    shuffle: bool,
    facts: tuple[Any, ...] = (),
) -> dict[str, Any]:
    """Returns how `EpochBatches` deal their batches to processes.

    All processes of a training must call it. They get one seed, which is
    drawn from the first one's random numbers, as
    `keras.utils.set_random_seed` seeds them.

    Args:
        argument: The name of the argument that has the data, for messages.
        examples: The number of examples.
        batch_size: The number of examples in a batch of all processes.
        shuffle: Whether each epoch has another order.
        facts: What else must be the same on every process.

    Returns:
        The arguments `seed`, `part` and `drop_remainder`.

    Raises:
        ValueError: If processes have other data or arguments, on all of them;
            or if a batch cannot be shared by the replicas of a distribution.
    """
    # Nothing is drawn in vain, so that one process draws as it always did.
    seed = random.randrange(2**63) if shuffle else 0
    mine = (f"{examples} examples", f"batch_size={batch_size}", *facts)
    digest = zlib.crc32(repr((mine, bool(shuffle))).encode())
    found = _gathered([seed, digest])
    others = [i for i, (_, other) in enumerate(found) if other != digest]
    if others:
        raise ValueError(
            f"`{argument}` must be the same on every process, each of which "
            f"trains on a part of each batch. Received: {', '.join(mine)}; "
            f"and something else on process {others[0]}"
        )
    multiple = batch_multiple()
    if batch_size % multiple:
        raise ValueError(
            "`batch_size` must be a multiple of the number of replicas, which "
            f"share each batch. Received: batch_size={batch_size}, and "
            f"{multiple} replicas"
        )
    return {
        "seed": found[0][0],
        "part": process_part(),
        "drop_remainder": examples % batch_size % multiple != 0,
    }


def _gathered(numbers: Sequence[int]) -> list[Sequence[int]]:
    """Returns whole numbers below 2**63 of every process, in their order."""
    if (count := process_count()) > 1:
        found: list[Any] = [None] * count
        _torch_distributed().all_gather_object(found, list(numbers))
        return found
    on_jax = keras.config.backend() == "jax"
    if on_jax and importlib.import_module("jax").process_count() > 1:
        utils: Any = importlib.import_module("jax.experimental.multihost_utils")
        # JAX has 32 bits.
        halves = np.array([divmod(n, 2**32) for n in numbers], "uint32")
        found = utils.process_allgather(halves).tolist()
        return [[high * 2**32 + low for high, low in one] for one in found]
    return [numbers]


def _torch_distributed() -> Any:
    return importlib.import_module("torch.distributed")
