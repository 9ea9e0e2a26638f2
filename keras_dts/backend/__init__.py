"""All that differs between JAX, TensorFlow and PyTorch."""

from keras_dts.backend import fast
from keras_dts.backend.chunked_map import fold_chunks, map_chunks
from keras_dts.backend.softmax import (
    class_log_probs,
    exact_difference,
)
from keras_dts.backend.steps import (
    needs_gradient,
    no_gradient,
    replica_count,
    runs_eagerly,
    without_gradient,
    zero_unless,
)

__all__ = [
    "class_log_probs",
    "exact_difference",
    "fast",
    "fold_chunks",
    "map_chunks",
    "needs_gradient",
    "no_gradient",
    "replica_count",
    "runs_eagerly",
    "without_gradient",
    "zero_unless",
]
