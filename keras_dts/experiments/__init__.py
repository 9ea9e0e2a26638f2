"""Methods compared on the same task, and the tasks of the demos."""

from keras_dts.experiments.compare import compare
from keras_dts.experiments.image_task import IMAGE_SETTINGS
from keras_dts.experiments.methods import METHODS
from keras_dts.experiments.runs import (
    UNFINISHED,
    DamagedRunError,
    prepare_task,
    run_task,
    save_results,
)
from keras_dts.experiments.task import DemoTask
from keras_dts.experiments.text_task import TEXT_SETTINGS
from keras_dts.experiments.training import Method

__all__ = [
    "IMAGE_SETTINGS",
    "METHODS",
    "TEXT_SETTINGS",
    "UNFINISHED",
    "DamagedRunError",
    "DemoTask",
    "Method",
    "compare",
    "prepare_task",
    "run_task",
    "save_results",
]
