"""Models that return the outputs of their layers too."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_dts.features.capture import capture
from keras_dts.types import ModelOutputs

_INPUT_OF = "input of "


class FeatureExtractor:
    """A model that returns its output, and the outputs of some of its layers.

    Args:
        role: `"teacher"` or `"student"`, for the messages.
        model: The model.
        paths: The layers, by their path through nested models and layers:
            names joined by slashes, such as
            `"bert_backbone/transformer_layer_1"`. In a layer that is no
            model, a name may also be the attribute that holds the next one.
            `input_of` makes a path of what a layer gets.

    Raises:
        ValueError: If there is no such layer.
    """

    def __init__(
        self, role: str, model: keras.Model, paths: Sequence[str]
    ) -> None:
        self.model = model
        self._role = role
        # Keras calls a model built from its first call on, even a failed one.
        self._came_built = model.built
        self._paths: dict[keras.Layer, list[str]] = {}
        for path in paths:
            name = path.removeprefix(_INPUT_OF)
            layer = find_layer(model, name, f"{role}_layer_name")
            self._paths.setdefault(layer, []).append(path)

    def __call__(self, inputs: Any, training: bool | None) -> ModelOutputs:
        """Runs the model once, and captures the layers' outputs meanwhile."""
        if not self._paths:
            return ModelOutputs(self._run(inputs, training), {})
        features: dict[str, Any] = {}
        with capture(
            {
                layer: functools.partial(_record, features, paths)
                for layer, paths in self._paths.items()
            }
        ):
            outputs = self._run(inputs, training)
        for path in (p for paths in self._paths.values() for p in paths):
            if path not in features:
                raise ValueError(
                    f"`{self._role}_layer_name` must name a layer that "
                    f"{self.model.name!r} runs. Received: {path!r}, which it "
                    "does not run"
                )
        return ModelOutputs(outputs, features)

    def _run(self, inputs: Any, training: bool | None) -> Any:
        if self._came_built:
            return self.model(inputs, training=training)
        try:
            return self.model(inputs, training=training)
        except Exception as error:
            raise ValueError(
                f"`{self._role}` must be built, or be built by calling it on "
                f"a batch. Received: a {type(self.model).__name__}, which "
                f"failed: {error}"
            ) from error


def _record(
    features: dict[str, Any],
    paths: list[str],
    call: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Calls a layer, and keeps what it gets or returns by its paths."""
    output = call(*args, **kwargs)
    for path in paths:
        features[path] = args[0] if path.startswith(_INPUT_OF) else output
    return output


def input_of(path: str) -> str:
    """Returns the path of what a layer gets, not of what it returns."""
    return _INPUT_OF + path


def find_layer(model: keras.Model, path: str, argument: str) -> keras.Layer:
    """Finds a layer by its path.

    Args:
        model: Where to look.
        path: As for `FeatureExtractor`.
        argument: The name of the argument that gave the path.

    Returns:
        The layer.

    Raises:
        ValueError: If there is no such layer; the message lists what is
            there.
    """
    layer = model
    for name in path.split("/"):
        children = _children(layer)
        if name not in children:
            raise ValueError(
                f"`{argument}` must name a layer of the model "
                f"{model.name!r}. Received: {argument}={path!r}, but "
                f"{layer.name!r} has no layer {name!r}. It has: "
                f"{sorted(children)}"
            )
        layer = children[name]
    return layer


def _children(layer: keras.Layer) -> dict[str, keras.Layer]:
    """Returns the layers in a layer, by name and by attribute."""
    if isinstance(layer, keras.Model):
        return {child.name: child for child in layer.layers}
    children = {}
    for attribute in dir(layer):
        if attribute.startswith("_"):
            continue
        try:
            value = getattr(layer, attribute)
        except (AttributeError, ValueError):
            continue  # a property that is not ready yet
        if isinstance(value, keras.Layer):
            children[attribute] = value
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, keras.Layer):
                children[item.name] = item
    return children
