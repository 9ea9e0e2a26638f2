"""A student learns its own text, mended, before a distillation."""

import keras
import numpy as np
import pytest
from families import LENGTH, TOKENS, language_model
from helpers import copies, moved, value_and_grad
from keras import ops
from keras_hub import samplers
from texts import gemma3, gpt2

from keras_dts import generation
from keras_dts.generation.choices import (
    all_of,
    as_probable_as,
    in_top_k,
    most_probable,
    sampled,
    within_margin,
)
from keras_dts.generation.mending import Drafts
from keras_dts.generation.pairs import PairWriter
from keras_dts.generation.preference import preference_loss

STOP = 3


def prompts(lengths=(4, 6, 9, LENGTH), seed=0):
    mask = np.arange(LENGTH)[None] < np.array(lengths)[:, None]
    ids = np.random.default_rng(seed).integers(4, TOKENS, mask.shape)
    return {"token_ids": np.where(mask, ids, 0), "prompt_mask": mask}


def warm(student=None, teacher=None, x=None, **kwargs):
    """Warms a student up, and returns the report."""
    return generation.warmup(
        student or language_model("gpt2", 1),
        teacher or language_model("gpt2", 5),
        x or prompts(),
        **{"stop_token_ids": (STOP,), "seed": 7, **kwargs},
    )


def test_a_warm_student_writes_what_is_likelier_to_the_teacher():
    student, teacher = language_model("gpt2", 1), language_model("gpt2", 5)
    theirs = copies(teacher)
    report = warm(
        student, teacher, epochs=30, optimizer=keras.optimizers.Adam(0.02)
    )
    (only,) = report.rounds
    assert 0 < only.mended_share <= 1
    # The last prompt leaves no room for a response.
    assert only.pairs == 4
    assert only.pairs_left_out >= 1
    assert only.log_prob_original == report.log_prob_before
    assert report.log_prob_before + 0.5 < report.log_prob_after
    assert only.log_prob_original < only.log_prob_mended
    assert 0 < only.losses["dpo"] < np.log(2)
    assert moved(teacher, theirs) == 0


def log_softmax(logits):
    return logits - np.log(np.sum(np.exp(logits), -1, keepdims=True))


def log_prob_sums(model, text, x):
    """The log probabilities of responses, by NumPy."""
    inputs = {"token_ids": text.token_ids, "padding_mask": text.padding_mask}
    logits = ops.convert_to_numpy(model(inputs)).astype("float64")
    log_probs = np.take_along_axis(
        log_softmax(logits)[:, :-1], text.token_ids[:, 1:, None], axis=-1
    )[..., 0]
    of_response = (text.padding_mask & ~x["prompt_mask"])[:, 1:]
    return np.sum(log_probs * of_response, axis=1)


def mean_log_prob(model, text, x):
    tokens = np.sum(text.padding_mask & ~x["prompt_mask"])
    return np.sum(log_prob_sums(model, text, x)) / tokens


def writer_of(student, teacher, **kwargs):
    """What writes the texts of a warm-up."""
    settings = {
        "accepts": as_probable_as(0.1),
        "replace": most_probable,
        "sampler": samplers.RandomSampler(),
        "stop_token_ids": (STOP,),
        "seed": 7,
        "block": 3,
        "batch_size": 4,
        **kwargs,
    }
    return PairWriter(student, teacher, **settings)


def written(student, teacher):
    """The prompts, the student's texts, and the same mended."""
    x, writer = prompts(), writer_of(student, teacher)
    return x, *(writer(x, 0, mend=mend) for mend in (False, True))


