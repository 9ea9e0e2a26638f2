"""Pairs of a text that a student writes, and of the same text mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_dts.backend import compiled
from keras_dts.generation.choices import Acceptance, sampled
from keras_dts.generation.mending import Mender, TokenChoice
from keras_dts.generation.packing import PROMPT_MASK
from keras_dts.generation.preference import response_log_probs
from keras_dts.generation.sampling import first_draw
from keras_dts.types import Tensor


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
        def write(
            ids: Tensor, prompt_mask: Tensor, start: Tensor, as_it_is: Tensor
        ) -> list[Tensor]:
            # A flag decides, so that one program writes both texts.
            mend = Mender(
                student,
                teacher,
                draft=sampled(sampler, seed, start),
                accepts=lambda d: ops.logical_or(as_it_is, accepts(d)),
                replace=lambda z, at: replace(z, start + at),
                stop_token_ids=stop_token_ids,
                block=block,
            )
            text = mend(ids, prompt_mask)
            both = [
                response_log_probs(m, *text[:2], prompt_mask)
                for m in (teacher, student)
            ]
            return [*text, *both]

        variables = [*student.variables, *teacher.variables]
        self._write = compiled(write, variables, jit=True)
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
        as_it_is = ops.convert_to_tensor(not mend)
        parts = []
        for number, batch in enumerate(self._batches(x), first_batch):
            step = ops.convert_to_tensor(number, "int32")
            start = first_draw(step, batch[0].shape[1])
            parts.append(self._write(*batch, start, as_it_is))
        many = len(x[PROMPT_MASK])
        columns = (
            np.concatenate([ops.convert_to_numpy(part) for part in column])
            for column in zip(*parts, strict=True)
        )
        return ScoredText(*(column[:many] for column in columns))

    def batches_in(self, x: dict[str, Any]) -> int:
        """Returns how many batches examples are written in."""
        return -(-len(x[PROMPT_MASK]) // self._size)

    def _batches(self, x: dict[str, Any]) -> Iterator[list[Tensor]]:
        """Yields token ids and prompt masks, in batches of one size.

        The last one is filled by repeating examples.
        """
        many = len(x[PROMPT_MASK])
        dtypes = {"token_ids": "int32", PROMPT_MASK: "bool"}
        for start in range(0, many, self._size):
            rows = np.arange(start, start + self._size) % many
            yield [
                ops.convert_to_tensor(np.asarray(x[name])[rows], dtype)
                for name, dtype in dtypes.items()
            ]
