"""Metrics: how closely a student follows its teacher, and what it writes."""

from keras_dts.metrics.teacher import TeacherAgreement, TeacherKL
from keras_dts.metrics.texts import exact_match, rouge_l, token_error_rate

__all__ = [
    "TeacherAgreement",
    "TeacherKL",
    "exact_match",
    "rouge_l",
    "token_error_rate",
]
