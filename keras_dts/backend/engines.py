"""What the engines of several devices cannot do, said before they fail."""

from __future__ import annotations

import importlib
from typing import Any

import keras

from keras_dts.backend.processes import divides_data
from keras_dts.backend.replicas import process_count


def check_engine(model: Any) -> int:
    """Raises a `ValueError` if `fit` would fail, or train wrongly, by replicas.

    Args:
        model: A compiled model.

    Returns:
        How many replicas must divide the first batch: those of a strategy of
        TensorFlow's, for which Keras adds up its parts.
    """
    if keras.config.backend() == "torch":
        _check_torch()
    elif keras.config.backend() == "tensorflow":
        return _check_tensorflow(model)
    return 1


def _check_torch() -> None:
    found = keras.distribution.distribution()
    if found is None:
        return
    if not divides_data(found):
        raise ValueError(
            "`keras.distribution` must not be set on PyTorch, where `fit` "
            "would train without it. Start processes by `torchrun`, and call "
            "`torch.distributed.init_process_group()` in each. Received: "
            f"{type(found).__name__}"
        )
    parallel, count = keras.distribution.DataParallel, process_count()
    shape = tuple(found.device_mesh.shape)
    if not isinstance(found, parallel) or shape != (count,):
        raise ValueError(
            "`keras.distribution` must be a `DataParallel` on PyTorch, of a "
            "device for each process that `keras.distribution.initialize()` "
            "or `torch.distributed.init_process_group()` has joined. Received: "
            f"{type(found).__name__} on devices of shape {shape}, and {count} "
            "processes"
        )


def _check_tensorflow(model: Any) -> int:
    tf: Any = importlib.import_module("tensorflow")
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            "`fit` of Keras 3 does not train under a "
            "`MultiWorkerMirroredStrategy` "
            "(https://github.com/keras-team/keras/issues/20585). Run "
            "`strategy.run(distiller.train_step, args=(batch,))` in a loop "
            "(examples/distributed/tf_workers.py). Received: "
            f"{strategy.num_replicas_in_sync} replicas"
        )
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return 1
    accumulated = getattr(model.optimizer, "gradient_accumulation_steps", None)
    for name, steps in (
        ("gradient_accumulation_steps", accumulated),
        ("steps_per_execution", model.steps_per_execution),
    ):
        if (steps or 1) > 1:
            raise ValueError(
                f"`{name}` must be 1 under a strategy of several replicas, for "
                f"which Keras does not allow others. Received: {name}={steps}"
            )
    replicas: int = strategy.num_replicas_in_sync
    return replicas
