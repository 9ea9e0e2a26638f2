"""Tasks of KerasHub, and their raw inputs: strings and images."""

from keras_dts.hub.adapter import RawInputAdapter, split_off_validation
from keras_dts.hub.alignment import align_spans, padding_of
from keras_dts.hub.dataset import (
    is_dataset,
    is_in_memory,
    preprocessed_dataset,
    raw_dataset,
    shuffle_like_keras,
)
from keras_dts.hub.preprocessing import TaskPreprocessor
from keras_dts.hub.strings import as_array, check_strings, holds_strings
from keras_dts.hub.tasks import (
    is_causal,
    is_task,
    preprocessor_of,
    same_tokens,
    tokens_unknown,
)

__all__ = [
    "RawInputAdapter",
    "TaskPreprocessor",
    "align_spans",
    "as_array",
    "check_strings",
    "holds_strings",
    "is_causal",
    "is_dataset",
    "is_in_memory",
    "is_task",
    "padding_of",
    "preprocessed_dataset",
    "preprocessor_of",
    "raw_dataset",
    "same_tokens",
    "shuffle_like_keras",
    "split_off_validation",
    "tokens_unknown",
]
