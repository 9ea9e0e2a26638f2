"""Text that the student writes and the teacher mends."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.generation.base import Text, Writers, Written
from keras_dts.generation.cached import check_drafting
from keras_dts.generation.choices import (
    counts_at,
    in_top_k,
    sampled,
    to_token_sampler,
)
from keras_dts.generation.mending import Mender
from keras_dts.generation.sampling import first_draw
from keras_dts.types import Tensor
from keras_dts.utils import (
    EpochSchedule,
    Schedule,
    check_count,
    check_first,
    serialize,
)

# The teacher's draws follow from another seed than the student's: what the
# student drew, and the teacher refused, must not decide what it draws. It is
# far away, since Keras adds seed and number of a draw on PyTorch.
TEACHER_SEED = 2**20


@keras.saving.register_keras_serializable(package="keras_dts")
class MendedText(Text):
    """Responses that the student drafts and the teacher mends.

    Speculative knowledge distillation. A token of the student stays if fewer
    than `top_k` of the teacher's logits exceed its own, as the teacher's output
    is, before any temperature. Else the teacher draws the token in its place,
    and the student goes on behind it. With as many as there are tokens, the
    text is the student's; with 1, it is what the teacher finds most probable
    wherever the student departs from it.

    The student drafts `block` tokens before the teacher reads them. That
    decides on the speed alone: each draw follows from the seed, the step and
    the position, so that the text is the same for every `block`. Rows of a
    batch wait for each other, so that many rows are written fastest one
    token at a time.

    Both models keep keys and values. They must be causal language models of
    KerasHub with the method `call_with_cache(token_ids, cache,
    cache_update_index)`, such as GPT-2, Llama, Gemma, Mistral, OPT and Qwen3.

    Args:
        top_k: K, at least 1: a whole number, or a schedule over the position
            in the response, from 0. The published schedule counts rounds of
            drafting instead, and so depends on `block`.
        block: How many tokens the student drafts at a time, or `"auto"`: 3 for
            a single row, else 1.
        sampler: How the student draws: a `keras_hub.samplers.Sampler` that
            chooses token by token, the name of one, or `None` for top-p
            sampling with p = 0.5 at temperature 0.5, as published.
        teacher_sampler: How the teacher draws; `None` for p = 0.5 at
            temperature 0.2, as published.
        share: The probability that a batch is written and not the data's: a
            number in `[0, 1]`, or a schedule over steps or epochs.
        name: The name of the layer.

    Raises:
        ImportError: If KerasHub is missing.
        ValueError: If an argument is out of its range; when it is given to a
            distiller, if a model has no such method.

    Example:
    >>> from keras_dts import generation
    >>> text = generation.MendedText(top_k=5, sampler="random")
    >>> text.top_k, text.block, text.teacher_sampler.temperature
    (5, 'auto', 0.2)

    Reference:
        Xu et al., Speculative Knowledge Distillation: Bridging the
        Teacher-Student Gap Through Interleaved Sampling, ICLR 2025, arXiv
        2410.11325, algorithm 1.
    """

    def __init__(
        self,
        top_k: int | Schedule = 25,
        block: int | str = "auto",
        *,
        sampler: Any = None,
        teacher_sampler: Any = None,
        share: float | Schedule = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__(share, name=name)
        _check_top_k(top_k)
        check_block(block)
        self.top_k = top_k
        self.block = block
        self.sampler = to_token_sampler("sampler", sampler, 0.5)
        self.teacher_sampler = to_token_sampler(
            "teacher_sampler", teacher_sampler, 0.2
        )

    def check(self, writers: Writers) -> None:
        """Raises a `ValueError` if these models cannot write this text."""
        check_drafting(writers.teacher, writers.student)

    def write(
        self,
        prompts: Tensor,
        prompt_mask: Tensor,
        step: Tensor,
        writers: Writers,
    ) -> Written:
        """Writes a response behind each prompt; see `Text.write`."""
        length = prompts.shape[1]
        start = first_draw(step, length)
        seed = writers.seed
        mend = Mender(
            writers.student,
            writers.teacher,
            draft=sampled(self.sampler, seed, start),
            accepts=in_top_k(counts_at(self.top_k, length)),
            replace=sampled(self.teacher_sampler, seed + TEACHER_SEED, start),
            stop_token_ids=writers.stop_token_ids,
            block=block_for(self.block, prompts.shape[0]),
        )
        mended = mend(prompts, prompt_mask)
        return Written(mended.token_ids, mended.padding_mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, serialized."""
        settings = {
            "top_k": self.top_k,
            "block": self.block,
            "sampler": self.sampler,
            "teacher_sampler": self.teacher_sampler,
        }
        return {**super().get_config(), **serialize(settings)}


def block_for(block: int | str, rows: int | None) -> int:
    """Returns how many tokens are drafted at a time.

    Args:
        block: The number, or `"auto"`.
        rows: How many rows a batch has, or `None` if that is unknown.
    """
    if isinstance(block, int):
        return block
    return 3 if rows == 1 else 1


def check_block(block: Any) -> None:
    """Raises a `ValueError` unless `block` is a number of tokens, or auto."""
    if block != "auto":
        check_count("block", block)


def _check_top_k(top_k: Any) -> None:
    """Raises a `ValueError` unless `top_k` is a count or such a schedule."""
    if isinstance(top_k, EpochSchedule):
        raise ValueError(
            "`top_k` must be a whole number or a schedule over positions in "
            "the response. Received: a schedule over epochs"
        )
    if isinstance(top_k, Schedule):
        check_first("top_k", top_k, low=1.0)
    else:
        check_count("top_k", top_k)
