"""The distiller."""

from keras_dts.distiller.distiller import Distiller
from keras_dts.distiller.epochs import FitReader, TrainingLength

__all__ = [
    "Distiller",
    "FitReader",
    "TrainingLength",
]
