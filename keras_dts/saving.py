"""What a distiller writes down: its configuration, and who its teacher is."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np


def fingerprint(model: keras.Model) -> np.ndarray[Any, Any]:
    """Returns 32 bytes that change when any of a model's weights does.

    Args:
        model: A built Keras model.

    Returns:
        A SHA-256 digest over shapes and values, `uint8`, shape `(32,)`.
    """
    digest = hashlib.sha256()
    for variable in model.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return np.frombuffer(digest.digest(), dtype="uint8")


def serialize(thing: Any) -> Any:
    """Describes a loss, policy, function, model, or structure of them.

    A `DistillationLoss` with only a `compute_loss`, as Keras documents it,
    is described by its class, which must take no arguments.
    """
    if isinstance(thing, dict):
        return {key: serialize(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [serialize(value) for value in thing]
    if isinstance(thing, keras.distillation.DistillationLoss) and not hasattr(
        thing, "get_config"
    ):
        return {"argumentless": type(thing).__name__}
    return keras.saving.serialize_keras_object(thing)


def deserialize(config: Any, custom_objects: Any = None) -> Any:
    """Makes what `serialize` described.

    Raises:
        ValueError: If a class is not known to Keras.
    """
    if isinstance(config, list):
        return [deserialize(value, custom_objects) for value in config]
    if not isinstance(config, dict) or "class_name" in config:
        return keras.saving.deserialize_keras_object(config, custom_objects)
    if "argumentless" not in config:
        return {k: deserialize(v, custom_objects) for k, v in config.items()}
    name = config["argumentless"]
    kind = keras.saving.get_registered_object(name, custom_objects)
    if kind is None:
        raise ValueError(
            f"`custom_objects` must hold the loss {name!r} of this "
            "distiller, which has no `get_config` and so cannot be "
            "registered with Keras. Received: none of that name"
        )
    return kind()
