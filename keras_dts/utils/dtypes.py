"""The dtype that losses are computed in."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def loss_dtype() -> str:
    """Returns the dtype of losses: float32 at least.

    It does not depend on the dtype that the models compute in.
    """
    return "float64" if keras.config.floatx() == "float64" else "float32"


def to_loss_dtype(outputs: Any) -> Any:
    """Casts a model's outputs to the dtype that losses are computed in."""
    dtype = loss_dtype()
    if keras.backend.standardize_dtype(outputs.dtype) == dtype:
        return outputs
    return ops.cast(outputs, dtype)
