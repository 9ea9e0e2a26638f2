"""A teacher's outputs on disk."""

from keras_dts.cache.adapter import CacheAdapter
from keras_dts.cache.build import cache_teacher
from keras_dts.cache.errors import CacheInUseError, DamagedCacheError
from keras_dts.cache.fingerprint import fingerprint, teacher_name
from keras_dts.cache.outputs import OutputCodec
from keras_dts.cache.records import checksum
from keras_dts.cache.sources import ArraySource
from keras_dts.cache.teacher_cache import TeacherCache

__all__ = [
    "ArraySource",
    "CacheAdapter",
    "CacheInUseError",
    "DamagedCacheError",
    "OutputCodec",
    "TeacherCache",
    "cache_teacher",
    "checksum",
    "fingerprint",
    "teacher_name",
]
