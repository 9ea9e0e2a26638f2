"""Text that a student drafts and a teacher mends."""

import functools

import keras
import numpy as np
import pytest
from families import FAMILIES, LENGTH, TOKENS, language_model
from helpers import BACKEND, copies, moved
from keras import ops
from keras_hub import samplers
from texts import gemma3, gpt2

import keras_dts
from keras_dts import generation, schedules
from keras_dts.backend import compiled
from keras_dts.generation.choices import (
    in_top_k,
    most_probable,
    sampled,
    to_token_sampler,
)
from keras_dts.generation.mending import Mender
from keras_dts.generation.packing import PromptPacker

STOP = 3
SEED, TEACHER_SEED = 7, 11
PROMPTS = (4, 6, 9, 4)
# On TensorFlow, random numbers differ under XLA: nothing is compiled by it.
XLA = BACKEND == "jax"


def prompts(lengths=PROMPTS, seed=0):
    mask = np.arange(LENGTH)[None] < np.array(lengths)[:, None]
    ids = np.random.default_rng(seed).integers(4, TOKENS, mask.shape)
    return {
        "token_ids": np.where(mask, ids, 0).astype("int32"),
        "padding_mask": mask,
    }


@functools.cache
def pair(family):
    student, teacher = (language_model(family, seed) for seed in (1, 5))
    mixed = zip(teacher.get_weights(), student.get_weights(), strict=True)
    teacher.set_weights([theirs + ours for theirs, ours in mixed])
    return student, teacher


DRAFT = sampled(samplers.RandomSampler(), SEED)
REPLACE = sampled(samplers.RandomSampler(), TEACHER_SEED)


@functools.cache
def mender(family, block, draft=DRAFT, replace=REPLACE, stop=(STOP,)):
    """A compiled function of prompts, their mask, and K."""
    student, teacher = pair(family)

    def mend(ids, prompt_mask, top_k):
        return Mender(
            student,
            teacher,
            draft=draft,
            accepts=in_top_k(ops.full((LENGTH,), top_k)),
            replace=replace,
            stop_token_ids=stop,
            block=block,
        )(ids, prompt_mask)

    return compiled(mend, [*student.variables, *teacher.variables], jit=XLA)


def mended(family, block, top_k, x=None, **settings):
    inputs = [*(x or prompts()).values(), np.int32(top_k)]
    out = mender(family, block, **settings)(*map(ops.convert_to_tensor, inputs))
    return [ops.convert_to_numpy(t) for t in out]


def sampler_of_student():
    return samplers.RandomSampler(seed=SEED)


def generated(model, sampler, x):
    """What KerasHub writes, with 0 behind the stop token."""
    model.compile(sampler=sampler, jit_compile=XLA)
    x = {name: array.copy() for name, array in x.items()}
    out = model.generate(x, stop_token_ids=(STOP,))
    return out["token_ids"] * out["padding_mask"], out["padding_mask"]


def the_same(found, expected):
    for one, other in zip(found, expected, strict=False):
        np.testing.assert_array_equal(one, other)


def slowly(family, top_k, x):
    """Token by token, without a cache, blocks or a loop that compiles."""
    ids, mask = x["token_ids"].copy(), x["padding_mask"].copy()
    student, teacher = pair(family)
    first = np.min(np.sum(mask, axis=1))
    stopped = np.zeros(len(ids), bool)
    mended = np.zeros_like(mask)
    full = np.ones_like(mask)
    for at in range(first, LENGTH):
        inputs = {"token_ids": ids, "padding_mask": full}
        ours, theirs = (
            ops.convert_to_numpy(m.predict_on_batch(inputs))[:, at - 1]
            for m in (student, teacher)
        )
        place = ops.convert_to_tensor(at - first, "int32")
        drafts, draws = (
            ops.convert_to_numpy(choose(ops.convert_to_tensor(z), place))
            for choose, z in ((DRAFT, ours), (REPLACE, theirs))
        )
        for row in np.flatnonzero(~mask[:, at] & ~stopped):
            above = np.sum(theirs[row] > theirs[row, drafts[row]])
            ids[row, at] = drafts[row] if above < top_k else draws[row]
            mended[row, at] = ids[row, at] != drafts[row]
            mask[row, at] = True
            stopped[row] = ids[row, at] == STOP
    return ids, mask, mended


