"""Text that models write in a training step, and what is learnt from it."""

import contextlib
import functools

import keras
import numpy as np
import pytest
from helpers import BACKEND, copies, crossentropy, moved, two_replicas
from keras import ops
from texts import gpt2, gpt2_tokenizer

import keras_dts
from keras_dts import generation
from keras_dts.generation.packing import PromptPacker, prompts_alone
from keras_dts.generation.sampling import Coin
from keras_dts.losses import GeneralizedJSD

LENGTH = 12
PROMPTS = [[7, 8], [9, 10, 11, 12], [3], [20, 21, 22]]
RESPONSES = [[30, 31], [], [32] * 20, [33]]
DATA = {"prompts": PROMPTS, "responses": RESPONSES}


def models():
    return gpt2(16, seed=1, length=LENGTH), gpt2(length=LENGTH)


@functools.cache
def untrained():
    """Models that no test trains."""
    return models()


def made(text, rate=0.1, student_loss_weight=0.0, jit="auto", **kwargs):
    distiller = keras_dts.OnPolicyDistiller(
        *models(),
        text=text,
        student_loss_weight=student_loss_weight,
        **kwargs,
    )
    optimizer = keras.optimizers.SGD(rate)
    distiller.compile(optimizer, crossentropy(), jit_compile=jit)
    return distiller


def prompts_of(rows=PROMPTS, stops=(0,)):
    """The prompts and their mask, as `write` gets them."""
    x = PromptPacker(untrained()[1])(rows).x
    ids = ops.convert_to_tensor(x["token_ids"])
    of_prompt = ops.convert_to_tensor(x["prompt_mask"], "bool")
    return prompts_alone(ids, of_prompt, stops), of_prompt


def written(text, step, rows=PROMPTS, stops=(0,)):
    """What a text writes, as NumPy."""
    writers = generation.Writers(*untrained(), stops, 7)
    prompts = prompts_of(rows, stops or ())
    step = ops.convert_to_tensor(step, "int32")
    return [
        ops.convert_to_numpy(a) for a in text.write(*prompts, step, writers)
    ]


def test_a_response_follows_its_prompt_and_nothing_follows_its_end():
    stops = [*range(60)]  # one in five tokens
    distiller = made(generation.StudentText(), stop_token_ids=stops, seed=7)
    ids, mask = distiller.write({"prompts": PROMPTS}, step=5)
    prompts, of_prompt = map(ops.convert_to_numpy, prompts_of(stops=stops))
    assert prompts[0, -1] == 60
    np.testing.assert_array_equal(ids[of_prompt], prompts[of_prompt])
    lengths = mask.sum(axis=-1)
    assert (mask == (np.arange(LENGTH) < lengths[:, None])).all()
    assert (lengths > of_prompt.sum(axis=-1)).all()
    ended = lengths < LENGTH
    assert ended.any()
    ends = np.isin(ids, stops) & mask & ~of_prompt
    np.testing.assert_array_equal(ends.sum(axis=-1)[ended], 1)
    last = np.take_along_axis(ends, lengths[:, None] - 1, axis=-1)[:, 0]
    assert last[ended].all()
    np.testing.assert_array_equal(ids[~mask], prompts[~mask])
    other, _ = distiller.write({"prompts": PROMPTS}, step=6)
    assert (other != ids).any()


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["StudentText", "TeacherText"])
def test_the_most_probable_tokens_of_the_writer_do_not_depend_on_the_batch(
    kind,
):
    text = getattr(generation, kind)(sampler="greedy")
    ids, _ = written(text, 0, stops=None)
    for row in (0, 1):
        alone, mask = written(text, 0, [PROMPTS[row]], stops=None)
        np.testing.assert_array_equal(alone[0], ids[row])
        assert mask.all()
    writer = untrained()[kind == "StudentText"]
    x = {"token_ids": ids, "padding_mask": np.ones_like(ids, bool)}
    best = np.argmax(ops.convert_to_numpy(writer(x)), axis=-1)
    ours = np.arange(1, LENGTH) > np.array([len(p) for p in PROMPTS])[:, None]
    np.testing.assert_array_equal(best[:, :-1][ours], ids[:, 1:][ours])


