"""Chunks of tokens: the same numbers as whole batches, and never all logits."""

import weakref

import keras
import numpy as np
import pytest
from helpers import copies, crossentropy, randomize
from keras import layers, ops
from keras_hub import models
from texts import SENTENCES, gemma2, gemma3, gpt2

from keras_dts import (
    Distiller,
    DynamicTemperature,
    losses,
    temperatures as policies,
)
from keras_dts.chunking import plan as plans
from keras_dts.features.hidden_states import SplitModel, split_model
from keras_dts.metrics import TeacherAgreement, TeacherKL

WORDS, BATCH, LENGTH = 11, 3, 5
RNG = np.random.default_rng(0)
X = RNG.integers(1, WORDS, (BATCH, LENGTH)).astype("int32")
Y = RNG.integers(0, WORDS, (BATCH, LENGTH)).astype("int32")
PADDING = np.array(
    [[1, 1, 1, 0, 0], [1, 2, 1, 1, 1], [0, 0, 0, 0, 0]], "float32"
)
EXAMPLES = np.repeat(np.array([[1.0], [0.0], [3.0]], "float32"), LENGTH, axis=1)
WEIGHTS = {"none": None, "tokens": PADDING, "examples": EXAMPLES}


def writer(width=6, seed=0, words=WORDS, mask=False, last=layers.Dense):
    """A language model of dense layers."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(words, width, mask_zero=mask)(inputs)
    x = layers.Dense(width, activation="tanh")(x)
    return randomize(keras.Model(inputs, last(words)(x)), seed)


def tied(width=6, seed=0, **kwargs):
    """A language model that reads and writes by one embedding."""
    inputs = keras.Input((None,), dtype="int32")
    embedding = layers.ReversibleEmbedding(WORDS, width, **kwargs)
    x = layers.Dense(width, activation="tanh")(embedding(inputs))
    model = keras.Model(inputs, embedding(x, reverse=True))
    return randomize(model, seed)


def step(
    chunk_size,
    make=writer,
    x=X,
    y=Y,
    weights=None,
    loss="labels",
    options=None,
    compiling=None,
):
    """Trains for one step; returns logs, gradients, state, and rounding."""
    options = {k: v() for k, v in (options or {}).items()}
    distiller = Distiller(
        make(width=12, seed=1),
        make(seed=2),
        student_loss_weight=0.5,
        chunk_size=chunk_size,
        **options,
    )
    for policy in distiller.policies:
        driven = policy.dynamic_temperature()
        if driven is not None:
            driven.progress.assign(0.3)
    compiling = {k: v() for k, v in (compiling or {}).items()}
    # XLA takes most of TensorFlow's time here; see `test_compiled_by_xla`.
    compiling.setdefault("jit_compile", keras.backend.backend() == "jax")
    loss = crossentropy() if loss == "labels" else loss
    distiller.compile(keras.optimizers.SGD(1.0), loss, **compiling)
    before = copies(distiller.student)
    logs = distiller.fit(
        x, y, sample_weight=weights, batch_size=BATCH, shuffle=False, verbose=0
    ).history
    after = copies(distiller.student)
    state = [np.array(w) for p in distiller.policies for w in p.get_weights()]
    gradients = [a - b for a, b in zip(before, after, strict=True)]
    # As they are read from weights, which are rounded.
    rounding = [np.spacing(np.max(np.abs(w))) for w in before]
    return logs, gradients, state, rounding


def same(chunked, plain, tolerance=1e-5):
    for ours, theirs, ulp in zip(chunked[1], plain[1], plain[3], strict=True):
        size = max(float(np.max(np.abs(theirs))), 1e-3)
        atol = tolerance * size + ulp
        np.testing.assert_allclose(ours, theirs, atol=atol, rtol=0)
    assert set(chunked[0]) == set(plain[0])
    for name, value in plain[0].items():
        np.testing.assert_allclose(
            chunked[0][name], value, rtol=tolerance, atol=tolerance
        )
    for ours, theirs in zip(chunked[2], plain[2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance)


def both(chunk_size=4, tolerance=1e-5, **kwargs):
    plain = step(None, **kwargs)
    assert max(float(np.max(np.abs(g))) for g in plain[1]) > 1e-3
    same(step(chunk_size, **kwargs), plain, tolerance)


@pytest.fixture
def projected(monkeypatch):
    """The numbers of tokens that the student's last layer has projected."""
    seen = []
    original = layers.Dense.call

    def call(self, inputs, *args, **kwargs):
        sizes = inputs.shape[:-1]
        # Some sizes are unknown while the models are looked at.
        if self.units == WORDS and all(isinstance(n, int) for n in sizes):
            seen.append(int(np.prod(sizes)))
        return original(self, inputs, *args, **kwargs)

    monkeypatch.setattr(layers.Dense, "call", call)
    return seen


