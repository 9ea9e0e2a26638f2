"""What kind of task of KerasHub a model is, and which tokens its classes are.

KerasHub is optional and is never imported here: a program that holds a task
of KerasHub has imported it.
"""

from __future__ import annotations

import sys
from typing import Any

import keras


def is_task(model: keras.Model) -> bool:
    """Returns whether a model is a task of KerasHub."""
    return _is_a(model, "Task")


def is_causal(model: keras.Model) -> bool:
    """Returns whether a model is a causal language model of KerasHub."""
    return _is_a(model, "CausalLM")


def is_masked(model: keras.Model) -> bool:
    """Returns whether a model is a masked language model of KerasHub."""
    return _is_a(model, "MaskedLM")


def preprocessor_of(model: keras.Model) -> Any:
    """Returns the preprocessor of a KerasHub task, or `None`."""
    return model.preprocessor if is_task(model) else None


def preprocesses_numbers(model: keras.Model) -> bool:
    """Returns whether a task preprocesses inputs that are no strings.

    Image tasks do, in each of their methods. Tasks with a tokenizer take
    numbers for tokens, which are ready.
    """
    preprocessor = preprocessor_of(model)
    tokenizer = getattr(preprocessor, "tokenizer", None)
    return preprocessor is not None and tokenizer is None


def same_tokens(teacher: keras.Model, student: keras.Model) -> bool | None:
    """Returns whether class indices mean the same tokens in both models.

    Args:
        teacher: The teacher.
        student: The student.

    Returns:
        `None` unless both models are language models of KerasHub with a
        tokenizer, and where `tokens_unknown`.
    """
    theirs, ours = _tokenizer(teacher), _tokenizer(student)
    if theirs is None or ours is None or tokens_unknown(teacher, student):
        return None
    return theirs is ours or _vocabulary(theirs) == _vocabulary(ours)


def tokens_unknown(teacher: keras.Model, student: keras.Model) -> bool:
    """Returns whether the tokenizer of a language model is still empty.

    While Keras loads a model from a file, the vocabulary is loaded last.

    Args:
        teacher: The teacher.
        student: The student.
    """
    for model in (teacher, student):
        tokenizer = _tokenizer(model)
        if tokenizer is not None:
            try:
                tokenizer.vocabulary_size()
            except ValueError:
                return True
    return False


def _is_a(model: keras.Model, kind: str) -> bool:
    hub = sys.modules.get("keras_hub")
    model = getattr(model, "wrapped_task", model)  # of an `OnlineTeacher`
    return hub is not None and isinstance(model, getattr(hub.models, kind))


def _tokenizer(model: keras.Model) -> Any:
    """Returns the tokenizer of a language model, or `None`."""
    if not (is_causal(model) or is_masked(model)):
        return None
    return getattr(preprocessor_of(model), "tokenizer", None)


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    """Returns the id of each token."""
    return {t: tokenizer.token_to_id(t) for t in tokenizer.get_vocabulary()}