def test_the_coin_falls_with_its_probability_and_again_the_same():
    coin, steps = Coin(), range(400 if BACKEND == "torch" else 100)
    falls = [
        bool(ops.convert_to_numpy(coin(3, ops.convert_to_tensor(s), 0.3)))
        for s in steps
    ]
    share, deviation = np.mean(falls), np.sqrt(0.3 * 0.7 / len(steps))
    assert abs(share - 0.3) < 3 * deviation
    assert falls[7] == ops.convert_to_numpy(Coin()(3, ops.array(7), 0.3))


@keras.saving.register_keras_serializable(package="tests")
class PlantedText(generation.Text):
    """Writes responses that a weight holds."""

    def __init__(self, share=1.0, name=None):
        super().__init__(share, name=name)
        self.ids, self.mask = (
            self.add_weight(
                name=n,
                shape=(4, LENGTH),
                dtype="int32",
                initializer="zeros",
                trainable=False,
            )
            for n in ("ids", "mask")
        )

    def write(self, prompts, prompt_mask, step, writers):
        mask = ops.cast(self.mask.value, "bool")
        ids = ops.where(prompt_mask, prompts, self.ids.value)
        return generation.Written(ids, ops.logical_or(mask, prompt_mask))


# Where a position's next token is taught. Prompts begin with a start token;
# the responses have 3, 0, 10 and 1 tokens, and the window ends the third.
TAUGHT = [(0, 2), (0, 3), (0, 4), *((2, t) for t in range(1, 11)), (3, 3)]


def planted():
    rng = np.random.default_rng(3)
    mask = np.zeros((4, LENGTH), "int32")
    for row, place in TAUGHT:
        mask[row, place + 1] = 1
    return rng.integers(1, 270, (4, LENGTH)), mask


def divergence(distiller, ids, mask):
    """The mean of KL(teacher | student) where a token is taught, by NumPy."""
    at = tuple(np.array(TAUGHT).T)
    log_probs = []
    for model in (distiller.teacher, distiller.student):
        z = ops.convert_to_numpy(
            model({"token_ids": ids, "padding_mask": mask})
        )
        z = z[at].astype("float64")
        log_probs.append(z - np.log(np.sum(np.exp(z), -1, keepdims=True)))
    theirs, ours = log_probs
    labels = ids[at[0], at[1] + 1]
    entropy = -np.mean(ours[np.arange(len(labels)), labels])
    return np.mean(np.sum(np.exp(theirs) * (theirs - ours), -1)), entropy


def test_a_written_text_teaches_each_next_token_of_its_responses():
    distiller = made(
        PlantedText(),
        rate=0.0,
        student_loss_weight=0.25,
        distillation_losses=GeneralizedJSD(0.0, temperature=1.0),
    )
    responses, mask = planted()
    distiller.text.ids.assign(responses)
    distiller.text.mask.assign(mask)
    logs = distiller.train_on_batch(DATA, return_dict=True)
    prompts, of_prompt = map(ops.convert_to_numpy, prompts_of())
    ids = np.where(of_prompt, prompts, responses)
    mask = mask.astype(bool) | of_prompt
    expected, entropy = divergence(distiller, ids, mask)
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["loss"] == pytest.approx(0.75 * expected, rel=1e-5)
    assert logs["student_loss"] == 0 < entropy
    assert logs["response_length"] == len(TAUGHT) / 4
    assert (logs["student_text"], logs["stopped"]) == (1, 0)


@pytest.mark.torch
def test_labels_that_a_model_wrote_do_not_train():
    distiller = made(generation.StudentText(1.0), student_loss_weight=1.0)
    before = copies(distiller.student)
    distiller.train_on_batch(DATA)
    assert moved(distiller.student, before) == 0


