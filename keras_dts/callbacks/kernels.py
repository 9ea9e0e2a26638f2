"""The kernels of a model, as matrices, and what follows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

_ANALYSED = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
)
_NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)


def kernels_in(
    layers: Iterable[keras.Layer], trained: Iterable[Any]
) -> list[keras.Layer]:
    """Returns those layers whose kernels are analysed.

    Args:
        layers: The layers of a model.
        trained: The variables that train.
    """
    known = {id(v) for v in trained}
    return [
        layer
        for layer in layers
        if isinstance(layer, _ANALYSED)
        and layer.built
        and id(getattr(layer, "kernel", None)) in known
    ]


def count_of(layer: keras.Layer) -> int:
    """Returns the number of eigenvalues of a layer's kernel.

    Args:
        layer: What `kernels_in` returned.
    """
    matrices, rows, columns = _layout(layer)[1]
    return matrices * min(rows, columns)


def matrices_of(layer: keras.Layer) -> npt.NDArray[np.float64]:
    """Returns a layer's kernel as matrices, shape `(matrices, rows, columns)`.

    A kernel of a convolution is one matrix for each place of its window. In
    that of an `EinsumDense`, the axes which the input has too are the rows.

    Args:
        layer: What `kernels_in` returned.
    """
    axes, shape = _layout(layer)
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    return kernel.transpose(axes).reshape(shape)


def _layout(layer: keras.Layer) -> tuple[list[int], tuple[int, int, int]]:
    """Returns the order of a kernel's axes, and the shape of its matrices."""
    shape = tuple(layer.kernel.shape)
    axes = list(range(len(shape)))
    if not isinstance(layer, keras.layers.EinsumDense):
        return axes, (math.prod(shape[:-2]), *shape[-2:])
    operands, _ = layer.equation.split("->")
    inputs, weights = operands.split(",")
    rows = [i for i in axes if weights[i] in inputs]
    columns = [i for i in axes if weights[i] not in inputs]
    height, width = (math.prod(shape[i] for i in s) for s in (rows, columns))
    return rows + columns, (1, height, width)


def by_variable(
    layers: Iterable[keras.Layer],
    multipliers: Mapping[int, float],
    *,
    norms: bool,
) -> dict[int, float]:
    """Returns the multipliers of variables, by their identities.

    Args:
        layers: The layers of a model, in its order.
        multipliers: Those of all layers in `kernels_in`, by their identities.
        norms: Whether norms follow the layer whose output they take; of
            another input, the last one before them.
    """
    chosen: dict[int, float] = {}
    outputs: dict[int, float] = {}
    last = 1.0
    for layer in layers:
        if id(layer) in multipliers:
            last = multipliers[id(layer)]
            outputs[id(_tensor(layer, "output"))] = last
            chosen[id(layer.kernel)] = last
        elif norms and isinstance(layer, _NORMS):
            own = outputs.get(id(_tensor(layer, "input")), last)
            chosen.update((id(v), own) for v in layer.trainable_variables)
    return chosen


def _tensor(layer: keras.Layer, side: str) -> Any:
    """Returns the symbolic input or output of a layer's first call.

    It is `layer`, which no other layer has, if there was no such call.
    """
    try:
        return getattr(layer, side)
    except (AttributeError, ValueError):
        return layer
