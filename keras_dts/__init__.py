"""Knowledge distillation with dynamic temperatures, for Keras 3."""

import importlib
import sys
from typing import Any

from keras_dts_command import check_backend

if "keras" not in sys.modules:
    check_backend()  # Keras's own message does not name what is missing

from keras_dts import (
    callbacks,
    losses,
    metrics,
    optimizers,
    schedules,
    temperatures,
)
from keras_dts.cache import TeacherCache, cache_teacher
from keras_dts.callbacks import DTS
from keras_dts.distiller import Distiller, OnlineTeacher, layout_report
from keras_dts.experiments import Recipe, compare
from keras_dts.temperatures import DynamicTemperature
from keras_dts.utils import __version__ as __version__

__all__ = [
    "DTS",
    "Distiller",
    "DynamicTemperature",
    "OnlineTeacher",
    "Recipe",
    "TeacherCache",
    "cache_teacher",
    "callbacks",
    "compare",
    "layout_report",
    "losses",
    "metrics",
    "optimizers",
    "schedules",
    "temperatures",
]


# What few programs use is imported when it is first named: modules, and a class
# of one of them.
_LATER = ("OnPolicyDistiller", "data", "generation", "plots")


def __dir__() -> list[str]:
    """Lists the public names, and what every module has."""
    own = [name for name in globals() if name.startswith("__")]
    return sorted({*own, *__all__, *_LATER})


def __getattr__(name: str) -> Any:
    """Imports what is not imported with the package."""
    if name == "OnPolicyDistiller":
        return importlib.import_module(f"{__name__}.generation").__dict__[name]
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
