"""A phase before a distillation: the student learns its own text, mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.generation.adapter import PromptAdapter
from keras_dts.generation.cached import check_drafting
from keras_dts.generation.checks import (
    check_models,
    check_seed,
    check_stop_tokens,
    stop_tokens,
)
from keras_dts.generation.choices import (
    Acceptance,
    all_of,
    as_probable_as,
    counts_at,
    in_top_k,
    most_probable,
    sampled,
    to_token_sampler,
    within_margin,
)
from keras_dts.generation.mended_text import (
    TEACHER_SEED,
    block_for,
    check_block,
)
from keras_dts.generation.mending import TokenChoice
from keras_dts.generation.packing import PROMPT_MASK
from keras_dts.generation.pairs import PairWriter, ScoredText
from keras_dts.generation.preference import PairTrainer
from keras_dts.generation.student_text import StudentText
from keras_dts.generation.warmup_report import (
    WarmupReport,
    mean_log_prob,
    round_of,
)
from keras_dts.utils import check_choice, check_count, check_number

_OBJECTIVES = ["sft", "dpo"]


def warmup(
    student: keras.Model,
    teacher: keras.Model,
    prompts: Any,
    *,
    mend: Any = "argmax",
    threshold: float | None = 0.1,
    top_k: int | None = None,
    margin: float | None = None,
    rounds: int = 1,
    objective: Sequence[str] = ("sft", "dpo"),
    beta: float = 0.1,
    epochs: int = 1,
    batch_size: int = 32,
    optimizer: Any = "adam",
    sampler: Any = "random",
    block: int | str = "auto",
    stop_token_ids: Any = "auto",
    max_prompt_length: int | None = None,
    seed: int = 0,
    verbose: Any = 0,
) -> WarmupReport:
    """Trains a student on its own text, mended by the teacher.

    A reconstruction of Warmup-Distill, whose code is not public: what its
    abstract leaves open was chosen here. It comes before a distillation, so
    that the student's own text is likelier to the teacher when that begins.

    In a round, the student writes a response to each prompt. It writes the same
    once more, while the teacher replaces each token that it finds too
    improbable, and the student goes on behind it. Both texts are drawn by the
    same numbers, and differ from the first replaced token on. Then the student
    learns the mended text by cross entropy (`"sft"`), and to prefer it to its
    own (`"dpo"`, direct preference optimization). The reference of the
    preference is the student as it was when the round began. Pairs of equal
    texts are left out of the preference.

    A token stays if it meets each of `threshold`, `top_k` and `margin` that is
    not `None`.

    Args:
        student: A causal language model of KerasHub, which is trained in
            place. See `MendedText` for which ones can be used.
        teacher: A trained one with the same tokens.
        prompts: A list of strings or of token ids; or a dictionary of
            `token_ids` and `prompt_mask`, shape `(examples, length)` each, for
            a student without a preprocessor.
        mend: What comes in the place of a token: `"argmax"` for the teacher's
            most probable one, or a sampler by which the teacher draws, as
            `MendedText` takes it.
        threshold: The lowest probability that the teacher may give a token.
        top_k: Fewer than this many of the teacher's logits may exceed the
            token's.
        margin: How far the teacher's log probability of a token may lie below
            the student's, in nats.
        rounds: How often texts are written and learnt.
        objective: `"sft"`, `"dpo"` or both, whose losses are added.
        beta: What the preference is multiplied by: the larger it is, the
            nearer to its reference the student stays.
        epochs: How often a round passes over its texts.
        batch_size: How many texts are written, and how many pairs are learnt,
            at a time.
        optimizer: A Keras optimizer, or the name of one.
        sampler: How the student draws: a `keras_hub.samplers.Sampler` that
            chooses token by token, or the name of one.
        block: As for `MendedText`.
        stop_token_ids: As for `keras_dts.OnPolicyDistiller`.
        max_prompt_length: As for `keras_dts.OnPolicyDistiller`.
        seed: What the draws follow from.
        verbose: As for `keras.Model.fit`.

    Returns:
        A report: which share of the tokens was mended, how probable the texts
        are to the teacher, before and after, and how many pairs were left out.

    Raises:
        ValueError: If an argument is out of its range, or the models cannot
            write together.

    Example:
    >>> from keras_dts import generation
    >>> generation.warmup.__kwdefaults__["objective"]
    ('sft', 'dpo')

    Reference:
        Sun et al., Warmup-Distill: Bridge the Distribution Mismatch between
        Teacher and Student before Knowledge Distillation, 2025, arXiv
        2502.11766.
    """
    check_models(teacher, student)
    check_drafting(teacher, student)
    counts = {"rounds": rounds, "epochs": epochs, "batch_size": batch_size}
    for name, count in counts.items():
        check_count(name, count)
    objective = _checked_objective(objective)
    check_number("beta", beta, above=0.0)
    seed = check_seed(seed)
    check_block(block)
    _check_rules(threshold, top_k, margin)
    sampler = to_token_sampler("sampler", sampler, 1.0)
    replace = _replacement(mend, seed + TEACHER_SEED)
    stops = stop_tokens(check_stop_tokens(stop_token_ids, student), student)
    x = _packed(student, teacher, prompts, max_prompt_length)
    many, length = x[PROMPT_MASK].shape
    size = min(batch_size, many)
    writer = PairWriter(
        student,
        teacher,
        accepts=_rule(threshold, top_k, margin, length),
        replace=replace,
        sampler=sampler,
        stop_token_ids=stops,
        seed=seed,
        block=block_for(block, size),
        batch_size=size,
    )
    trainer = PairTrainer(student, objective, beta)
    trainer.compile(optimizer, jit_compile=keras.config.backend() != "torch")
    done = []
    for number in range(rounds):
        first = number * writer.batches_in(x)
        original, mended = (
            writer(x, first, mend=mending) for mending in (False, True)
        )
        run = trainer.fit(
            pairs_of(x, original, mended),
            batch_size=size,
            epochs=epochs,
            verbose=verbose,
        )
        losses = {name: run.history[name][-1] for name in objective}
        done.append(round_of(x, original, mended, losses))
    after = mean_log_prob(x, writer(x, 0, mend=False))
    return WarmupReport(tuple(done), done[0].log_prob_original, after)


def pairs_of(
    x: dict[str, Any], original: ScoredText, mended: ScoredText
) -> dict[str, Any]:
    """Returns what a `PairTrainer` learns from.

    Args:
        x: The prompts.
        original: The texts of the student.
        mended: The same, mended.
    """
    return {
        "mended_ids": mended.token_ids,
        "mended_mask": mended.padding_mask,
        "original_ids": original.token_ids,
        "original_mask": original.padding_mask,
        PROMPT_MASK: x[PROMPT_MASK].astype("bool"),
        "reference_gain": mended.student - original.student,
    }


def _packed(
    student: keras.Model,
    teacher: keras.Model,
    prompts: Any,
    max_prompt_length: int | None,
) -> dict[str, Any]:
    """Returns prompts as arrays, `token_ids` and `prompt_mask`."""
    if max_prompt_length is not None:
        check_count("max_prompt_length", max_prompt_length)
    if not isinstance(prompts, dict):
        options = {"x": {"prompts": prompts}}
        adapter = PromptAdapter(
            teacher, student, StudentText(), max_prompt_length
        )
        adapter.adapt_batch(options, teacher=True)
        prompts = options["x"]
    names = ("token_ids", PROMPT_MASK)
    missing = [name for name in names if name not in prompts]
    if missing:
        raise ValueError(
            "`prompts` must be a list, or a dictionary of `token_ids` and "
            f"`prompt_mask`. Received: the keys {sorted(prompts)}"
        )
    x = {name: ops.convert_to_numpy(prompts[name]) for name in names}
    if not len(x[PROMPT_MASK]):
        raise ValueError("`prompts` must not be empty. Received: 0 prompts")
    return x


def _checked_objective(objective: Sequence[str]) -> tuple[str, ...]:
    """Returns an objective, or raises a `ValueError` if it is none."""
    names = [objective] if isinstance(objective, str) else [*objective]
    for name in names:
        check_choice("objective", name, _OBJECTIVES)
    if not names:
        raise ValueError(
            "`objective` must have one of 'sft' and 'dpo' at least. Received: "
            f"objective={objective!r}"
        )
    return tuple(dict.fromkeys(names))


def _check_rules(threshold: Any, top_k: Any, margin: Any) -> None:
    """Raises a `ValueError` unless the rules decide which tokens stay."""
    if threshold is None and top_k is None and margin is None:
        raise ValueError(
            "One of `threshold`, `top_k` and `margin` must be a number. "
            "Received: None for each"
        )
    if threshold is not None:
        check_number("threshold", threshold, above=0.0, high=1.0)
    if top_k is not None:
        check_count("top_k", top_k)
    if margin is not None:
        check_number("margin", margin, low=0.0)


def _rule(
    threshold: float | None,
    top_k: int | None,
    margin: float | None,
    length: int,
) -> Acceptance:
    """Returns the rule of all that are given."""
    rules = []
    if threshold is not None:
        rules.append(as_probable_as(threshold))
    if top_k is not None:
        rules.append(in_top_k(counts_at(top_k, length)))
    if margin is not None:
        rules.append(within_margin(margin))
    return all_of(rules)


def _replacement(mend: Any, seed: int) -> TokenChoice:
    """Returns how the teacher chooses a token."""
    if isinstance(mend, str) and mend == "argmax":
        return most_probable
    return sampled(to_token_sampler("mend", mend, 1.0), seed)
