"""The public names of the package."""

import importlib

MODULES = (
    "keras_dts",
    "keras_dts.callbacks",
    "keras_dts.data",
    "keras_dts.generation",
    "keras_dts.losses",
    "keras_dts.metrics",
    "keras_dts.optimizers",
    "keras_dts.plots",
    "keras_dts.schedules",
    "keras_dts.temperatures",
)
PUBLIC = [
    (module, name)
    for module in MODULES
    for name in importlib.import_module(module).__all__
]
