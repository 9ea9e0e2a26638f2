"""TensorFlow beside another backend."""

from __future__ import annotations

import contextlib
from typing import Any

import keras


def leave_gpus_to_backend(tf: Any) -> None:
    """Keeps TensorFlow off the GPUs, unless it is Keras's backend."""
    if keras.config.backend() != "tensorflow":
        # A RuntimeError says that TensorFlow has its devices already.
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices([], "GPU")
