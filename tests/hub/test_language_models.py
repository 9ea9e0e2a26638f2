"""Causal language models: prompts, padding, packing, and their logits."""

import keras
import numpy as np
import pytest
from helpers import copies, crossentropy, moved, number, value_and_grad
from keras import ops
from methods import LOSSES, POLICIES
from text_runs import distil, fit, same_logs, tokens
from texts import LABELS, SENTENCES, bert, gemma2, gemma3, gpt2

import keras_dts
from keras_dts import losses

PROMPTED = {"prompts": SENTENCES[:2], "responses": SENTENCES[2:]}


def test_prompts_do_not_count():
    distiller = distil(gemma3(16, seed=1), gemma3(), rate=0.0)
    logs = distiller.train_on_batch(PROMPTED, return_dict=True)
    x, y, weights = tokens(distiller.student, PROMPTED)
    assert 0 < np.sum(weights) < np.sum(x["padding_mask"])
    at = np.nonzero(weights)
    softened, log_probs = [], []
    for model in (distiller.teacher, distiller.student):
        logits = ops.convert_to_numpy(model(x))[at].astype("float64")
        for divisor, where in ((4.0, softened), (1.0, log_probs)):
            z = logits / divisor
            where.append(z - np.log(np.sum(np.exp(z), -1, keepdims=True)))
    theirs, ours = softened
    kd = 16 * np.mean(np.sum(np.exp(theirs) * (theirs - ours), -1))
    assert logs["distillation_loss"] == pytest.approx(kd, rel=1e-5)
    behind = log_probs[0] - log_probs[1]
    gap = np.mean(np.take_along_axis(behind, y[at][:, None], -1))
    assert logs["gap"] == pytest.approx(gap, rel=1e-4)
    right = np.argmax(log_probs[1], -1) == y[at]
    assert logs["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)


@pytest.mark.torch
def test_a_model_of_a_trained_vocabulary_writes():
    model = gpt2()
    model.compile(sampler="greedy")
    prompt = SENTENCES[3]
    written = model.generate(prompt, max_length=16)
    assert written.startswith(prompt)
    assert len(written) > len(prompt)


def test_masked_tokens_change_nothing():
    distiller = distil(
        gpt2(16, seed=1),
        gpt2(),
        [keras_dts.metrics.TeacherKL(), keras_dts.metrics.TeacherAgreement()],
        rate=0.0,
    )
    x, y, weights = tokens(distiller.student, SENTENCES)
    weights = weights.astype("float32")
    logs = distiller.train_on_batch(x, y, weights, return_dict=True)
    padded = weights == 0
    # Pads that are other tokens: their logits change, of both models.
    x = {**x, "token_ids": np.where(x["padding_mask"], x["token_ids"], 7)}
    others = distiller.train_on_batch(
        x, np.where(padded, 9, y), weights, return_dict=True
    )
    same_logs(logs, others, 1e-6)


FEATURES = keras.distillation.FeatureDistillation(
    "mse", "bert_backbone/transformer_layer_0", "bert_backbone/embeddings_add"
)


PADDED = {
    "classifiers": (bert, lambda: [losses.KD(), FEATURES]),
    "language models": (gpt2, lambda: None),
}


@pytest.mark.parametrize("pads", [12, 108])
@pytest.mark.parametrize("kind", PADDED)
def test_padding_changes_nothing(kind, pads):
    make, distillation_losses = PADDED[kind]
    logs = []
    for length in (32, 32 + pads):
        distiller = distil(
            make(width=8, layers=2, seed=1, length=length),
            make(width=8, seed=2, length=length),
            rate=0.0,
            distillation_losses=distillation_losses(),
        )
        y = LABELS if kind == "classifiers" else None
        logs.append(distiller.train_on_batch(SENTENCES, y, return_dict=True))
    same_logs(*logs, 1e-5)


METHODS = {
    "losses": lambda: [make() for make in LOSSES.values()],
    "policies": lambda: [losses.KD(make()) for make in POLICIES.values()],
}


@pytest.mark.torch
@pytest.mark.parametrize("kind", METHODS)
def test_every_method_ignores_padding(kind):
    # One by one they do so in `test_contract.py`.
    logs = []
    for length in (16, 24):
        keras.utils.set_random_seed(3)
        distiller = distil(
            gpt2(seed=1, length=length),
            gpt2(seed=2, length=length),
            rate=0.0,
            distillation_losses=METHODS[kind](),
        )
        logs.append(distiller.train_on_batch(SENTENCES[3:], return_dict=True))
    assert logs[0]["distillation_loss"] != 0
    same_logs(*logs, 3e-5)


@pytest.mark.jax
@pytest.mark.torch
def test_the_distillation_term_of_dts_trains_language_models():
    # The published code scales the student's logits without a gradient.
    distiller = keras_dts.Distiller(
        gpt2(16, seed=1),
        gpt2(),
        student_loss_weight=0.0,
        temperature=keras_dts.DynamicTemperature(8.0, 4.0, 8.0),
    )
    distiller.compile(keras.optimizers.Adam(0.02), crossentropy())
    before = copies(distiller.student)
    logs = fit(distiller, SENTENCES, epochs=5, callbacks=[keras_dts.DTS()])
    assert moved(distiller.student, before) > 2e-3
    assert logs["distillation_loss"][-1] < 0.9 * logs["distillation_loss"][0]
    teacher, student = logits_of(distiller)
    policy = distiller.temperature
    _, gradient = value_and_grad(
        lambda z: losses.KD(policy).compute_loss(teacher, z), student
    )
    assert np.max(np.abs(gradient)) > 1e-4


def logits_of(distiller):
    x, _, _ = tokens(distiller.student, SENTENCES)
    return [
        ops.convert_to_numpy(model(x))
        for model in (distiller.teacher, distiller.student)
    ]


def test_capped_logits_are_distilled_as_the_model_returns_them():
    teacher, student = gemma2(seed=1, soft_cap=2.0), gemma2(soft_cap=None)
    distiller = distil(teacher, student, rate=0.0, temperature=1.0)
    logs = distiller.train_on_batch(SENTENCES, return_dict=True)
    x, _, weights = tokens(student, SENTENCES)
    theirs, ours = ops.convert_to_numpy(teacher(x)), student(x)
    assert np.max(np.abs(theirs)) <= 2.0
    expected = losses.KD(1.0).compute_loss(theirs, ours, mask=weights)
    assert logs["distillation_loss"] == pytest.approx(
        number(expected), rel=1e-5
    )


def test_packed_sequences_train_as_their_parts():
    def model(seed):
        inputs = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(20, 8)(inputs)
        outputs = keras.layers.Dense(20)(x)
        built = keras.Model(inputs, outputs)
        rng = np.random.default_rng(seed)
        built.set_weights([rng.normal(size=w.shape) for w in built.weights])
        return built

    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 20, (2, 2, 5))
    apart = distil(model(0), model(1), rate=0.0).train_on_batch(
        x, y, np.ones((2, 5), "float32"), return_dict=True
    )
    # One row, with a separator between the two that does not count.
    packed = [
        np.concatenate([part[:1], [[between]], part[1:]], axis=1)
        for part, between in ((x, 3), (y, 4), (np.ones((2, 5)), 0))
    ]
    together = distil(model(0), model(1), rate=0.0).train_on_batch(
        *packed, return_dict=True
    )
    same_logs(apart, together, 1e-5)
