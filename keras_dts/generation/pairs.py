"""Pairs of a text that a student writes, and of the same text mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_dts.generation.choices import Acceptance, sampled
from keras_dts.generation.compiled import CompiledFunction
from keras_dts.generation.mending import Mender, TokenChoice
from keras_dts.generation.packing import PROMPT_MASK
from keras_dts.generation.preference import response_log_probs
from keras_dts.generation.sampling import first_draw


class ScoredText(NamedTuple):
    """Prompts with responses, and what both models think of the responses.

    Attributes:
        token_ids: Shape `(examples, length)`.
        padding_mask: Whether a position is of the text, bool, shape
            `(examples, length)`.
        mended: Whether a token is the teacher's, bool, shape `(examples,
            length)`.
        teacher: The teacher's log probabilities of the responses, in nats,
            shape `(examples,)`.
        student: The student's.
    """

    token_ids: Any
    padding_mask: Any
    mended: Any
    teacher: Any
    student: Any


class PairWriter:
    """Writes the texts of a student twice: as they are, and mended.

    The draws of both are the same, so that the texts differ from the first
    mended token on.

    Args:
        student: The student.
        teacher: The teacher.
        accepts: Which drafts stay.
        replace: Chooses the tokens in the place of the others.
        sampler: How the student draws.
        stop_token_ids: The tokens that end a response, or `None`.
        seed: What the student's draws follow from.
        block: How many tokens are drafted at a time.
        batch_size: How many texts are written at a time.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        accepts: Acceptance,
        replace: TokenChoice,
        sampler: Any,
        stop_token_ids: tuple[int, ...] | None,
        seed: int,
        block: int,
        batch_size: int,
    ) -> None:
        def write(x: dict[str, Any]) -> ScoredText:
            # A flag decides, so that one program writes both texts.
            mend = Mender(
                student,
                teacher,
                draft=sampled(sampler, seed, x["start"]),
                accepts=lambda d: ops.logical_or(x["as_it_is"], accepts(d)),
                replace=lambda z, at: replace(z, x["start"] + at),
                stop_token_ids=stop_token_ids,
                block=block,
            )
            text = mend(x["token_ids"], x[PROMPT_MASK])
            both = [
                response_log_probs(
                    model,
                    text.token_ids,
                    text.padding_mask,
                    ops.cast(x[PROMPT_MASK], "bool"),
                )
                for model in (teacher, student)
            ]
            return ScoredText(*text, *both)

        self._write = CompiledFunction(write, [student, teacher])
        self._size = batch_size

    def __call__(
        self, x: dict[str, Any], first_batch: int, *, mend: bool
    ) -> ScoredText:
        """Returns texts, as NumPy arrays.

        Args:
            x: `token_ids` and `prompt_mask`, shape `(examples, length)` each.
            first_batch: The number of the first batch, from which its draws
                follow.
            mend: Whether the teacher mends them.
        """
        parts = [
            self._write.predict_on_batch(
                {
                    **batch,
                    "start": np.int32(
                        ops.convert_to_numpy(
                            first_draw(number, batch[PROMPT_MASK].shape[1])
                        )
                    ),
                    "as_it_is": np.array(not mend),
                }
            )
            for number, batch in enumerate(self._batches(x), first_batch)
        ]
        many = len(x[PROMPT_MASK])
        columns = zip(*parts, strict=True)
        return ScoredText(*(np.concatenate(c)[:many] for c in columns))

    def batches_in(self, x: dict[str, Any]) -> int:
        """Returns how many batches examples are written in."""
        return -(-len(x[PROMPT_MASK]) // self._size)

    def _batches(self, x: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields batches of one size; the last one is filled by repeating."""
        many = len(x[PROMPT_MASK])
        for start in range(0, many, self._size):
            rows = np.arange(start, start + self._size) % many
            yield {
                name: np.asarray(x[name])[rows]
                for name in ("token_ids", PROMPT_MASK)
            }
