"""All that differs between JAX, TensorFlow and PyTorch."""

from keras_dts.backend import fast
from keras_dts.backend.chunked_map import fold_chunks, map_chunks
from keras_dts.backend.softmax import (
    class_log_probs,
    divergence_terms,
    log_softmax_and_softmax,
)
from keras_dts.backend.steps import (
    no_gradient,
    replica_count,
    runs_eagerly,
    without_gradient,
    zero_unless,
)

__all__ = [
    "class_log_probs",
    "divergence_terms",
    "fast",
    "fold_chunks",
    "log_softmax_and_softmax",
    "map_chunks",
    "no_gradient",
    "replica_count",
    "runs_eagerly",
    "without_gradient",
    "zero_unless",
]
