"""Temperature policies: what softens the logits, and how it moves."""

from keras_dts.temperatures.annealed import AnnealedTeacher
from keras_dts.temperatures.auto import AutoTemperature
from keras_dts.temperatures.base import Temperature, Temperatures
from keras_dts.temperatures.consistent import ConsistentTemperature
from keras_dts.temperatures.convert import (
    DEFAULT_TEMPERATURE as DEFAULT_TEMPERATURE,
    to_policy as to_policy,
)
from keras_dts.temperatures.curriculum import CurriculumTemperature
from keras_dts.temperatures.difficulty import TokenDifficultyTemperature
from keras_dts.temperatures.dynamic import (
    DynamicTemperature,
    check_bounds as check_bounds,
)
from keras_dts.temperatures.focus import TokenFocus
from keras_dts.temperatures.meta import MetaTemperature
from keras_dts.temperatures.reinforced import ReinforcedTemperature
from keras_dts.temperatures.scheduled import ScheduledTemperature
from keras_dts.temperatures.sharpness import SharpnessTemperature
from keras_dts.temperatures.similarity import CosineSimilarityTemperature
from keras_dts.temperatures.standardized import LogitStandardization
from keras_dts.temperatures.step_context import StepContext
from keras_dts.temperatures.transformed import TransformedTeacher

__all__ = [
    "AnnealedTeacher",
    "AutoTemperature",
    "ConsistentTemperature",
    "CosineSimilarityTemperature",
    "CurriculumTemperature",
    "DynamicTemperature",
    "LogitStandardization",
    "MetaTemperature",
    "ReinforcedTemperature",
    "ScheduledTemperature",
    "SharpnessTemperature",
    "StepContext",
    "Temperature",
    "Temperatures",
    "TokenDifficultyTemperature",
    "TokenFocus",
    "TransformedTeacher",
]
