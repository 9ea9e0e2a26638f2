"""Causal language models of KerasHub that keep keys and values."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_dts.types import Tensor

_ARGUMENTS = ["token_ids", "cache", "cache_update_index"]


def check_drafting(teacher: keras.Model, student: keras.Model) -> None:
    """Raises unless a teacher can check, block by block, what a student drafts.

    Args:
        teacher: The teacher.
        student: The student.

    Raises:
        ValueError: If one of them does not compute logits with a cache as most
            causal language models of KerasHub do, or their logits are of
            different numbers of tokens.
    """
    for name, model in (("teacher", teacher), ("student", student)):
        call = getattr(model, "call_with_cache", None)
        found = list(inspect.signature(call).parameters) if call else []
        if found != _ARGUMENTS:
            raise ValueError(
                f"`{name}` must be a causal language model of KerasHub with "
                f"the method `call_with_cache({', '.join(_ARGUMENTS)})`, as "
                "GPT-2, Llama, Gemma, Mistral, OPT and Qwen3 have it. "
                f"Received: a {type(model).__name__}, whose method "
                + (f"takes {', '.join(found)}" if found else "is missing")
            )
    counts = [model.output_shape[-1] for model in (teacher, student)]
    if counts[0] != counts[1]:
        raise ValueError(
            "`teacher` and `student` must have logits of the same tokens. "
            f"Received: {counts[0]} and {counts[1]} tokens"
        )


def seeded_cache(model: keras.Model, inputs: dict[str, Tensor]) -> Any:
    """Returns a model's keys and values of a batch.

    `generate_step` hands them to the model's sampler. Here that is one which
    keeps them and writes nothing.

    Args:
        model: A causal language model of KerasHub.
        inputs: `token_ids` and `padding_mask`, each of shape
            `(batch, length)`.
    """
    found: list[Any] = []

    def keep(*, prompt: Tensor, cache: Any, **_: Any) -> Tensor:
        found.append(cache)
        return prompt

    before, model.sampler = model.sampler, keep
    try:
        model.generate_step(inputs)
    finally:
        model.sampler = before
    return found[0]
