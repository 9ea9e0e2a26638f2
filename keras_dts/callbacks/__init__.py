"""Callbacks that drive a training, and callbacks that show one."""

from keras_dts.callbacks.dts import DTS
from keras_dts.callbacks.histogram import TemperatureHistogram
from keras_dts.callbacks.phase import Phase
from keras_dts.callbacks.report import RunReport

__all__ = [
    "DTS",
    "Phase",
    "RunReport",
    "TemperatureHistogram",
]
