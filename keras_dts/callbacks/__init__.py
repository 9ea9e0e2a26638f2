"""Callbacks that drive temperatures or learning rates, or show a training."""

from keras_dts.callbacks.dts import DTS
from keras_dts.callbacks.histogram import TemperatureHistogram
from keras_dts.callbacks.report import RunReport
from keras_dts.callbacks.temp_balance import TempBalance

__all__ = [
    "DTS",
    "RunReport",
    "TempBalance",
    "TemperatureHistogram",
]
