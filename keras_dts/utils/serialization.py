"""Losses, policies, functions and models as configurations, and back.

`serialize` and `deserialize` are a pair. `deserialized` is for `from_config`.
"""

from __future__ import annotations

from typing import Any

import keras


def serialize(thing: Any) -> Any:
    """Returns the configuration of an object, or of a structure of objects.

    A `DistillationLoss` that has a `compute_loss` only, as Keras documents it,
    is represented by its class, which must take no arguments.
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
    """Returns the object, or the structure, of a `serialize` configuration.

    Raises:
        ValueError: If a class is not registered with Keras.
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
