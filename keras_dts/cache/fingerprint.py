"""A fingerprint of a model's weights, and the name it gives a teacher."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_dts.backend import numpy_value


def fingerprint(
    model: keras.Model, without: Iterable[Any] = ()
) -> np.ndarray[Any, Any]:
    """Returns 32 bytes that change when any of a model's weights does.

    Where a weight is spread over several processes, all of them must call, and
    each gets the same bytes.

    Args:
        model: A built Keras model.
        without: Weights that are left out.

    Returns:
        A SHA-256 digest over shapes and values, `uint8`, shape `(32,)`.
    """
    digest = hashlib.sha256()
    left_out = {id(v) for v in without}
    for variable in (v for v in model.weights if id(v) not in left_out):
        value = np.ascontiguousarray(numpy_value(variable))
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return np.frombuffer(digest.digest(), dtype="uint8")


def teacher_name(teacher: keras.Model) -> str:
    """Returns a name that depends on the teacher's weights alone."""
    return fingerprint(teacher).tobytes().hex()