def sized(chunk_size, seen):
    """Trains for two steps; returns how many tokens were projected at once."""
    distiller = Distiller(writer(12), writer(), chunk_size=chunk_size)
    distiller.compile("sgd", crossentropy(), weighted_metrics=["accuracy"])
    distiller.test_on_batch(X, Y)  # builds what compile got
    seen.clear()
    for _ in range(2):
        distiller.train_on_batch(X, Y)
    return max(seen)


# The same numbers.

LOSSES = {
    "KD": losses.KD,
    "ReverseKL": losses.ReverseKL,
    "JSD": lambda: losses.GeneralizedJSD(0.3),
    "SkewKL": losses.SkewKL,
    "SkewReverseKL": losses.SkewReverseKL,
    "TotalVariation": losses.TotalVariation,
    "DKD": losses.DKD,
}


def dts(**kwargs):
    return DynamicTemperature(
        6.0, 1.0, 9.0, momentum=0.5, gap_scale="smooth", **kwargs
    )


TEMPERATURES = {
    "constant": lambda: 3.0,
    "DTS": dts,
    "LSKD on DTS": lambda: policies.LogitStandardization(dts()),
}
OTHERS = {
    "DTS after": lambda: dts(update="after"),
    "the cosine": lambda: DynamicTemperature(6.0, 1.0, 9.0, gap_scale=None),
    "schedule": lambda: keras.optimizers.schedules.CosineDecay(5.0, 9),
    "DTKD": lambda: policies.SharpnessTemperature(dts()),
    "WTTM": lambda: policies.TransformedTeacher(0.5, weighted=True),
    "CIST": policies.ConsistentTemperature,
    "auto": lambda: "auto",
    "DTS, auto": lambda: DynamicTemperature("auto", momentum=0.5),
    "CSWT": policies.CosineSimilarityTemperature,
    "IDTS on DTS": lambda: policies.TokenDifficultyTemperature(dts()),
}
# Each loss with one of the temperatures, and one kind of weights.
PAIRS = [
    (loss, list(TEMPERATURES)[i % 3], list(WEIGHTS)[(i + i // 3) % 3])
    for i, loss in enumerate(LOSSES)
]


@pytest.mark.parametrize(("loss", "temperature", "weights"), PAIRS)
def test_chunks_give_what_whole_batches_give(loss, temperature, weights):
    both(
        weights=WEIGHTS[weights],
        options={
            "distillation_losses": LOSSES[loss],
            "temperature": TEMPERATURES[temperature],
        },
    )


@pytest.mark.parametrize("temperature", OTHERS)
def test_temperatures_can_be_asked_for_chunks(temperature):
    both(weights=PADDING, options={"temperature": OTHERS[temperature]})


def test_losses_may_have_their_own_temperatures():
    both(
        weights=PADDING,
        options={
            "distillation_losses": lambda: [
                losses.KD(dts()),
                losses.ReverseKL(),
                losses.KD(2.0),
            ],
            "distillation_loss_weights": lambda: [1.0, 0.5, 2.0],
            "temperature": dts,
        },
    )


@pytest.mark.parametrize("size", [1, 15, 100])
def test_any_size_will_do(size):
    both(size, weights=PADDING, options={"temperature": dts})


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_the_loss_on_labels_is_reduced_as_keras_does(reduction):
    both(loss=crossentropy(reduction=reduction), weights=PADDING)


def test_ignored_labels_count_nowhere():
    y = np.where(X % 3 == 0, -1, Y)
    both(y=y, loss=crossentropy(ignore_class=-1), weights=PADDING)
    both(y=y[..., None], loss=crossentropy(ignore_class=-1))


def test_masks_of_the_model_count():
    x = np.where(PADDING > 0, X, 0)
    both(x=x, make=lambda **kwargs: writer(mask=True, **kwargs))


def test_a_step_without_labels():
    both(y=None, loss=None, options={"temperature": dts})


def test_penalties_count_whole():
    def last(words):
        return layers.Dense(words, kernel_regularizer="l2")

    both(make=lambda **kwargs: writer(last=last, **kwargs))


def test_a_model_that_ends_in_a_softmax():
    def last(words):
        return layers.Dense(words, activation="softmax")

    loss = keras.losses.SparseCategoricalCrossentropy()
    both(make=lambda **kwargs: writer(last=last, **kwargs), loss=loss)


def test_a_loss_given_by_its_name():
    def last(words):
        return layers.Dense(words, activation="softmax")

    both(
        make=lambda **kwargs: writer(last=last, **kwargs),
        loss="sparse_categorical_crossentropy",
    )


def test_compiled_by_xla():
    both(
        weights=PADDING,
        options={"temperature": dts},
        compiling={"jit_compile": lambda: keras.backend.backend() != "torch"},
    )


def on_the_host(y, outputs):
    """Keras's loss, of labels that on TensorFlow went where XLA cannot go."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        shape = y.shape
        y = tf.numpy_function(lambda labels: labels, [y], y.dtype)
        y.set_shape(shape)
    return keras.losses.sparse_categorical_crossentropy(
        y, outputs, from_logits=True
    )


def test_xla_compiles_chunks_unless_it_is_to_be_left_out():
    both(loss=on_the_host, compiling={"jit_compile": lambda: False})
    if keras.backend.backend() == "tensorflow":
        by_xla = {"jit_compile": lambda: "auto"}
        with pytest.raises(Exception, match="unsupported operations"):
            step(4, loss=on_the_host, compiling=by_xla)


def test_half_precision_gives_the_same_to_its_own_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    both(tolerance=0.02)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_metrics_see_every_token_once(weights):
    both(
        weights=WEIGHTS[weights],
        compiling={
            "metrics": lambda: ["accuracy"],
            "weighted_metrics": lambda: [
                keras.metrics.SparseCategoricalAccuracy(name="weighted"),
                keras.metrics.SparseTopKCategoricalAccuracy(3, name="top"),
            ],
            "distillation_metrics": lambda: [TeacherKL(), TeacherAgreement()],
        },
    )


# The models.


def test_an_embedding_that_reads_and_writes():
    both(make=tied)
    both(make=lambda **kwargs: tied(tie_weights=False, **kwargs))


def small_llama(width=8, seed=0):
    backbone = models.LlamaBackbone(
        vocabulary_size=WORDS,
        num_layers=1,
        num_query_heads=2,
        num_key_value_heads=1,
        hidden_dim=width,
        intermediate_dim=2 * width,
        tie_word_embeddings=False,
    )
    return randomize(models.LlamaCausalLM(backbone=backbone), seed, 0.3)


TOKENS = {"token_ids": X, "padding_mask": (PADDING > 0).astype("int32")}


def test_llama_whose_last_embedding_is_its_own():
    both(make=lambda width=8, seed=0: small_llama(width, seed), x=TOKENS)


# Strings without prompts are a setting in `equivalence`.
@pytest.mark.torch
def test_tasks_read_prompts_and_write_responses():
    both(
        7,
        x={"prompts": SENTENCES, "responses": SENTENCES[::-1]},
        y=None,
        make=gemma3,
        options={"temperature": dts},
        compiling={"metrics": lambda: ["accuracy"]},
    )


def test_logits_that_are_capped_stay_so():
    model = gemma2(seed=2, soft_cap=0.5)
    split = split_model(model)
    assert isinstance(split, SplitModel)
    states = 100 * np.ones((3, 1, 8), "float32")
    logits = keras.ops.convert_to_numpy(split.project(states, split.values()))
    assert np.max(np.abs(logits)) <= 0.5
    both(
        x=TOKENS,
        make=lambda **kwargs: gemma2(soft_cap=0.5, **kwargs),
        tolerance=1e-4,
    )


def test_rows_that_pad_a_vocabulary_are_cut_off():
    def make(width=8, seed=0):
        return gpt2(width, seed=seed, extra_rows=5 if seed == 1 else 0)

    both(x=TOKENS, make=make)


# Broken batches.


def test_labels_that_name_no_class_are_found_in_every_chunk():
    for place in ((0, 0), (2, 4)):
        y = Y.copy()
        y[place] = WORDS
        with pytest.raises(ValueError, match="class indices in `y`"):
            step(4, y=y)
    y[place] = WORDS
    weights = np.ones((BATCH, LENGTH), "float32")
    weights[place] = 0.0
    both(y=y, weights=weights)


def test_a_teacher_that_is_not_finite_is_found():
    def make(width=6, seed=0):
        model = writer(width, seed)
        if seed == 1:
            model.layers[1].embeddings.assign(
                np.where(np.arange(WORDS)[:, None] == X[2, 4], np.nan, 0.5)
                * np.ones((1, width))
            )
        return model

    with pytest.raises(ValueError, match="logits of `teacher` must be finite"):
        step(4, make=make)


# Never all logits.


def test_no_projection_is_larger_than_a_chunk(projected):
    assert sized(None, projected) == BATCH * LENGTH
    assert sized(4, projected) == 4


class Watching(policies.Temperature):
    """Counts the chunks whose logits are in memory at the same time."""

    per_entry = True

    def __init__(self):
        super().__init__()
        self.chunks, self.most = (weakref.WeakSet(),), 0

    def temperatures(self, pair):
        (chunks,) = self.chunks
        chunks.add(pair)
        self.most = max(self.most, len(chunks))
        two = keras.ops.convert_to_tensor(2.0)
        return policies.Temperatures(two, two, two * two)


@pytest.mark.torch
@pytest.mark.parametrize("own", [True, False])
def test_no_chunk_outlives_the_next_one(own):
    policy = Watching()
    loss = losses.KD(policy) if own else [losses.KD(), losses.ReverseKL()]
    options = {} if own else {"temperature": policy}
    distiller = Distiller(writer(12), writer(), loss, chunk_size=1, **options)
    distiller.compile("sgd", crossentropy())
    distiller.train_on_batch(X, Y)
    assert 1 <= policy.most <= 2


def test_auto_is_for_large_problems(projected, monkeypatch):
    assert Distiller(writer(), writer())._plan.splits == ()
    monkeypatch.setattr(plans, "FEWEST_CLASSES", WORDS)
    assert sized("auto", projected) == BATCH * LENGTH
    monkeypatch.setattr(plans, "PAYS", WORDS * BATCH * LENGTH + 1)
    assert sized("auto", projected) == BATCH * LENGTH
    monkeypatch.setattr(plans, "PAYS", WORDS * BATCH * LENGTH)
    monkeypatch.setattr(plans, "CHUNK", 3 * WORDS)
    assert sized("auto", projected) == 3


def test_auto_is_plain_where_chunks_cannot_be(monkeypatch, projected):
    monkeypatch.setattr(plans, "FEWEST_CLASSES", WORDS)
    monkeypatch.setattr(plans, "PAYS", 1)
    distiller = Distiller(writer(12), writer(), losses.CosineKD())
    distiller.compile("sgd", crossentropy())
    projected.clear()
    distiller.train_on_batch(X, Y)
    assert max(projected) == BATCH * LENGTH


def test_evaluations_are_plain():
    distiller = Distiller(writer(12), writer(), chunk_size=4)
    distiller.compile("sgd", crossentropy(), metrics=["accuracy"])
    assert distiller.predict(X, verbose=0).shape == (BATCH, LENGTH, WORDS)
    plain = Distiller(writer(12), writer())
    plain.compile("sgd", crossentropy(), metrics=["accuracy"])
    ours, theirs = (
        d.evaluate(X, Y, verbose=0, return_dict=True)
        for d in (distiller, plain)
    )
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_the_size_is_saved():
    distiller = Distiller(writer(12), writer(), chunk_size=4)
    again = Distiller.from_config(distiller.get_config())
    assert again.get_config()["chunk_size"] == 4
    assert len(again._plan.splits) == 2


# What cannot be cut.


def token_losses(y, outputs):
    return keras.losses.sparse_categorical_crossentropy(
        y, outputs, from_logits=True
    )


def masked_mean(y, outputs):
    """The mean over the tokens that are not 0, as translators have it."""
    named = ops.cast(ops.not_equal(y, 0), "float32")
    return ops.sum(token_losses(y, outputs) * named) / ops.sum(named)


def by_count(y, outputs):
    """One value for each token, of which each knows how many there are."""
    values = token_losses(y, outputs)
    return values / ops.cast(ops.size(values), "float32")


@pytest.mark.parametrize("loss", [masked_mean, by_count])
def test_auto_runs_losses_on_labels_whole_that_need_it(monkeypatch, loss):
    for name, value in (("FEWEST_CLASSES", 1), ("PAYS", 1), ("CHUNK", 1)):
        monkeypatch.setattr(plans, name, value)
    y = np.where(PADDING > 0, Y, 0)  # one text is all padding
    logs, *_ = step("auto", y=y, loss=loss)
    outputs = writer(seed=2)(X)
    assert logs["student_loss"][0] == pytest.approx(
        float(np.mean(ops.convert_to_numpy(loss(y, outputs)))), rel=1e-5
    )


@pytest.mark.parametrize("size", [0, -3, 2.5, "small", True])
def test_sizes_that_are_none(size):
    with pytest.raises(ValueError, match=r"`chunk_size` must be.*Received"):
        Distiller(writer(), writer(), chunk_size=size)


def goes_on(width=6, seed=0):
    model = writer(width, seed)
    return keras.Model(model.inputs, layers.Rescaling(2.0)(model.outputs[0]))


def classifier():
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)])


CANNOT = {
    "loss": (
        "the loss MLKD",
        lambda: Distiller(writer(), writer(), losses.MLKD(), chunk_size=4),
    ),
    "temperature": (
        "the temperature TokenDifficultyTemperature",
        lambda: Distiller(
            writer(),
            writer(),
            temperature=policies.TokenDifficultyTemperature(
                focus=policies.TokenFocus()
            ),
            chunk_size=4,
        ),
    ),
    "own temperature": (
        "the temperature CurriculumTemperature",
        lambda: Distiller(
            writer(),
            writer(),
            losses.KD(policies.CurriculumTemperature()),
            chunk_size=4,
        ),
    ),
    "features": (
        "`distillation_losses` that are not on logits",
        lambda: Distiller(
            writer(),
            writer(),
            keras.distillation.FeatureDistillation(),
            chunk_size=4,
        ),
    ),
    "teacher": (
        "`teacher` does not end in a `Dense` layer",
        lambda: Distiller(goes_on(), writer(), chunk_size=4),
    ),
    "student": (
        "`student` does not end in a `Dense` layer",
        lambda: Distiller(writer(), goes_on(), chunk_size=4),
    ),
    "classifier": (
        "`teacher` has not one output of shape",
        lambda: Distiller(classifier(), classifier(), chunk_size=4),
    ),
    "not built": (
        "`student` is not built",
        lambda: Distiller(
            writer(), keras.Sequential([layers.Dense(3)]), chunk_size=4
        ),
    ),
    "loss weights": (
        "`loss_weights` were given",
        lambda: Distiller(writer(), writer(), chunk_size=4).compile(
            "sgd", crossentropy(), loss_weights=[2.0]
        ),
    ),
    "reduction": (
        "a loss without a reduction",
        lambda: Distiller(writer(), writer(), chunk_size=4).compile(
            "sgd", crossentropy(reduction=None)
        ),
    ),
    "a loss of one number": (
        "the loss on labels masked_mean, which gives no value for each",
        lambda: step(4, loss=masked_mean),
    ),
    "a loss that other tokens change": (
        "the loss on labels by_count, which gives no value for each",
        lambda: step(4, loss=by_count),
    ),
    "letters": (
        "a loss whose labels are no classes of tokens",
        lambda: Distiller(writer(), writer(), chunk_size=4).compile(
            "sgd", keras.losses.CTC()
        ),
    ),
    "soft labels": (
        r"labels `y` of shape \(3, 5, 11\)",
        lambda: step(
            4, y=np.eye(WORDS)[Y], loss=keras.losses.CategoricalCrossentropy()
        ),
    ),
}


@pytest.mark.parametrize("case", CANNOT)
def test_a_size_that_cannot_be_says_why(case):
    reason, make = CANNOT[case]
    with pytest.raises(ValueError, match=rf"`chunk_size` needs.*{reason}"):
        make()
