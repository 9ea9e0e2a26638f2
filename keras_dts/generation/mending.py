"""A student's text, in which a teacher replaces what it does not accept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.backend import no_gradient, repeat
from keras_dts.generation.cached import seeded_cache
from keras_dts.generation.packing import are_stops
from keras_dts.types import Tensor

# From logits of shape `(batch, classes)`, and the count of positions from the
# first one that a batch writes, to tokens of shape `(batch,)`.
TokenChoice = Callable[[Tensor, Tensor], Tensor]


class Drafts(NamedTuple):
    """Drafted tokens, and how probable they are.

    Attributes:
        tokens: Integers, shape `(batch, block)`.
        teacher_logits: As the teacher returns them, float32, shape
            `(batch, block, classes)`.
        student_log_probs: Of the tokens, in nats, shape `(batch, block)`.
        positions: In the responses, from 0, int32, shape `(batch, block)`.
    """

    tokens: Tensor
    teacher_logits: Tensor
    student_log_probs: Tensor
    positions: Tensor


class MendedTokens(NamedTuple):
    """What a batch has become.

    Attributes:
        token_ids: Prompts and responses, shape `(batch, length)`.
        padding_mask: Whether a token is of a prompt or of a response, whose
            stop token is its last, bool, shape `(batch, length)`.
        mended: Whether a token of a response is the teacher's, and not what
            the student drafted, bool, shape `(batch, length)`.
    """

    token_ids: Tensor
    padding_mask: Tensor
    mended: Tensor


class _State(NamedTuple):
    """What goes from round to round.

    Attributes:
        token_ids: Shape `(batch, length)`.
        decided: How many tokens of a row are decided, int32, shape `(batch,)`.
        mended: As in `MendedTokens`.
        student_cache: Keys and values of the student.
        teacher_cache: Keys and values of the teacher.
    """

    token_ids: Tensor
    decided: Tensor
    mended: Tensor
    student_cache: Any
    teacher_cache: Any


@dataclass(frozen=True)
class Mender:
    """Writes responses to prompts: the student drafts, the teacher mends.

    A round drafts a block of tokens for each row of the batch, from the first
    position that some row has not decided. The teacher computes its logits of
    the block at once. The first token of a row that it does not accept is
    replaced, and what follows in the block is dropped. Which text comes out
    does not depend on the length of the block, if the choices depend on the
    logits and on the position alone.

    Args:
        student: A causal language model of KerasHub.
        teacher: Another one, which `check_drafting` lets pass with it.
        draft: Chooses a token by the student's logits.
        accepts: Says of drafts which ones stay, bool, shape `(batch, block)`.
        replace: Chooses a token by the teacher's logits.
        stop_token_ids: A response ends at the first of these tokens. `None`
            if it goes on to the end of the window.
        block: How many tokens a round drafts.
    """

    student: keras.Model
    teacher: keras.Model
    draft: TokenChoice
    accepts: Callable[[Drafts], Tensor]
    replace: TokenChoice
    stop_token_ids: Sequence[int] | None
    block: int

    def __call__(self, token_ids: Tensor, prompt_mask: Tensor) -> MendedTokens:
        """Writes responses, to the end of the window at most.

        Args:
            token_ids: Prompts of at least one token, without gaps, and
                padding behind them, shape `(batch, length)`.
            prompt_mask: Nonzero where a token is of a prompt, shape
                `(batch, length)`.
        """
        prompt_mask = ops.cast(prompt_mask, "bool")
        length = token_ids.shape[1]
        prompts = ops.sum(ops.cast(prompt_mask, "int32"), axis=1)  # (batch,)
        first = ops.min(prompts)
        with no_gradient():
            inputs = {"token_ids": token_ids, "padding_mask": prompt_mask}
            state = _State(
                token_ids,
                prompts,
                ops.zeros_like(prompt_mask),
                seeded_cache(self.student, inputs),
                seeded_cache(self.teacher, inputs),
            )
            end = ops.while_loop(
                lambda *state: ops.any(_State(*state).decided < length),
                lambda *state: self._round(_State(*state), prompts, first),
                state,
            )
        return self._cut(_State(*end), token_ids, prompt_mask)

    def _round(self, state: _State, prompts: Tensor, first: Tensor) -> _State:
        """Decides at least one token of each row that is not at its end."""
        length = state.token_ids.shape[1]
        block = min(self.block, length - 1)
        at = ops.min(state.decided)
        state, log_probs = self._drafted(state, at, block, first)
        # The window that the teacher reads moves back at the end of the text:
        # its shape is the same in each round.
        start = ops.minimum(at - 1, length - 1 - block)
        read = start + ops.arange(block, dtype="int32")  # (block,)
        logits, _, cache = self.teacher.call_with_cache(
            ops.take(state.token_ids, read, axis=1), state.teacher_cache, start
        )
        drafts = Drafts(
            ops.take(state.token_ids, read + 1, axis=1),
            ops.cast(logits, "float32"),
            ops.take(log_probs, read + 1, axis=1),
            (read + 1)[None] - prompts[:, None],
        )
        undecided = (read + 1)[None] >= state.decided[:, None]
        refused = ops.logical_and(
            undecided, ops.logical_not(self.accepts(drafts))
        )  # (batch, block)
        state = state._replace(teacher_cache=cache)
        return self._replaced(state, refused, drafts, start + 1, first)

    def _drafted(
        self, state: _State, at: Tensor, block: int, first: Tensor
    ) -> tuple[_State, Tensor]:
        """Drafts tokens at the positions from `at` on.

        Returns:
            The state, and log probabilities of the drafts, in nats, shape
            `(batch, length)`.
        """
        decided = state.decided
        length = state.token_ids.shape[1]
        positions = ops.arange(length, dtype="int32")

        def body(i: Tensor, ids: Tensor, log_probs: Tensor, cache: Any) -> Any:
            here = at + i
            fed = ops.take(ids, here - 1, axis=1)[:, None]  # (batch, 1)
            logits, _, cache = self.student.call_with_cache(
                fed, cache, here - 1
            )
            logits = ops.cast(logits[:, 0], "float32")  # (batch, classes)
            tokens = self.draft(logits, here - first)[:, None]
            open_ = ops.logical_and(
                positions == here, (decided <= here)[:, None]
            )
            ids = ops.where(open_, ops.cast(tokens, ids.dtype), ids)
            found = log_prob_of(logits, tokens)  # (batch, 1)
            return ids, ops.where(open_, found, log_probs), cache

        times = ops.minimum(block, length - at)
        start = (
            state.token_ids,
            ops.zeros_like(state.token_ids, dtype="float32"),
            state.student_cache,
        )
        ids, log_probs, cache = repeat(body, start, times)
        return state._replace(token_ids=ids, student_cache=cache), log_probs

    def _replaced(
        self,
        state: _State,
        refused: Tensor,
        drafts: Drafts,
        start: Tensor,
        first: Tensor,
    ) -> _State:
        """Replaces the first refused token of a row, and drops what follows.

        Args:
            state: The state.
            refused: Whether a draft is refused, bool, shape `(batch, block)`.
            drafts: The drafts.
            start: The position of the first draft.
            first: The first position that the batch writes.
        """
        block = refused.shape[1]
        mends = ops.any(refused, axis=1)  # (batch,)
        place = ops.cast(ops.argmax(refused, axis=1), "int32")  # (batch,)
        length = state.token_ids.shape[1]
        positions = ops.arange(length, dtype="int32")
        here = ops.logical_and(
            positions == (start + place)[:, None], mends[:, None]
        )  # (batch, length), of which at most one of a row is up

        def body(i: Tensor, ids: Tensor) -> Any:
            logits = ops.take(drafts.teacher_logits, i, axis=1)
            tokens = self.replace(logits, start + i - first)[:, None]
            mine = ops.logical_and(here, (place == i)[:, None])
            return (ops.where(mine, ops.cast(tokens, ids.dtype), ids),)

        (ids,) = repeat(body, (state.token_ids,), block)
        many = ops.where(mends, place + 1, block)
        decided = ops.maximum(state.decided, start + many)
        fresh = ops.logical_and(
            positions >= state.decided[:, None], positions < decided[:, None]
        )
        stops = ops.logical_and(fresh, are_stops(ids, self.stop_token_ids))
        stops = ops.any(stops, axis=1)
        return state._replace(
            token_ids=ids,
            decided=ops.where(stops, length, decided),
            mended=ops.logical_or(state.mended, ids != state.token_ids),
        )

    def _cut(
        self, state: _State, given: Tensor, prompt_mask: Tensor
    ) -> MendedTokens:
        """Puts back the given padding behind the stop tokens."""
        stops = ops.logical_and(
            are_stops(state.token_ids, self.stop_token_ids),
            ops.logical_not(prompt_mask),
        )
        stops = ops.cast(stops, "int32")
        mask = ops.cumsum(stops, axis=1) == stops  # the first one stays
        return MendedTokens(
            ops.where(mask, state.token_ids, given),
            mask,
            ops.logical_and(mask, state.mended),
        )


def log_prob_of(logits: Tensor, tokens: Tensor) -> Tensor:
    """Returns the log probabilities of tokens, in nats.

    Args:
        logits: Shape `(..., classes)`.
        tokens: Integers, shape `(..., n)`.

    Returns:
        Shape `(..., n)`.
    """
    taken = ops.take_along_axis(logits, ops.cast(tokens, "int32"), axis=-1)
    return taken - ops.logsumexp(logits, axis=-1, keepdims=True)
