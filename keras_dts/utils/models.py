"""What is asked of models and layers in several places."""

from __future__ import annotations

from typing import Any

import keras


def add_step_counter(layer: keras.layers.Layer) -> Any:
    """Adds the number of training steps so far to a layer, which saves it.

    Returns:
        The variable, an int32 scalar, 0 at first.
    """
    return _add_counter(layer, "step")


def add_epoch(layer: keras.layers.Layer) -> Any:
    """Adds the epoch that a training is in to a layer, which saves it.

    Returns:
        The variable, an int32 scalar, 0 at first.
    """
    return _add_counter(layer, "epoch")


def _add_counter(layer: keras.layers.Layer, name: str) -> Any:
    return layer.add_weight(
        name=name,
        shape=(),
        dtype="int32",
        initializer="zeros",
        trainable=False,
        aggregation="only_first_replica",
    )


def symbolic_input(model: keras.Model) -> Any:
    """Returns a model's symbolic input, or `None` if it has none."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    # A `Sequential` that was never called has `inputs`, but no `input`.
    return inputs[0] if isinstance(model, keras.Sequential) else model.input


def layers_in(layer: keras.Layer) -> list[keras.Layer]:
    """Returns a layer and all layers in it, at any depth, each once.

    Layers that a layer holds come in the order in which it got them, those of
    a functional model in the order of its graph.
    """
    found: dict[int, keras.Layer] = {}
    _collect(layer, found)
    return list(found.values())


def _collect(thing: Any, found: dict[int, keras.Layer]) -> None:
    if isinstance(thing, keras.Layer):
        if id(thing) not in found:
            found[id(thing)] = thing
            for value in vars(thing).values():
                _collect(value, found)
    elif isinstance(thing, dict):
        _collect(list(thing.values()), found)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            _collect(value, found)
