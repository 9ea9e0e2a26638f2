"""Methods compared on the same task."""

from keras_dts.experiments.compare import Method, compare
from keras_dts.experiments.methods import METHODS
from keras_dts.experiments.text_task import TEXT_SETTINGS

__all__ = [
    "METHODS",
    "TEXT_SETTINGS",
    "Method",
    "compare",
]
