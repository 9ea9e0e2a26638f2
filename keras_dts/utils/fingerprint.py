"""A fingerprint of a model's weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


def fingerprint(
    model: keras.Model, without: Iterable[Any] = ()
) -> np.ndarray[Any, Any]:
    """Returns 32 bytes that change when any of a model's weights does.

    Args:
        model: A built Keras model.
        without: Weights that are left out.

    Returns:
        A SHA-256 digest over shapes and values, `uint8`, shape `(32,)`.
    """
    digest = hashlib.sha256()
    left_out = {id(v) for v in without}
    for variable in (v for v in model.weights if id(v) not in left_out):
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return np.frombuffer(digest.digest(), dtype="uint8")
