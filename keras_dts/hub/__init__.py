"""Tasks of KerasHub, and their raw inputs: strings and images."""

from keras_dts.hub.adapter import RawInputAdapter
from keras_dts.hub.alignment import align_spans, padding_of
from keras_dts.hub.dataset import shuffle_like_keras
from keras_dts.hub.preprocessing import TaskPreprocessor
from keras_dts.hub.strings import as_array, check_strings
from keras_dts.hub.tasks import is_causal, is_task, same_tokens, tokens_unknown

__all__ = [
    "RawInputAdapter",
    "TaskPreprocessor",
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
