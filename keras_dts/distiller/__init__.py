"""The distiller."""

from keras_dts.distiller.distiller import Distiller
from keras_dts.distiller.epochs import FitReader, TrainingLength
from keras_dts.distiller.layout import LayoutReport, layout_report
from keras_dts.distiller.online_teacher import OnlineTeacher
from keras_dts.distiller.state import pairs_in, values_in

__all__ = [
    "Distiller",
    "FitReader",
    "LayoutReport",
    "OnlineTeacher",
    "TrainingLength",
    "layout_report",
    "pairs_in",
    "values_in",
]
