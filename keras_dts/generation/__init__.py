"""Text that models write while a student learns from it."""

from keras_dts.generation.adaptive_text import AdaptiveText
from keras_dts.generation.base import Text, Writers, Written
from keras_dts.generation.distiller import OnPolicyDistiller
from keras_dts.generation.mended_text import MendedText
from keras_dts.generation.packing import PromptPacker
from keras_dts.generation.student_text import StudentText
from keras_dts.generation.teacher_text import TeacherText
from keras_dts.generation.warmup import warmup
from keras_dts.generation.warmup_report import WarmupReport, WarmupRound

__all__ = [
    "AdaptiveText",
    "MendedText",
    "OnPolicyDistiller",
    "PromptPacker",
    "StudentText",
    "TeacherText",
    "Text",
    "WarmupReport",
    "WarmupRound",
    "Writers",
    "Written",
    "warmup",
]
