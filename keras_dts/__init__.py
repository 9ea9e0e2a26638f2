"""Knowledge distillation with dynamic temperatures, for Keras 3."""

from keras_dts import callbacks, losses, metrics, temperatures
from keras_dts.cache import cache_teacher
from keras_dts.callbacks import DTS
from keras_dts.comparison import compare
from keras_dts.distiller import Distiller
from keras_dts.teacher_cache import TeacherCache
from keras_dts.temperatures.dynamic import DynamicTemperature

__all__ = [
    "DTS",
    "Distiller",
    "DynamicTemperature",
    "TeacherCache",
    "cache_teacher",
    "callbacks",
    "compare",
    "losses",
    "metrics",
    "temperatures",
]

__version__ = "0.1.0"
