"""Raw strings, and tasks of KerasHub."""

from keras_dts.text.adapter import (
    RawText,
    TakesRawText,
    as_array,
    check_strings,
    shuffle_like_keras,
)
from keras_dts.text.tasks import (
    Reader,
    align_spans,
    is_causal,
    is_task,
    padding_of,
    same_tokens,
    tokens_unknown,
)

__all__ = [
    "RawText",
    "Reader",
    "TakesRawText",
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
