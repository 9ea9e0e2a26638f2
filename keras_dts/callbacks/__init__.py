"""Callbacks that drive a temperature, and callbacks that show a training."""

from keras_dts.callbacks.dts import DTS
from keras_dts.callbacks.histogram import TemperatureHistogram
from keras_dts.callbacks.report import RunReport

__all__ = [
    "DTS",
    "RunReport",
    "TemperatureHistogram",
]
