"""The distiller."""

from keras_dts.distiller.distiller import Distiller

__all__ = [
    "Distiller",
]
