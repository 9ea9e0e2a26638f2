"""A teacher's outputs on disk."""

from keras_dts.cache.adapter import TakesCaches
from keras_dts.cache.build import cache_teacher
from keras_dts.cache.teacher_cache import TeacherCache, teacher_name

__all__ = [
    "TakesCaches",
    "TeacherCache",
    "cache_teacher",
    "teacher_name",
]
