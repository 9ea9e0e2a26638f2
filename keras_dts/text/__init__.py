"""Raw strings, and tasks of KerasHub."""

from keras_dts.text.adapter import RawTextAdapter
from keras_dts.text.alignment import align_spans, padding_of
from keras_dts.text.dataset import shuffle_like_keras
from keras_dts.text.preprocessing import TextPreprocessor
from keras_dts.text.strings import as_array, check_strings
from keras_dts.text.tasks import is_causal, is_task, same_tokens, tokens_unknown

__all__ = [
    "RawTextAdapter",
    "TextPreprocessor",
    "align_spans",
    "as_array",
    "check_strings",
    "is_causal",
    "is_task",
    "padding_of",
    "same_tokens",
    "shuffle_like_keras",
    "tokens_unknown",
]