def on_pytorch(*cases):
    return [pytest.param(*case, marks=pytest.mark.torch) for case in cases]


# What is compiled takes time: each case is one program.
EVERYWHERE = [("gpt2", 1), ("llama", 5)]
OTHERS = [("gemma", 3), ("opt", 3), ("qwen3", 3)]


@pytest.mark.parametrize(
    ("family", "block"), [*EVERYWHERE, *on_pytorch(*OTHERS)]
)
def test_text_of_one_model_is_what_that_model_generates(family, block):
    x = prompts()
    ours = generated(pair(family)[0], sampler_of_student(), x)
    the_same(mended(family, block, TOKENS, x), ours)


@pytest.mark.torch
@pytest.mark.parametrize("family", FAMILIES)
def test_a_teacher_that_accepts_its_best_token_alone_writes_greedily(family):
    x = prompts()
    theirs = generated(pair(family)[1], samplers.GreedySampler(), x)
    found = mended(family, 3, 1, x, replace=most_probable)
    the_same(found, theirs)


@pytest.mark.parametrize(
    ("family", "block"),
    [
        *EVERYWHERE,
        ("gpt2", LENGTH + 3),
        *on_pytorch(("gpt2", 3), ("gpt2", 5), ("llama", 1)),
        *on_pytorch(*OTHERS),
    ],
)
def test_text_is_that_of_a_slow_loop_for_every_block(family, block):
    for x in (prompts(), prompts((LENGTH, 11, 10, 10), seed=1)):
        expected = slowly(family, 3, x)
        the_same(mended(family, block, 3, x), expected)


@pytest.mark.torch
def test_kept_tokens_are_among_the_best_of_the_raw_teacher():
    # The published code tests tokens that it draws anew, by logits of which
    # top-p sampling has left a few finite.
    x = prompts()
    published = sampled(to_token_sampler("", None, 0.2), TEACHER_SEED)
    ids, mask, mends = mended("llama", 3, 4, x, replace=published)
    logits = ops.convert_to_numpy(
        pair("llama")[1].predict_on_batch(
            {"token_ids": ids, "padding_mask": mask}
        )
    )
    own = np.take_along_axis(logits[:, :-1], ids[:, 1:, None], axis=-1)
    rank = np.sum(logits[:, :-1] > own, axis=-1)  # (batch, length - 1)
    response = (mask & ~x["padding_mask"])[:, 1:]
    assert np.max(rank[response & ~mends[:, 1:]]) == 3
    assert np.max(rank[response & mends[:, 1:]]) < 2


@pytest.mark.torch
def test_a_response_ends_with_its_first_stop_token(monkeypatch):
    ids, mask, mends = mended("gpt2", 3, 4, stop=(12,))
    np.testing.assert_array_equal(np.sum(mask, axis=1), [8, 9, 10, LENGTH])
    np.testing.assert_array_equal(ids[[0, 1, 2], [7, 8, 9]], 12)
    np.testing.assert_array_equal(ids[~mask], 0)
    # The student's own stop token counts as the teacher's does.
    assert list(mends[[0, 1, 2], [7, 8, 9]]) == [False, True, True]
    # Where each token is one, all rows stop at once, and nothing is read on.
    x = prompts((4, 6, LENGTH, 5))
    teacher, calls = pair("gpt2")[1], []
    call = teacher.call_with_cache

    def counted(*args):
        calls.append(args)
        return call(*args)

    monkeypatch.setattr(teacher, "call_with_cache", counted)
    _, mask, _ = mended("gpt2", 5, 3, x, stop=tuple(range(TOKENS)))
    np.testing.assert_array_equal(np.sum(mask, axis=1), [5, 7, LENGTH, 6])
    assert len(calls) == 2  # for the prompts, and for one block
    # Where none is, all go on to the end of the window.
    _, mask, _ = mended("gpt2", 3, 3, stop=None)
    assert np.all(mask)