@pytest.mark.torch
def test_without_written_text_it_is_a_distiller():
    on_policy = made(generation.StudentText(0.0), student_loss_weight=0.5)
    plain = keras_dts.Distiller(
        *models(), GeneralizedJSD(0.5, temperature=1.0), student_loss_weight=0.5
    )
    plain.compile(keras.optimizers.SGD(0.1), crossentropy())
    x, y, weights = PromptPacker(plain.student)(PROMPTS, RESPONSES)
    x.pop("prompt_mask")
    logs = on_policy.fit(DATA, epochs=2, batch_size=2, verbose=0, shuffle=False)
    others = plain.fit(
        x,
        y,
        sample_weight=weights,
        epochs=2,
        batch_size=2,
        verbose=0,
        shuffle=False,
    )
    for name, values in others.history.items():
        assert logs.history[name] == values
    assert moved(on_policy.student, copies(plain.student)) == 0


def test_a_stopped_training_goes_on_as_if_it_had_not_been(tmp_path):
    jit = "auto" if BACKEND == "torch" else True
    distiller = made(generation.StudentText(0.5), seed=8, jit=jit)
    path = tmp_path / "kept.weights.h5"
    logs, weights = [], []
    for step in range(6):
        if step == 2:
            distiller.save_weights(path)
        logs.append(distiller.train_on_batch(DATA, return_dict=True))
        distiller.reset_metrics()
    weights = copies(distiller.student)
    assert {entry["student_text"] for entry in logs[2:]} == {0, 1}
    distiller.load_weights(path)
    for expected in logs[2:]:
        entry = distiller.train_on_batch(DATA, return_dict=True)
        distiller.reset_metrics()
        assert entry == pytest.approx(expected, rel=1e-6)
    assert moved(distiller.student, weights) < 1e-6


@pytest.mark.torch
def test_a_step_writes_what_write_shows():
    distiller = made(generation.StudentText(1.0), seed=8, rate=0.0)
    _, mask = distiller.write(DATA)
    expected = mask.sum() / 4 - np.mean([1 + len(p) for p in PROMPTS])
    logs = distiller.train_on_batch(DATA, return_dict=True)
    assert logs["response_length"] == pytest.approx(expected)


@pytest.mark.torch
def test_prompts_that_fill_the_window_teach_nothing():
    distiller = made(generation.StudentText(1.0))
    before = copies(distiller.student)
    full = [list(range(1, LENGTH))] * 2
    logs = distiller.train_on_batch({"prompts": full}, return_dict=True)
    assert (logs["loss"], logs["response_length"], logs["stopped"]) == (0, 0, 0)
    assert moved(distiller.student, before) == 0


@pytest.mark.torch
@pytest.mark.parametrize("stop_token_ids", [None, [274]])
def test_a_student_that_does_not_stop_fills_the_window(stop_token_ids):
    distiller = made(
        generation.StudentText(1.0, sampler="greedy"),
        stop_token_ids=stop_token_ids,
    )
    logs = distiller.train_on_batch({"prompts": PROMPTS}, return_dict=True)
    room = np.mean([LENGTH - 1 - len(prompt) for prompt in PROMPTS])
    assert (logs["response_length"], logs["stopped"]) == (room, 0)


@pytest.mark.torch
def test_the_share_may_follow_epochs_or_steps():
    by_epoch = keras_dts.schedules.EpochSchedule([1, 2], [0.0, 1.0, 0.0])
    by_step = keras.optimizers.schedules.PiecewiseConstantDecay(
        [1, 3], [0.0, 1.0, 0.0]
    )
    for share in (by_epoch, by_step):
        distiller = made(generation.StudentText(share))
        run = distiller.fit(DATA, epochs=3, batch_size=2, verbose=0)
        assert run.history["student_text"] == [0, 1, 0]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.*was not called as part of model load")
