"""How a token is chosen from logits, and which drafts a teacher accepts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_dts.backend import repeat
from keras_dts.generation.mending import Drafts, TokenChoice, log_prob_of
from keras_dts.generation.sampling import draw, to_sampler
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, require

Acceptance = Callable[[Drafts], Tensor]


def to_token_sampler(name: str, sampler: Any, temperature: float) -> Any:
    """Returns a sampler of KerasHub that chooses token by token.

    Args:
        name: The argument's name, for the error message.
        sampler: A `keras_hub.samplers.Sampler`, the name of one, or `None`
            for top-p sampling with p = 0.5.
        temperature: That of top-p sampling.

    Raises:
        ValueError: If there is no such sampler, or it chooses several tokens
            together, as a beam search does.
    """
    samplers = require("text", f"`{name}`", "keras_hub")[0].samplers
    if sampler is None:
        return samplers.TopPSampler(p=0.5, temperature=temperature)
    sampler = to_sampler(name, sampler)
    if type(sampler).__call__ is not samplers.Sampler.__call__:
        raise ValueError(
            f"`{name}` must choose token by token, since what a student drafts "
            "may be dropped. Received: a sampler with a loop of its own, "
            f"{type(sampler).__name__}"
        )
    return sampler


def sampled(sampler: Any, seed: int, start: Tensor | int = 0) -> TokenChoice:
    """Returns a choice by a sampler, which depends on the position alone.

    Args:
        sampler: What `to_token_sampler` returns.
        seed: The seed.
        start: The number of the draw at the first position.
    """

    def choose(logits: Tensor, position: Tensor) -> Tensor:
        probabilities = sampler.compute_probabilities(logits)
        return draw(sampler, probabilities, seed, start + position)

    return choose


def most_probable(logits: Tensor, position: Tensor) -> Tensor:
    """Chooses the token of the highest logit."""
    del position
    return ops.argmax(logits, axis=-1)


def in_top_k(counts: Tensor) -> Acceptance:
    """Returns a rule: fewer than K logits of the teacher exceed the token's.

    Args:
        counts: K for each position in a response, shape `(length,)`.
    """

    def accepts(drafts: Drafts) -> Tensor:
        logits = drafts.teacher_logits
        own = ops.take_along_axis(
            logits, ops.cast(drafts.tokens, "int32")[..., None], axis=-1
        )  # (batch, block, 1)
        above = ops.sum(ops.cast(logits > own, "float32"), axis=-1)
        # Positions of prompts, before the first one, do not count.
        limit = ops.take(counts, ops.maximum(drafts.positions, 0))
        return above < ops.cast(limit, "float32")

    return accepts


def counts_at(top_k: Any, length: int) -> Tensor:
    """Returns K for each position in a response, float32, shape `(length,)`.

    Args:
        top_k: K, or a schedule from a position to K.
        length: The number of positions.
    """
    if not isinstance(top_k, Schedule):
        return ops.full((length,), top_k, "float32")
    positions = ops.arange(length, dtype="int32")

    # A schedule need not take all positions at once.
    def body(i: Tensor, counts: Tensor) -> tuple[Tensor]:
        found = ops.cast(top_k(i), "float32")
        return (ops.where(positions == i, found, counts),)

    (counts,) = repeat(body, (ops.zeros((length,)),), length)
    return counts


def as_probable_as(threshold: float) -> Acceptance:
    """Returns a rule: the teacher's probability of the token is large enough.

    Args:
        threshold: The lowest probability.
    """

    def accepts(drafts: Drafts) -> Tensor:
        return ops.exp(_teacher_log_probs(drafts)) >= threshold

    return accepts


def within_margin(margin: float) -> Acceptance:
    """Returns a rule: the teacher is not much less sure than the student.

    Args:
        margin: How far the teacher's log probability of the token may lie
            below the student's, in nats.
    """

    def accepts(drafts: Drafts) -> Tensor:
        behind = drafts.student_log_probs - _teacher_log_probs(drafts)
        return behind <= margin

    return accepts


def all_of(rules: Sequence[Acceptance]) -> Acceptance:
    """Returns a rule: a draft stays if each of some rules accepts it."""

    def accepts(drafts: Drafts) -> Tensor:
        return ops.all(ops.stack([rule(drafts) for rule in rules]), axis=0)

    return accepts


def _teacher_log_probs(drafts: Drafts) -> Tensor:
    """Returns the teacher's log probabilities of drafts, in nats."""
    tokens = drafts.tokens[..., None]
    return log_prob_of(drafts.teacher_logits, tokens)[..., 0]
