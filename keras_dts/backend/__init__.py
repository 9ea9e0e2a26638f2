"""All that differs between JAX, TensorFlow and PyTorch."""

from keras_dts.backend.chunked_map import fold_chunks, map_chunks
from keras_dts.backend.steps import (
    no_gradient,
    replica_count,
    runs_eagerly,
    without_gradient,
)

__all__ = [
    "fold_chunks",
    "map_chunks",
    "no_gradient",
    "replica_count",
    "runs_eagerly",
    "without_gradient",
]
