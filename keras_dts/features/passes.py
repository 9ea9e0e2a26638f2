"""Passes of a model with some of its dropout on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import layers, ops

from keras_dts.backend import seeded
from keras_dts.features.capture import capture
from keras_dts.features.extractor import FeatureExtractor, find_layer
from keras_dts.features.symbolic import SymbolicCall, known_input
from keras_dts.types import Tensor
from keras_dts.utils import layers_in

_DROPOUT = (
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.AlphaDropout,
    layers.GaussianDropout,
)

# From a layer to whether it is on.
Choice = Callable[[keras.Layer], bool]


class StochasticPasses:
    """Runs a model several times, with other dropout masks each time.

    Everything else runs for inference, such as BatchNormalization. The passes
    are one call, and what comes before the first dropout runs once: there the
    batch becomes as many times as large. A model that goes around this layer,
    or is not known before a batch, runs on the larger batch as a whole.

    Args:
        model: The model.
        path: The layer whose output, or input, is wanted.
        passes: The number of passes.
        dropout: Which dropout layers are on: a list of paths, a function from
            a layer to a bool, or `None` for all.
        seed: What the masks follow from, with the layer and the step.

    Raises:
        ValueError: If no dropout layer of a rate above 0 is on.
    """

    def __init__(
        self,
        model: keras.Model,
        path: str,
        passes: int,
        dropout: Sequence[str] | Choice | None,
        seed: int,
    ) -> None:
        self._extractor = FeatureExtractor("teacher", model, [path])
        self._path = path
        self._passes = passes
        self._seed = seed
        self._on = [layer for layer in _chosen(model, dropout) if layer.rate]
        if not self._on:
            raise ValueError(
                "`teacher` must have a dropout layer of a rate above 0 among "
                f"those that `dropout` chooses. Received: {model.name!r}, "
                f"dropout={dropout!r}"
            )
        self._early = not self._can_run_once_before_dropout()

    def __call__(self, inputs: Any, step: Any) -> Tensor:
        """Returns the features of each pass.

        Args:
            inputs: The model's input.
            step: The number of the step, an integer scalar.

        Returns:
            Shape `(batch, passes, features)`.
        """
        return self._run(inputs, step, self._early)

    def _run(self, inputs: Any, step: Any, early: bool) -> Tensor:
        """Returns the features of each pass.

        Args:
            inputs: The model's input.
            step: The number of the step.
            early: Whether the whole model runs on the larger batch.
        """
        if early:
            inputs = keras.tree.map_structure(self._repeat, inputs)
        repeated = [early]
        handlers = {
            layer: functools.partial(self._call, layer, number, step, repeated)
            for number, layer in enumerate(self._on)
        }
        with capture(handlers):
            outputs = self._extractor(inputs, training=False)
        found = outputs.features[self._path]
        shape = ops.shape(found)
        width = math.prod(found.shape[1:])
        return ops.reshape(
            found, (shape[0] // self._passes, self._passes, width)
        )

    def _repeat(self, x: Tensor) -> Tensor:
        return ops.repeat(x, self._passes, axis=0)

    def _can_run_once_before_dropout(self) -> bool:
        """Says whether the whole model follows from the first dropout."""
        model = self._extractor.model
        known = known_input(model) if model.built else None
        if known is None:
            return False
        # Batches of two and of many do not fit together.
        two = keras.tree.map_structure(
            lambda x: keras.KerasTensor((2, *x.shape[1:]), x.dtype), known
        )
        trial = SymbolicCall(
            lambda x: self._run(x, ops.zeros((), "int32"), False)
        )
        try:
            return bool(trial.trace(two).shape[0] == 2)
        except Exception:  # a way around it, or nothing to try it with
            return False

    def _call(
        self,
        layer: keras.Layer,
        number: int,
        step: Any,
        repeated: list[bool],
        call: Callable[..., Any],
        inputs: Any,
        *_: Any,
        **__: Any,
    ) -> Any:
        """Calls a dropout layer that is on, with masks of this step alone."""
        if not repeated[0]:
            repeated[0] = True
            inputs = self._repeat(inputs)
        state = layer.seed_generator.state
        first = (self._seed * 1_000_003 + number * 7_919) % 2**31
        pair = (ops.convert_to_tensor(first), step)
        state.assign(ops.stack([ops.cast(x, state.dtype) for x in pair]))
        with seeded(first, step):
            return call(inputs, training=True)


def _chosen(
    model: keras.Model, dropout: Sequence[str] | Choice | None
) -> Iterator[Any]:
    if dropout is None or callable(dropout):
        for layer in layers_in(model):
            if isinstance(layer, _DROPOUT) and (
                dropout is None or dropout(layer)
            ):
                yield layer
        return
    for path in dropout:
        layer = find_layer(model, path, "dropout")
        if not isinstance(layer, _DROPOUT):
            raise ValueError(
                "`dropout` must name dropout layers. Received: "
                f"{path!r}, a {type(layer).__name__}"
            )
        yield layer


def penultimate(model: keras.Model, argument: str) -> keras.Layer:
    """Returns the last layer with weights, whose input is the last feature.

    Args:
        model: The model.
        argument: The argument that names another layer, for the message.

    Raises:
        ValueError: If no layer of the model itself has weights.
    """
    for layer in reversed(model.layers):
        if layer.weights and not isinstance(layer, keras.Model):
            return layer
    raise ValueError(
        f"`{argument}` must name a layer: no layer of {model.name!r} has "
        "weights of its own. Received: None"
    )
