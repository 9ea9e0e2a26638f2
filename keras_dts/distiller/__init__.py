"""The distiller."""

from keras_dts.distiller.distiller import Distiller
from keras_dts.distiller.epochs import FitReader, TrainingLength
from keras_dts.distiller.online_teacher import OnlineTeacher

__all__ = [
    "Distiller",
    "FitReader",
    "OnlineTeacher",
    "TrainingLength",
]
