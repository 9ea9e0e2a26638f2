"""Callbacks that drive a training, and callbacks that show one."""

from keras_dts.callbacks.dts import DTS
from keras_dts.callbacks.generation_time import GenerationTime
from keras_dts.callbacks.histogram import TemperatureHistogram
from keras_dts.callbacks.phase import Phase
from keras_dts.callbacks.report import RunReport
from keras_dts.callbacks.temp_balance import TempBalance

__all__ = [
    "DTS",
    "GenerationTime",
    "Phase",
    "RunReport",
    "TempBalance",
    "TemperatureHistogram",
]
