"""All that differs between JAX, TensorFlow and PyTorch."""

from keras_dts.backend.chunked_map import fold_parts, map_parts

__all__ = [
    "fold_parts",
    "map_parts",
]
