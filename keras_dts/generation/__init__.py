"""Text that models write while a student learns from it."""

from keras_dts.generation.adaptive_text import AdaptiveText
from keras_dts.generation.base import Text, Writers, Written
from keras_dts.generation.distiller import OnPolicyDistiller
from keras_dts.generation.student_text import StudentText
from keras_dts.generation.teacher_text import TeacherText

__all__ = [
    "AdaptiveText",
    "OnPolicyDistiller",
    "StudentText",
    "TeacherText",
    "Text",
    "Writers",
    "Written",
]
