"""Checks of what a training on written text is made of."""

from __future__ import annotations

import numbers
from typing import Any

import keras

from keras_dts.distiller import OnlineTeacher
from keras_dts.generation.base import Text
from keras_dts.hub import is_causal, preprocessor_of, same_tokens


def check_models(teacher: Any, student: Any) -> None:
    """Raises unless both are causal language models with the same tokens.

    Args:
        teacher: The teacher.
        student: The student.

    Raises:
        ValueError: If a model is another one, or the tokens differ.
    """
    for name, model in (("teacher", teacher), ("student", student)):
        if not isinstance(model, keras.Model) or not is_causal(model):
            raise ValueError(
                f"`{name}` must be a causal language model of KerasHub, such "
                "as `keras_hub.models.GPT2CausalLM`. Received: an object of "
                f"type {type(model).__name__}"
            )
    if isinstance(teacher, OnlineTeacher):
        raise ValueError(
            "`teacher` must not learn from labels, which text that models "
            "write does not have. Received: an `OnlineTeacher`, which a "
            "`keras_dts.Distiller` takes"
        )
    if same_tokens(teacher, student) is False:
        raise ValueError(
            "`teacher` and `student` must have the same tokens, since the "
            "teacher reads what the student writes. "
            "`UniversalLogitDistillation` compares models with other tokens "
            "in a `keras_dts.Distiller`, on the text of the data. Received: "
            "tokenizers with different vocabularies"
        )


def check_text(text: Any) -> Text:
    """Returns a text, or raises a `ValueError` if it is none."""
    if not isinstance(text, Text):
        raise ValueError(
            "`text` must be a `keras_dts.generation.Text`, such as "
            f"`StudentText()`. Received: text={text!r}"
        )
    return text


def check_seed(seed: Any) -> int:
    """Returns a seed, or raises a `ValueError` if it is no whole number."""
    whole = isinstance(seed, numbers.Integral) and not isinstance(seed, bool)
    if not whole or not 0 <= int(seed) < 2**31 - 1:
        raise ValueError(
            "`seed` must be a whole number of at least 0 and less than 2**31 - "
            f"1. Received: seed={seed!r}"
        )
    return int(seed)


def check_stop_tokens(stop_token_ids: Any, student: keras.Model) -> Any:
    """Returns stop tokens as they are kept.

    Args:
        stop_token_ids: `"auto"`, `None`, or token ids.
        student: The student.

    Returns:
        `"auto"`, `None`, or a tuple of integers.

    Raises:
        ValueError: If it is none of these, or `"auto"` without a preprocessor.
    """
    if stop_token_ids is None:
        return None
    if isinstance(stop_token_ids, str) and stop_token_ids == "auto":
        if preprocessor_of(student) is None:
            raise ValueError(
                "`stop_token_ids` must be given, or be `None`, for a student "
                "without a `preprocessor`. Received: stop_token_ids='auto'"
            )
        return "auto"
    listed = isinstance(stop_token_ids, (list, tuple)) and stop_token_ids
    if not listed or not all(
        isinstance(i, numbers.Integral)
        and not isinstance(i, bool)
        and int(i) >= 0
        for i in stop_token_ids
    ):
        raise ValueError(
            "`stop_token_ids` must be 'auto', `None`, or a list of token ids. "
            f"Received: stop_token_ids={stop_token_ids!r}"
        )
    return tuple(int(i) for i in stop_token_ids)


def stop_tokens(
    stop_token_ids: Any, student: keras.Model
) -> tuple[int, ...] | None:
    """Returns the stop tokens of a training.

    Args:
        stop_token_ids: What `check_stop_tokens` returned.
        student: The student.
    """
    if stop_token_ids != "auto":
        found: tuple[int, ...] | None = stop_token_ids
        return found
    tokenizer = preprocessor_of(student).tokenizer
    names = ("end_token_id", "end_token2_id")
    ids = [getattr(tokenizer, name, None) for name in names]
    return tuple(i for i in ids if i is not None) or None