@pytest.mark.torch
def test_a_row_alone_is_the_row_in_a_batch():
    x = prompts()
    greedy = {"draft": most_probable, "replace": most_probable}
    together = mended("llama", 1, 3, x, **greedy)
    for row in range(len(PROMPTS)):
        alone = {name: array[row : row + 1] for name, array in x.items()}
        found = mended("llama", 3, 3, alone, **greedy)
        the_same(found, [array[row : row + 1] for array in together])


def written(text, step, family="gpt2"):
    """What a text writes for the prompts, as NumPy."""
    student, teacher = pair(family)
    writers = generation.Writers(teacher, student, (STOP,), SEED)
    return written_by(text, *prompts().values(), step, writers)


def written_by(text, ids, mask, step, writers):
    ids, mask, step = (
        ops.convert_to_tensor(x) for x in (ids, mask, np.int32(step))
    )
    out = text.write(ids, mask, step, writers)
    return [ops.convert_to_numpy(t) for t in out]


@pytest.mark.torch
def test_draws_follow_from_the_seed_and_the_step():
    text = generation.MendedText(TOKENS, 3, sampler="random")
    first = written(text, 0)
    the_same(first, generated(pair("gpt2")[0], sampler_of_student(), prompts()))
    the_same(written(text, 5), written(text, 5))
    assert np.any(written(text, 5)[0] != first[0])
    # The student's settings are its own, and so are the teacher's.
    text = generation.MendedText()
    settings = [
        (s.p, s.temperature) for s in (text.sampler, text.teacher_sampler)
    ]
    assert settings == [(0.5, 0.5), (0.5, 0.2)]


@pytest.mark.torch
def test_the_teacher_does_not_draw_by_the_numbers_of_the_student():
    # By the same numbers, the same model would draw what it has refused.
    model = language_model("gpt2", 1)
    writers = generation.Writers(model, model, None, SEED)
    own, mends = (
        written_by(
            generation.MendedText(
                top_k, sampler="random", teacher_sampler="random"
            ),
            *prompts().values(),
            0,
            writers,
        )[0]
        for top_k in (TOKENS, 1)
    )
    assert np.mean(own != mends) > 0.2


@pytest.mark.torch
def test_the_count_of_tokens_may_follow_the_position_in_the_response():
    by_place = keras.optimizers.schedules.PiecewiseConstantDecay(
        [2], [TOKENS, 1]
    )
    text = generation.MendedText(
        by_place, 3, sampler="random", teacher_sampler="greedy"
    )
    ids, mask = written(text, 0, "llama")
    ours = generated(pair("llama")[0], sampler_of_student(), prompts())[0]
    x = {"token_ids": ids, "padding_mask": mask}
    logits = ops.convert_to_numpy(pair("llama")[1].predict_on_batch(x))
    best = np.argmax(logits, axis=-1)
    for row, first in enumerate(PROMPTS):
        np.testing.assert_array_equal(
            ids[row, first : first + 3], ours[row, first : first + 3]
        )
        late = np.flatnonzero(mask[row])[first + 3 :]
        np.testing.assert_array_equal(ids[row, late], best[row, late - 1])


def distiller_on(text, **kwargs):
    distiller = keras_dts.OnPolicyDistiller(
        gpt2(16, seed=1, length=LENGTH),
        gpt2(length=LENGTH),
        keras_dts.losses.KD(1.0),
        text=text,
        **kwargs,
    )
    jit = "auto" if BACKEND == "torch" else True
    distiller.compile(keras.optimizers.SGD(0.5), jit_compile=jit)
    return distiller


