"""Temperature policies: what softens the logits, and how it moves."""

from keras_dts.temperatures.base import Temperature, Temperatures
from keras_dts.temperatures.dynamic import DynamicTemperature

__all__ = ["DynamicTemperature", "Temperature", "Temperatures"]
