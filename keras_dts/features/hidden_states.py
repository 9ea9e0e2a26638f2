"""Splits a language model into its backbone and its output projection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.features.capture import capture
from keras_dts.features.symbolic import known_input
from keras_dts.hub import is_causal
from keras_dts.types import HiddenStates, Tensor
from keras_dts.utils import to_loss_dtype

# Tokens of the batch that a split is tried with, where the model takes any.
_BATCH, _LENGTH = 2, 8
# How far apart the outputs of the parts and of the whole may be, as a part of
# the largest: half precision on other shapes differs by about this.
_TOLERANCE = 0.01


class SplitModel:
    """A model in two parts: its backbone, and its output projection.

    Args:
        model: The model.
        layer: The output projection: a dense layer, or an embedding that is
            called with `reverse=True`.
    """

    def __init__(self, model: keras.Model, layer: keras.Layer) -> None:
        self.model = model
        self.layer = layer
        self._options = {} if _is_dense(layer) else {"reverse": True}

    @property
    def classes(self) -> int:
        """The number of classes, rows that pad the vocabulary included."""
        classes: int = self.model.outputs[0].shape[-1]
        return classes

    def __call__(
        self,
        inputs: Any,
        training: bool | None,
        stop: Callable[[Tensor], bool],
    ) -> Any:
        """Runs the model up to the output projection.

        The projection is left out while the model runs as it is, so that any
        model does what it does, and no graph has to be cut.

        Args:
            inputs: The model's input.
            training: Whether the model runs in training mode.
            stop: Says of the hidden states, shape `(batch, length, width)`,
                whether to leave the projection out.

        Returns:
            `HiddenStates`, or the model's output where nothing was left out.

        Raises:
            ValueError: If the model goes on after the projection.
        """
        left_out: list[Tensor] = []

        def leave_out(
            call: Callable[..., Any], states: Tensor, *args: Any, **kwargs: Any
        ) -> Any:
            projects = not self._options or kwargs == self._options
            if not projects or not stop(states):
                return call(states, *args, **kwargs)
            # A copy, since the states may carry a mask of their own.
            left_out.append(ops.copy(states))
            return left_out[-1]

        with capture({self.layer: leave_out}):
            outputs = self.model(inputs, training=training)
        if not left_out:
            return outputs
        if len(left_out) > 1 or outputs is not left_out[0]:
            raise ValueError(
                f"The projection of {self.model.name!r} onto its classes must "
                "be what it returns. Received: a model that goes on after "
                f"{self.layer.name!r}"
            )
        return HiddenStates(outputs)

    def values(self) -> list[Tensor]:
        """Returns the values of the projection's variables."""
        return [v.value for v in self.layer.variables]

    def project(self, states: Tensor, values: list[Tensor]) -> Tensor:
        """Returns the outputs of some of the hidden states.

        Args:
            states: Shape `(batch, length, width)`.
            values: What `values` returned; the gradient flows to them.
        """
        mapping = zip(self.layer.variables, values, strict=True)
        with keras.StatelessScope(mapping):
            return self.layer(states, **self._options)


def split_model(model: keras.Model) -> SplitModel | str:
    """Splits a model, by trying the layers that may be its projection.

    Args:
        model: The model.

    Returns:
        The model in two parts, or why it cannot be split.
    """
    outputs = getattr(model, "outputs", None) or []
    spec = known_input(model) if model.built else None
    if spec is None:
        return "is not built, or does not say what its inputs are"
    if len(outputs) != 1 or len(outputs[0].shape) != 3:
        return "has not one output of shape (batch, length, classes)"
    if any(i.dtype == "string" for i in keras.tree.flatten(spec)):
        return "takes strings"
    for layer in _candidates(model):
        split = SplitModel(model, layer)
        if layer.activity_regularizer is None and _fits(split, spec):
            return split
    return (
        "does not end in a `Dense` layer, or in an embedding that is called "
        "with `reverse=True`"
    )


def _candidates(model: keras.Model) -> list[keras.Layer]:
    if is_causal(model):
        layer = getattr(model.backbone, "token_embedding", None)
        return [] if layer is None else [layer]
    reversible = getattr(keras.layers, "ReversibleEmbedding", ())
    return [
        layer
        for layer in reversed(model.layers)
        if _is_dense(layer) or isinstance(layer, reversible)
    ]


def _is_dense(layer: keras.Layer) -> bool:
    return type(layer) is keras.layers.Dense


def _fits(split: SplitModel, spec: Any) -> bool:
    """Says whether the parts give what the whole gives, on a small batch."""
    batch = keras.tree.map_structure(_example, spec)
    try:
        hidden = split(batch, False, lambda states: len(states.shape) == 3)
    except Exception:  # a model that such a batch is nothing for
        return False
    if not isinstance(hidden, HiddenStates):
        return False
    width = hidden.states.shape[-1]
    rows = ops.reshape(hidden.states, (-1, 1, width))
    parts = split.project(rows, split.values())
    whole, parts = (
        ops.convert_to_numpy(to_loss_dtype(ops.stop_gradient(x)))
        for x in (split.model(batch, training=False), parts)
    )
    if parts.size != whole.size:
        return False
    error = np.max(np.abs(parts.reshape(whole.shape) - whole))
    return bool(error <= _TOLERANCE * np.max(np.abs(whole)))


def _example(spec: Any) -> Tensor:
    """Returns an input: zeros and ones, which every vocabulary has."""
    unknown = (_BATCH, *[_LENGTH] * (len(spec.shape) - 1))
    shape = [
        some if size is None else size
        for size, some in zip(spec.shape, unknown, strict=True)
    ]
    values = np.arange(np.prod(shape)).reshape(shape) % 2
    return ops.convert_to_tensor(values, dtype=spec.dtype)