ASKED = [[7, 8], [9, 10, 11, 12], [3], [20, 21, 22]]


def test_steps_learn_from_mended_text_or_from_the_data():
    first = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.0])
    distiller = distiller_on(generation.MendedText(40, share=first))
    data = {"prompts": ASKED, "responses": [[30, 31], [32], [33], [34]]}
    logs = []
    for _ in range(2):
        before = copies(distiller.student)
        logs.append(distiller.train_on_batch(data, return_dict=True))
        distiller.reset_metrics()
        assert moved(distiller.student, before) > 1e-3
    assert [entry["student_text"] for entry in logs] == [1, 0]


@pytest.mark.torch
def test_a_student_learns_each_token_of_a_mended_text():
    # The published code leaves out the first token of a response, swaps the
    # two sides of the divergence, and has no gradient.
    distiller = distiller_on(generation.MendedText(40, sampler="random"))
    packed = PromptPacker(distiller.student)(ASKED).x
    ids, of_prompt = packed["token_ids"], packed["prompt_mask"].astype(bool)
    ids, mask = written_by(distiller.text, ids, of_prompt, 0, distiller.writers)
    before = copies(distiller.student)
    expected = divergence(distiller, ids, mask, of_prompt)
    logs = distiller.train_on_batch({"prompts": ASKED}, return_dict=True)
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert moved(distiller.student, before) > 1e-3


def divergence(distiller, ids, mask, of_prompt):
    """The mean of KL(teacher | student) where a token of a response is next."""
    logs = []
    for model in (distiller.teacher, distiller.student):
        x = {"token_ids": ids, "padding_mask": mask}
        z = ops.convert_to_numpy(model(x)).astype("float64")
        logs.append(z - np.log(np.sum(np.exp(z), -1, keepdims=True)))
    theirs, ours = logs
    values = np.sum(np.exp(theirs) * (theirs - ours), axis=-1)[:, :-1]
    return np.mean(values[(mask & ~of_prompt)[:, 1:]])


@pytest.mark.torch
def test_a_loaded_text_has_the_same_settings():
    schedule = keras.optimizers.schedules.PolynomialDecay(25, 9, 1)
    text = generation.MendedText(
        schedule,
        7,
        sampler=samplers.TopKSampler(4),
        teacher_sampler="greedy",
        share=0.5,
    )
    loaded = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(text)
    )
    assert loaded.get_config() == text.get_config()
    assert (loaded.block, loaded.share, loaded.sampler.k) == (7, 0.5, 4)
    assert type(loaded.teacher_sampler) is samplers.GreedySampler
    assert float(loaded.top_k(3)) == pytest.approx(17)


def for_models(student=None, teacher=None):
    keras_dts.OnPolicyDistiller(
        teacher or gemma3(), student or gemma3(), text=generation.MendedText()
    )


REFUSED = {
    "count": (lambda: generation.MendedText(0), "`top_k` must be"),
    "schedule": (
        lambda: generation.MendedText(schedules.EpochSchedule([], [5])),
        "`top_k` must be .* Received: a schedule over epochs",
    ),
    "first": (
        lambda: generation.MendedText(
            keras.optimizers.schedules.PolynomialDecay(0.5, 9)
        ),
        "`top_k` must be a schedule",
    ),
    "block": (lambda: generation.MendedText(block=0), "`block` must be"),
    "sampler": (
        lambda: generation.MendedText(sampler="beam"),
        "`sampler` must choose token by token.* BeamSampler",
    ),
    "teacher's sampler": (
        lambda: generation.MendedText(teacher_sampler=3),
        "`teacher_sampler` must be a `keras_hub",
    ),
    "signature": (
        for_models,
        "`teacher` must be .*: a Gemma3CausalLM, whose method takes token_ids",
    ),
    "tokens": (
        lambda: for_models(gpt2(), gpt2(extra_rows=1)),
        "must have logits of the same tokens",
    ),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_mended_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