@pytest.mark.torch
def test_a_pair_differs_from_the_first_mended_token_on():
    student, teacher = language_model("gpt2", 1), language_model("gpt2", 5)
    x, original, mended = written(student, teacher)
    student.compile(sampler=samplers.RandomSampler(seed=7))
    inputs = {"token_ids": x["token_ids"], "padding_mask": x["prompt_mask"]}
    made = student.generate(inputs, stop_token_ids=(STOP,))
    mask = original.padding_mask
    np.testing.assert_array_equal(mask, made["padding_mask"])
    np.testing.assert_array_equal(
        original.token_ids[mask], made["token_ids"][mask]
    )
    assert not np.any(original.mended)
    differ = original.token_ids != mended.token_ids
    assert list(np.any(differ, axis=1)) == [True, True, True, False]
    np.testing.assert_array_equal(
        np.argmax(differ, axis=1), np.argmax(mended.mended, axis=1)
    )


@pytest.mark.torch
def test_each_batch_has_draws_of_the_teacher_of_its_own():
    writer = writer_of(
        language_model("gpt2", 1),
        language_model("gpt2", 5),
        sampler=samplers.GreedySampler(),
        replace=sampled(samplers.RandomSampler(), 3),
    )
    texts = [writer(prompts(), number, mend=True)[0] for number in (0, 0, 1)]
    np.testing.assert_array_equal(texts[0], texts[1])
    assert np.any(texts[0] != texts[2])


@pytest.mark.torch
def test_the_report_is_what_was_written():
    student, teacher = language_model("gpt2", 1), language_model("gpt2", 5)
    x, original, mended = written(student, teacher)
    report = warm(
        student, teacher, optimizer=keras.optimizers.SGD(0.0), batch_size=4
    )
    (only,) = report.rounds
    expected = mean_log_prob(teacher, original, x)
    assert only.log_prob_original == pytest.approx(expected, rel=1e-5)
    assert report.log_prob_after == pytest.approx(expected, rel=1e-5)
    expected = mean_log_prob(teacher, mended, x)
    assert only.log_prob_mended == pytest.approx(expected, rel=1e-5)
    tokens = np.sum(mended.padding_mask & ~x["prompt_mask"])
    assert only.mended_share == np.sum(mended.mended) / tokens
    assert only.pairs_left_out == 1
    expected = -mean_log_prob(student, mended, x)
    assert only.losses["sft"] == pytest.approx(expected, rel=1e-5)
    # Nothing is preferred yet to what the reference prefers.
    assert only.losses["dpo"] == pytest.approx(np.log(2), rel=1e-5)


@pytest.mark.torch
def test_where_the_teacher_agrees_there_is_nothing_to_prefer():
    student, teacher = language_model("gpt2", 1), language_model("gpt2", 1)
    before = copies(student)
    report = warm(
        student, teacher, threshold=None, margin=1e-3, objective="dpo"
    )
    assert report.rounds[0].mended_share == 0
    assert report.rounds[0].pairs_left_out == 4
    assert report.rounds[0].losses == {"dpo": 0}
    assert moved(student, before) == 0


def test_the_gradient_of_a_preference():
    rng = np.random.default_rng(0)
    gain, reference = rng.normal(size=(2, 6), scale=20).astype("float32")
    beta = 0.3

    def total(gain):
        was = ops.convert_to_tensor(reference)
        return ops.sum(preference_loss(gain, was, beta))

    value, gradient = value_and_grad(total, gain)
    z = beta * (gain.astype("float64") - reference)
    assert value == pytest.approx(np.sum(np.log1p(np.exp(-z))), rel=1e-5)
    np.testing.assert_allclose(gradient, -beta / (1 + np.exp(z)), rtol=1e-4)


@pytest.mark.torch
def test_a_step_follows_the_gradient_of_both_objectives():
    # By differences, of losses that NumPy computes.
    student, teacher = language_model("gpt2", 1), language_model("gpt2", 5)
    x, original, mended = written(student, teacher)
    was = [log_prob_sums(student, t, x) for t in (mended, original)]
    differ = np.any(mended.token_ids != original.token_ids, axis=1)
    tokens = np.sum(mended.padding_mask & ~x["prompt_mask"])

    def loss():
        new = [log_prob_sums(student, t, x) for t in (mended, original)]
        z = 0.1 * (new[0] - new[1] - was[0] + was[1])
        return -np.sum(new[0]) / tokens + np.log1p(np.exp(-z))[differ].mean()

    bias = student.trainable_weights[-1]
    value = np.array(ops.convert_to_numpy(bias))
    step = np.zeros_like(value)
    step.flat[0] = 1e-2
    losses = []
    for shift in (step, -step):
        bias.assign(value + shift)
        losses.append(loss())
    bias.assign(value)
    slope = (losses[0] - losses[1]) / 2e-2
    warm(student, teacher, optimizer=keras.optimizers.SGD(0.01))
    change = (ops.convert_to_numpy(bias) - value).flat[0]
    assert change == pytest.approx(-0.01 * slope, rel=1e-2)


