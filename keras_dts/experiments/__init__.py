"""Methods compared on the same task, and the tasks of the demos."""

from keras_dts.experiments.compare import compare
from keras_dts.experiments.image_task import IMAGE_SETTINGS
from keras_dts.experiments.methods import METHODS
from keras_dts.experiments.prompt_task import PROMPT_SETTINGS
from keras_dts.experiments.recipes import LABELS, methods_for
from keras_dts.experiments.runs import (
    UNFINISHED,
    DamagedRunError,
    prepare_task,
    run_task,
    save_results,
)
from keras_dts.experiments.series_task import SERIES_SETTINGS
from keras_dts.experiments.task import DemoTask
from keras_dts.experiments.text_task import TEXT_SETTINGS
from keras_dts.experiments.training import Method, Recipe

__all__ = [
    "IMAGE_SETTINGS",
    "LABELS",
    "METHODS",
    "PROMPT_SETTINGS",
    "SERIES_SETTINGS",
    "TEXT_SETTINGS",
    "UNFINISHED",
    "DamagedRunError",
    "DemoTask",
    "Method",
    "Recipe",
    "compare",
    "methods_for",
    "prepare_task",
    "run_task",
    "save_results",
]
