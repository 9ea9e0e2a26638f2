"""Features: layers found by path, recorded in one pass, matched in width."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_dts.types import ModelOutputs, Tensor
from keras_dts.utils import loss_dtype


class FeatureExtractor:
    """A model that also tells what some of its layers return.

    Args:
        role: `"teacher"` or `"student"`, for the messages.
        model: The model.
        paths: The layers, by their path through nested models and layers:
            names joined by slashes, such as
            `"bert_backbone/transformer_layer_1"`. In a layer that is no
            model, a name may also be the attribute that holds the next one.

    Raises:
        ValueError: If there is no such layer.
    """

    def __init__(self, role: str, model: keras.Model, paths: list[str]) -> None:
        self.model = model
        self._role = role
        self._came_unbuilt = not model.built
        # What runs the model, from it, its inputs and `training`.
        self.run: Callable[..., Any] = _run_whole
        self._layers = {
            path: find_layer(model, path, f"{role}_layer_name")
            for path in paths
        }

    def __call__(self, inputs: Any, training: bool | None) -> ModelOutputs:
        """Runs the model once.

        While it runs, the layers' `call` is replaced by one that keeps its
        result, on the instances only. So features and outputs come from one
        pass, in nested and in subclassed models too.
        """
        features: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            for path, layer in self._layers.items():
                record = _recorder(path, features)
                stack.enter_context(replaced_call(layer, record))
            outputs = self._run(inputs, training)
        for path in self._layers:
            if path not in features:
                raise ValueError(
                    f"`{self._role}_layer_name` must name a layer that "
                    f"{self.model.name!r} runs. Received: {path!r}, which it "
                    "does not run"
                )
        return ModelOutputs(outputs, features)

    def _run(self, inputs: Any, training: bool | None) -> Any:
        try:
            return self.run(self.model, inputs, training)
        except Exception as error:
            if not self._came_unbuilt:
                raise
            raise ValueError(
                f"`{self._role}` must be built, or be built by calling it on "
                f"a batch. Received: a {type(self.model).__name__}, which "
                f"failed: {error}"
            ) from error


def _run_whole(model: keras.Model, inputs: Any, training: bool | None) -> Any:
    return model(inputs, training=training)


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
    if isinstance(layer, keras.Model):
        return {child.name: child for child in layer.layers}
    children = {}
    for attribute in dir(layer):
        if attribute.startswith("_"):
            continue
        try:
            value = getattr(layer, attribute)
        except Exception:  # a property that is not ready yet
            continue
        if isinstance(value, keras.Layer):
            children[attribute] = value
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, keras.Layer):
                children[item.name] = item
    return children


@contextlib.contextmanager
def replaced_call(
    layer: keras.Layer, change: Callable[[Any], Any]
) -> Iterator[None]:
    """Replaces a layer's `call`, on this instance and for a while.

    Args:
        layer: The layer.
        change: From its `call` to what is called instead.
    """
    # Keras runs this method of a quantized layer instead of `call`.
    method = "call" if layer.quantization_mode is None else "quantized_call"
    held = vars(layer).get(method)
    setattr(layer, method, change(getattr(layer, method)))
    try:
        yield
    finally:
        if held is None:
            delattr(layer, method)
        else:
            setattr(layer, method, held)


def _recorder(name: str, outputs: dict[str, Any]) -> Callable[[Any], Any]:
    """Returns what makes a `call` keep its result."""

    def change(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            outputs[name] = original(*args, **kwargs)
            return outputs[name]

        return call

    return change


@keras.saving.register_keras_serializable(package="keras_dts")
class Projector(keras.layers.Layer):
    """Projects the student's features to the width of the teacher's.

    A dense layer on the last axis where the widths differ, which trains with
    the student and is saved with the distiller; the identity where they are
    equal.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=loss_dtype(), autocast=False, **kwargs)
        self.supports_masking = True
        self.dense: keras.layers.Dense | None = None

    def build(
        self, student_shape: tuple[Any, ...], teacher_shape: tuple[Any, ...]
    ) -> None:
        """Makes the dense layer, if the widths differ."""
        if len(student_shape) != len(teacher_shape) or any(
            s is not None and t is not None and s != t
            for s, t in zip(
                student_shape[1:-1], teacher_shape[1:-1], strict=True
            )
        ):
            raise ValueError(
                "`student_layer_name` and `teacher_layer_name` must name "
                "layers whose outputs differ in the last axis at most. "
                f"Received: outputs of shape {tuple(student_shape)} in the "
                f"student and {tuple(teacher_shape)} in the teacher"
            )
        if student_shape[-1] != teacher_shape[-1]:
            self.dense = keras.layers.Dense(teacher_shape[-1], name="dense")
            self.dense.build(student_shape)

    def call(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the student's features in the teacher's width."""
        del teacher
        return student if self.dense is None else self.dense(student)