@pytest.mark.torch
def test_what_decides_on_a_token():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 4, 7)).astype("float32") * 2
    tokens = rng.integers(0, 7, (3, 4))
    ours = rng.normal(size=(3, 4)).astype("float32") - 2
    at = np.tile(np.arange(4), (3, 1)).astype("int32")
    drafts = Drafts(*map(ops.convert_to_tensor, (tokens, logits, ours, at)))
    theirs = np.take_along_axis(log_softmax(logits), tokens[..., None], -1)
    rank = np.sum(log_softmax(logits) > theirs, axis=-1)
    theirs = theirs[..., 0]
    counts = [1, 2, 5, 7]
    rules = [
        (as_probable_as(0.1), np.exp(theirs) >= 0.1),
        (within_margin(0.5), theirs - ours >= -0.5),
        (in_top_k(ops.convert_to_tensor(counts)), rank < np.array(counts)),
    ]
    for rule, expected in rules:
        assert 0 < np.mean(expected) < 1
        np.testing.assert_array_equal(
            ops.convert_to_numpy(rule(drafts)), expected
        )
    found = all_of([rule for rule, _ in rules])(drafts)
    expected = np.all([kept for _, kept in rules], axis=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)


@pytest.mark.torch
def test_rounds_draw_anew_and_batches_are_filled():
    teacher, student = gpt2(16, seed=1, length=LENGTH), gpt2(length=LENGTH)
    report = generation.warmup(
        student,
        teacher,
        ["the fox", "a lazy dog", "bad mail"],
        batch_size=2,
        rounds=2,
        mend="random",
        optimizer=keras.optimizers.SGD(0.0),
    )
    first, second = report.rounds
    assert (first.pairs, second.pairs) == (3, 3)
    assert first.log_prob_original != second.log_prob_original
    # The same draws once more, after the last round.
    assert report.log_prob_after == pytest.approx(report.log_prob_before)


REFUSED = {
    "no rule": ({"threshold": None}, "One of `threshold`, `top_k` and"),
    "threshold": ({"threshold": 0.0}, "`threshold` must be"),
    "top_k": ({"top_k": 0}, "`top_k` must be"),
    "margin": ({"margin": -1.0}, "`margin` must be"),
    "rounds": ({"rounds": 0}, "`rounds` must be"),
    "epochs": ({"epochs": 0}, "`epochs` must be"),
    "batch_size": ({"batch_size": 0}, "`batch_size` must be"),
    "block": ({"block": "all"}, "`block` must be"),
    "objective": ({"objective": ("sft", "ppo")}, "`objective` must be one of"),
    "nothing": ({"objective": ()}, "`objective` must have one of"),
    "beta": ({"beta": 0.0}, "`beta` must be"),
    "mend": ({"mend": "beam"}, "`mend` must choose token by token"),
    "keys": ({"x": {"token_ids": [[1]]}}, "`prompts` must be a list, or"),
    "empty": (
        {"x": {"token_ids": np.zeros((0, 4)), "prompt_mask": np.zeros((0, 4))}},
        "`prompts` must not be empty",
    ),
    "models": ({"student": "gemma3"}, "a Gemma3CausalLM, whose method takes"),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_warm_up_is_refused(name):
    arguments, message = REFUSED[name]
    if "student" in arguments:
        arguments = {"student": gemma3(), "teacher": gemma3()}
    with pytest.raises(ValueError, match=message):
        warm(**arguments)