def test_a_saved_distiller_writes_the_same():
    text = generation.StudentText(
        keras_dts.schedules.EpochSchedule([1], [0.25, 1.0]), "top_p", 0.7
    )
    distiller = made(
        text, stop_token_ids=[5, 6], seed=4, max_prompt_length=9, rate=0.0
    )
    config = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(distiller)
    )
    assert config.plain_config == distiller.plain_config
    assert config.writers[2:] == ((5, 6), 4)
    assert (config.text.sampler.temperature, config.text.share.values) == (
        0.7,
        [0.25, 1.0],
    )


@pytest.mark.torch
def test_a_sampler_of_the_user_is_left_as_it_was():
    import keras_hub

    sampler = keras_hub.samplers.TopKSampler(k=3, seed=11)
    seeds = [copies_of(v) for v in sampler.variables]
    text = generation.StudentText(sampler=sampler)
    student = untrained()[1]
    before = student.sampler
    writers = generation.Writers(None, student, None, 0)
    step = ops.convert_to_tensor(3)
    first, second = (
        ops.convert_to_numpy(text.write(*prompts_of(), step, writers)[0])
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert student.sampler is before
    assert [copies_of(v) for v in sampler.variables] == seeds


def copies_of(variable):
    return ops.convert_to_numpy(variable).tolist()


REFUSED = {
    "share": (lambda: generation.StudentText(1.5), "`share` must be"),
    "temperature": (
        lambda: generation.StudentText(temperature=0),
        "`temperature` must be",
    ),
    "sampler": (
        lambda: generation.StudentText(sampler="nothing"),
        "`sampler` must be a `keras_hub.samplers.Sampler`",
    ),
    "text": (lambda: made(text="own"), "`text` must be a `keras_dts"),
    "seed": (lambda: made(None, seed=-1), "`seed` must be"),
    "stop_token_ids": (
        lambda: made(None, stop_token_ids="end"),
        "`stop_token_ids` must be",
    ),
    "max_prompt_length": (
        lambda: made(None, max_prompt_length=0),
        "`max_prompt_length` must be",
    ),
}


@pytest.mark.torch
@pytest.mark.parametrize("name", REFUSED)
def test_arguments_out_of_range_are_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.torch
def test_models_that_cannot_share_a_text_are_refused():
    teacher, student = models()
    other = gpt2(16, length=LENGTH, tokenizer=gpt2_tokenizer(270))
    for model, message in (
        (keras.Sequential(), "`teacher` must be a causal"),
        (other, "UniversalLogitDistillation"),
    ):
        with pytest.raises(ValueError, match=message):
            keras_dts.OnPolicyDistiller(model, student)
    student.preprocessor = None
    with pytest.raises(ValueError, match="`stop_token_ids` must be given"):
        keras_dts.OnPolicyDistiller(teacher, student)


@pytest.mark.torch
def test_a_cache_is_refused_by_name(tmp_path):
    distiller = made(generation.StudentText())
    x = PromptPacker(distiller.student)(PROMPTS, RESPONSES).x
    x.pop("prompt_mask")
    cache = keras_dts.cache_teacher(distiller.teacher, x, tmp_path / "cache")
    with pytest.raises(ValueError, match="must not be a `TeacherCache`"):
        distiller.fit(cache, verbose=0)


@pytest.mark.tensorflow
def test_replicas_write_as_one_model_does():
    strategy = two_replicas()
    found = []
    for scope in (contextlib.nullcontext(), strategy.scope()):
        with scope:
            distiller = made(
                generation.StudentText(1.0, sampler="greedy"),
                stop_token_ids=None,
            )
        x = {"prompts": [[7, 8], [9, 10], [3, 4], [20, 21]]}
        run = distiller.fit(x, batch_size=4, shuffle=False, verbose=0)
        found.append((run.history, copies(distiller.student)))
    (one, weights), (two, others) = found
    assert two["response_length"] == one["response_length"] == [9.0]
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for ours, theirs in zip(weights, others, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
