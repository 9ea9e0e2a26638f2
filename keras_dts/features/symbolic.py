"""The symbolic inputs of models."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.text import is_task


def known_input(model: keras.Model) -> Any:
    """Returns a model's symbolic input, or `None` if it has none."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    # A `Sequential` that was never called has `inputs`, but no `input`.
    one = isinstance(model, keras.Sequential)
    known = inputs[0] if one else model.input
    if not is_task(model):
        return known
    return keras.tree.map_structure(_of_some_length, known)


def _of_some_length(tokens: Any) -> Any:
    """Returns symbolic tokens of a known length.

    On JAX, position embeddings cannot be sliced to an unknown one.
    """
    if tuple(tokens.shape) != (None, None):
        return tokens
    return keras.KerasTensor((None, 8), tokens.dtype, name=tokens.name)
