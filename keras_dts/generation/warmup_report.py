"""What a warm-up has written, mended and learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_dts.generation.packing import PROMPT_MASK
from keras_dts.generation.pairs import ScoredText


@dataclass(frozen=True)
class WarmupRound:
    """What one round of a warm-up has written, mended and learnt.

    Attributes:
        mended_share: The share of tokens of the mended texts that are the
            teacher's.
        pairs: How many pairs of an original and a mended text there were.
        pairs_left_out: How many of them were equal, and so no preference.
        log_prob_original: The teacher's mean log probability of a token that
            the student wrote, in nats.
        log_prob_mended: That of a token of the mended texts.
        losses: The mean loss of each objective in the last epoch, by name.

    Example:
    >>> from keras_dts import generation
    >>> done = generation.WarmupRound(0.25, 100, 30, -3.1, -1.9, {"sft": 2.2})
    >>> done.pairs - done.pairs_left_out
    70
    """

    mended_share: float
    pairs: int
    pairs_left_out: int
    log_prob_original: float
    log_prob_mended: float
    losses: dict[str, float]


@dataclass(frozen=True)
class WarmupReport:
    """What a warm-up has done.

    Attributes:
        rounds: The rounds, in their order.
        log_prob_before: The teacher's mean log probability of a token that the
            student wrote before the warm-up, in nats.
        log_prob_after: That of a token that it writes afterwards, for the same
            prompts and by the same draws.

    Example:
    >>> from keras_dts import generation
    >>> report = generation.WarmupReport((), -3.1, -2.4)
    >>> round(report.log_prob_after - report.log_prob_before, 2)
    0.7
    """

    rounds: tuple[WarmupRound, ...]
    log_prob_before: float
    log_prob_after: float


def round_of(
    x: dict[str, Any],
    original: ScoredText,
    mended: ScoredText,
    losses: dict[str, float],
) -> WarmupRound:
    """Returns the report of a round.

    Args:
        x: The prompts.
        original: The texts of the student.
        mended: The same, mended.
        losses: The mean loss of each objective in the last epoch.
    """
    equal = np.all(original.token_ids == mended.token_ids, axis=-1)
    return WarmupRound(
        mended_share=float(np.sum(mended.mended)) / _tokens(x, mended),
        pairs=len(equal),
        pairs_left_out=int(np.sum(equal)),
        log_prob_original=mean_log_prob(x, original),
        log_prob_mended=mean_log_prob(x, mended),
        losses=losses,
    )


def _tokens(x: dict[str, Any], text: ScoredText) -> int:
    """Returns how many tokens responses have, at least 1."""
    of_prompt = x[PROMPT_MASK].astype("bool")
    return max(int(np.sum(text.padding_mask & ~of_prompt)), 1)


def mean_log_prob(x: dict[str, Any], text: ScoredText) -> float:
    """Returns the teacher's mean log probability of a token, in nats.

    Args:
        x: The prompts.
        text: Their responses.
    """
    return float(np.sum(text.teacher)) / _tokens(x, text)
