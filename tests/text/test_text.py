"""Raw strings through KerasHub's tasks: the same as tokens by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import copies, crossentropy, moved, number, value_and_grad
from keras import ops
from methods import LOSSES, POLICIES
from texts import (
    LABELS,
    SENTENCES,
    VOCABULARY,
    WORDS,
    bert,
    distil_bert,
    gemma2,
    gemma3,
    gpt2,
    gpt2_tokenizer,
)

import keras_dts
from keras_dts import losses, text

OTHER_VOCABULARY = [*VOCABULARY[:-4], "ju", "##mp", "la", "##zy", "spam"]


def distil(teacher, student, metrics=None, rate=0.1, **kwargs):
    distiller = keras_dts.Distiller(
        teacher, student, student_loss_weight=0.5, **kwargs
    )
    distiller.compile(
        keras.optimizers.SGD(rate),
        crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=metrics,
    )
    return distiller


def fit(distiller, *data, epochs=2, batch_size=2, shuffle=False, **kwargs):
    history = distiller.fit(
        *data,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=shuffle,
        verbose=0,
        **kwargs,
    )
    return history.history


def tokens(model, x, y=None, sample_weight=None):
    """What a task's preprocessor makes of strings, as NumPy."""
    read = model.preprocess_samples(x, y=y, sample_weight=sample_weight)
    return keras.tree.map_structure(ops.convert_to_numpy, read)


def same_logs(logs, others, tolerance=2e-5):
    assert set(logs) == set(others)
    for name in logs:
        np.testing.assert_allclose(
            logs[name], others[name], rtol=tolerance, atol=tolerance
        )


# The same as tokens by hand.


def as_data_set(x, y, weights):
    return (tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(2),)


FORMS = {
    "lists": lambda x, y, w: (x, y.tolist(), None, w.tolist()),
    "arrays": lambda x, y, w: (np.array(x), y, None, w),
    "objects": lambda x, y, w: (np.array(x, object), y, None, w),
    "bytes": lambda x, y, w: ([s.encode() for s in x], y, None, w),
    "a data set": as_data_set,
}


@pytest.mark.parametrize("form", FORMS)
def test_strings_train_as_their_tokens_do(form):
    weights = np.array([1.0, 2.0, 0.0, 0.5], "float32")
    raw = distil(bert(16, 2, seed=1), bert())
    if form == "a data set":
        raw_logs = raw.fit(
            *FORMS[form](SENTENCES, LABELS, weights), epochs=2, verbose=0
        ).history
    else:
        x, y, _, w = FORMS[form](SENTENCES, LABELS, weights)
        raw_logs = fit(raw, x, y, sample_weight=w)
    by_hand = distil(bert(16, 2, seed=1), bert())
    x, y, w = tokens(by_hand.student, SENTENCES, LABELS, weights)
    same_logs(raw_logs, fit(by_hand, x, y, sample_weight=w))
    for ours, theirs in zip(
        copies(raw.student), copies(by_hand.student), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_pairs_of_sentences_train_as_their_tokens_do():
    pairs = (SENTENCES, SENTENCES[::-1])
    raw = fit(distil(bert(16, 2, seed=1), bert()), pairs, LABELS)
    by_hand = distil(bert(16, 2, seed=1), bert())
    x, y = tokens(by_hand.student, pairs, LABELS)
    assert np.max(x["segment_ids"]) == 1
    same_logs(raw, fit(by_hand, x, y))


TWO_READERS = {
    "BERT and DistilBERT": (bert, distil_bert),
    "vocabularies": (bert, lambda: bert(vocabulary=OTHER_VOCABULARY)),
    "lengths": (bert, lambda: bert(length=8)),
}


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("case", TWO_READERS)
def test_models_that_read_differently_get_both_tokenizations(case, pairs):
    make_teacher, make_student = TWO_READERS[case]
    strings = (SENTENCES, SENTENCES[::-1]) if pairs else SENTENCES
    raw = distil(make_teacher(width=16, seed=1), make_student())
    by_hand = keras_dts.Distiller(
        make_teacher(width=16, seed=1),
        make_student(),
        student_loss_weight=0.5,
        teacher_inputs=lambda x: {k[2:]: x[k] for k in x if k[:2] == "t:"},
        student_inputs=lambda x: {k[2:]: x[k] for k in x if k[:2] == "s:"},
    )
    by_hand.compile(
        keras.optimizers.SGD(0.1), crossentropy(), metrics=["accuracy"]
    )
    x = {
        f"{role}:{key}": value
        for role, model in (("t", by_hand.teacher), ("s", by_hand.student))
        for key, value in tokens(model, strings, LABELS)[0].items()
    }
    same_logs(fit(raw, strings, LABELS), fit(by_hand, x, LABELS))


def counted_reads(monkeypatch, model):
    calls = []
    read = type(model).preprocess_samples

    def spy(self, *args, **kwargs):
        calls.append(self)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "preprocess_samples", spy)
    return calls


@pytest.mark.parametrize("shared", ["one object", "an equal one"])
def test_one_tokenizer_reads_once(monkeypatch, shared):
    teacher = bert(16, seed=1)
    own = teacher.preprocessor.tokenizer if shared == "one object" else None
    student = bert(tokenizer=own)
    calls = counted_reads(monkeypatch, student)
    fit(distil(teacher, student), SENTENCES, LABELS)
    assert set(map(id, calls)) == {id(student)}


def test_preprocessors_are_traced_again_when_they_change(monkeypatch):
    teacher, student = bert(16, seed=1), bert()
    distiller = distil(teacher, student, rate=0.0)
    calls = counted_reads(monkeypatch, student)
    logs = fit(distiller, SENTENCES, LABELS)
    traces = len(calls)
    same_logs(fit(distiller, SENTENCES, LABELS), logs)
    assert len(calls) == traces
    for task in (teacher, student):
        task.preprocessor.sequence_length = 5
    shorter = fit(distiller, SENTENCES, LABELS)
    assert len(calls) > traces
    ready = distil(bert(16, seed=1), bert(), rate=0.0)
    same_logs(fit(ready, *tokens(student, SENTENCES, LABELS)), shorter)
    assert shorter["loss"] != pytest.approx(logs["loss"], abs=1e-4)


def test_predict_and_evaluate_do_not_read_for_the_teacher(monkeypatch):
    teacher, student = bert(16, seed=1), bert(vocabulary=OTHER_VOCABULARY)
    distiller = distil(teacher, student)
    calls = counted_reads(monkeypatch, student)
    answers = distiller.predict(SENTENCES, verbose=0)
    logs = distiller.evaluate(SENTENCES, LABELS, verbose=0, return_dict=True)
    assert set(map(id, calls)) == {id(student)}
    x, y = tokens(student, SENTENCES, LABELS)
    student.compile(loss=crossentropy())
    np.testing.assert_allclose(
        answers, ops.convert_to_numpy(student(x)), atol=1e-5
    )
    student.preprocessor = None
    alone = student.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(alone["loss"], abs=1e-5)


def test_metrics_that_compare_read_for_both():
    teacher, student = bert(16, seed=1), distil_bert()
    kl = keras_dts.metrics.TeacherKL()
    distiller = distil(teacher, student, [kl])
    logs = fit(
        distiller, SENTENCES, LABELS, validation_data=(SENTENCES, LABELS)
    )
    logits = (
        ops.log_softmax(model(tokens(model, SENTENCES, LABELS)[0]))
        for model in (teacher, student)
    )
    theirs, ours = map(ops.convert_to_numpy, logits)
    expected = np.mean(np.sum(np.exp(theirs) * (theirs - ours), axis=-1))
    assert logs["val_teacher_kl"][-1] == pytest.approx(expected, abs=1e-5)


def test_one_batch_at_a_time():
    raw = distil(bert(16, seed=1), distil_bert())
    again = distil(bert(16, seed=1), distil_bert())
    logs = raw.train_on_batch(SENTENCES, LABELS, return_dict=True)
    fitted = fit(again, SENTENCES, LABELS, epochs=1, batch_size=4)
    same_logs(logs, {name: v[0] for name, v in fitted.items()})
    np.testing.assert_allclose(
        raw.predict_on_batch(SENTENCES),
        again.predict(SENTENCES, verbose=0),
        atol=1e-5,
    )
    # Lists of weights too.
    tested = raw.test_on_batch(
        SENTENCES, LABELS.tolist(), [1.0] * 4, return_dict=True
    )
    same_logs(
        tested,
        again.evaluate(SENTENCES, LABELS, verbose=0, return_dict=True),
    )


# How strings in memory are dealt out.


def orders(seed, **kwargs):
    """The order of the examples in two epochs, told by their weights."""
    student = bert()
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(round(float(logs["gap"]), 4))

    distiller = distil(bert(16, seed=1), student, rate=0.0)
    keras.utils.set_random_seed(seed)
    fit(distiller, SENTENCES, LABELS, batch_size=1, callbacks=[Spy()], **kwargs)
    return seen


def test_strings_are_shuffled_by_the_seed():
    plain = orders(0)
    assert plain[:4] == plain[4:]
    shuffled = orders(5, shuffle=True)
    assert shuffled == orders(5, shuffle=True)
    assert shuffled != plain


def test_a_part_is_split_off_for_the_validation():
    many, labels = SENTENCES * 2, np.tile(LABELS, 2)
    split = fit(
        distil(bert(16, seed=1), bert()), many, labels, validation_split=0.25
    )
    given = fit(
        distil(bert(16, seed=1), bert()),
        many[:6],
        labels[:6],
        validation_data=(many[6:], labels[6:]),
    )
    same_logs(split, given)


def test_what_chooses_the_input_chooses_among_the_strings():
    x = {"subject": SENTENCES, "body": SENTENCES[::-1]}
    logs = fit(
        distil(
            bert(16, seed=1),
            bert(),
            teacher_inputs=lambda x: (x["subject"], x["body"]),
            student_inputs=lambda x: x["subject"],
        ),
        x,
        LABELS,
    )
    student, teacher = bert(), bert(16, seed=1)
    theirs = tokens(teacher, (SENTENCES, SENTENCES[::-1]), LABELS)[0]
    ours = tokens(student, SENTENCES, LABELS)[0]
    gaps = [
        keras.ops.convert_to_numpy(
            crossentropy(reduction=None)(LABELS[:2], model(first_two(x)))
        )
        for model, x in ((student, ours), (teacher, theirs))
    ]
    assert len(logs["gap"]) == 2
    first = distil(
        teacher,
        student,
        rate=0.0,
        teacher_inputs=lambda x: (x["subject"], x["body"]),
        student_inputs=lambda x: x["subject"],
    ).train_on_batch(
        {"subject": SENTENCES[:2], "body": SENTENCES[:1:-1]},
        LABELS[:2],
        return_dict=True,
    )
    assert first["gap"] == pytest.approx(np.mean(gaps[0] - gaps[1]), abs=1e-5)


def first_two(x):
    return {key: value[:2] for key, value in x.items()}


# Causal language models.


def test_documents_train_as_their_tokens_do():
    raw = distil(gpt2(16, seed=1), gpt2())
    logs = fit(raw, SENTENCES, callbacks=[keras_dts.DTS()])
    by_hand = distil(gpt2(16, seed=1), gpt2())
    x, y, weights = tokens(by_hand.student, SENTENCES)
    same_logs(
        logs,
        fit(
            by_hand,
            x,
            y,
            sample_weight=weights.astype("float32"),
            callbacks=[keras_dts.DTS()],
        ),
    )
    written = raw.student.generate("the quick", max_length=16)
    assert written.startswith("the quick")


PROMPTED = {"prompts": SENTENCES[:2], "responses": SENTENCES[2:]}


def test_prompts_do_not_count():
    distiller = distil(gemma3(16, seed=1), gemma3(), rate=0.0)
    logs = distiller.train_on_batch(PROMPTED, return_dict=True)
    x, y, weights = tokens(distiller.student, PROMPTED)
    assert 0 < np.sum(weights) < np.sum(x["padding_mask"])
    at = np.nonzero(weights)
    log_probs, answers = [], []
    for model in (distiller.teacher, distiller.student):
        logits = ops.convert_to_numpy(model(x))[at].astype("float64")
        for divisor, where in ((4.0, log_probs), (1.0, answers)):
            z = logits / divisor
            where.append(z - np.log(np.sum(np.exp(z), -1, keepdims=True)))
    theirs, ours = log_probs
    kd = 16 * np.mean(np.sum(np.exp(theirs) * (theirs - ours), -1))
    assert logs["distillation_loss"] == pytest.approx(kd, rel=1e-5)
    behind = answers[0] - answers[1]
    gap = np.mean(np.take_along_axis(behind, y[at][:, None], -1))
    assert logs["gap"] == pytest.approx(gap, rel=1e-4)
    right = np.argmax(answers[1], -1) == y[at]
    assert logs["accuracy"] == pytest.approx(np.mean(right), abs=1e-6)


def test_what_is_masked_changes_nothing():
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
def test_pads_change_nothing(kind, pads):
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


@pytest.mark.parametrize("kind", METHODS)
def test_methods_take_tokens_and_leave_pads_out(kind):
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
    head = text_head(distiller)
    policy = distiller.temperature
    _, gradient = value_and_grad(
        lambda z: losses.KD(policy).compute_loss(head.teacher, z), head.student
    )
    assert np.max(np.abs(gradient)) > 1e-4


def text_head(distiller):
    x, y, weights = tokens(distiller.student, SENTENCES)
    answers = [
        ops.convert_to_numpy(m(x))
        for m in (distiller.teacher, distiller.student)
    ]
    prepared = distiller._reader.prepare(*answers, y, weights, None)
    (head,) = prepared.heads
    return head


def test_capped_logits_are_distilled_as_they_come_out():
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


def test_packed_sequences_are_their_parts():
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


# Vocabularies.


@pytest.mark.parametrize("padded", ["teacher", "student"])
def test_rows_that_pad_a_vocabulary_are_left_out(padded):
    rows = {"teacher": 0, "student": 0, padded: 37}
    distiller = distil(
        gpt2(16, seed=1, extra_rows=rows["teacher"]),
        gpt2(seed=2, extra_rows=rows["student"]),
        rate=0.0,
    )
    logs = distiller.train_on_batch(SENTENCES, return_dict=True)
    x, _, weights = tokens(distiller.student, SENTENCES)
    n = distiller.student.preprocessor.tokenizer.vocabulary_size()
    theirs, ours = (
        ops.convert_to_numpy(model(x))[..., :n]
        for model in (distiller.teacher, distiller.student)
    )
    expected = losses.KD().compute_loss(theirs, ours, mask=weights)
    assert logs["distillation_loss"] == pytest.approx(
        number(expected), rel=1e-5
    )


def swapped_tokenizer():
    """As many tokens, two of which have changed their ids."""
    from keras_hub import models
    from texts import bpe

    vocabulary, merges = bpe(275)
    a, b = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary = {**vocabulary, a: vocabulary[b], b: vocabulary[a]}
    return models.GPT2Tokenizer(vocabulary, merges)


OTHER_TOKENS = {
    "more": lambda: gpt2_tokenizer(300),
    "the same number": swapped_tokenizer,
}


@pytest.mark.parametrize("tokens_of_teacher", OTHER_TOKENS)
def test_other_tokens_need_a_loss_for_them(tokens_of_teacher):
    tokenizer = OTHER_TOKENS[tokens_of_teacher]()
    with pytest.raises(ValueError, match="UniversalLogitDistillation"):
        keras_dts.Distiller(gpt2(tokenizer=tokenizer), gpt2())


@pytest.mark.parametrize("tokens_of_teacher", OTHER_TOKENS)
def test_that_loss_takes_other_tokens(tokens_of_teacher):
    tokenizer = OTHER_TOKENS[tokens_of_teacher]()
    distiller = distil(
        gpt2(16, seed=1, tokenizer=tokenizer),
        gpt2(),
        rate=0.0,
        distillation_losses=losses.UniversalLogitDistillation(1.0),
    )
    logs = distiller.train_on_batch(SENTENCES, return_dict=True)
    probabilities, counts = [], []
    for model in (distiller.teacher, distiller.student):
        x, _, weights = tokens(model, SENTENCES)
        counts.append(np.sum(weights, axis=1))
        p = np.sort(ops.convert_to_numpy(ops.softmax(model(x))))[..., ::-1]
        probabilities.append(
            np.pad(p, [(0, 0), (0, 0), (0, 400 - p.shape[-1])])
        )
    apart = np.sum(np.abs(probabilities[0] - probabilities[1]), axis=-1)
    shorter = np.min(counts, axis=0)
    expected = np.concatenate(
        [row[:n] for row, n in zip(apart, shorter, strict=True)]
    )
    assert logs["distillation_loss"] == pytest.approx(
        np.mean(expected), rel=1e-5
    )
    assert logs["gap"] == 0


def test_spans_are_compared_from_their_beginnings():
    outputs = np.arange(2 * 5 * 1).reshape(2, 5, 1).astype("float32")
    theirs = np.array([[0, 0, 1, 1, 0], [1, 1, 1, 1, 1]])
    ours = np.array([[0, 1, 1, 1], [0, 0, 1, 1]], bool)
    moved_outputs, both = text.align_spans(outputs, theirs, ours)
    both = ops.convert_to_numpy(both)
    np.testing.assert_array_equal(both, [[0, 1, 1, 0], [0, 0, 1, 1]])
    there = ops.convert_to_numpy(moved_outputs)[both > 0][:, 0]
    np.testing.assert_array_equal(there, [2, 3, 5, 6])


def test_metrics_do_not_compare_other_tokens():
    distiller = distil(
        gpt2(seed=1, tokenizer=swapped_tokenizer()),
        gpt2(),
        [keras_dts.metrics.TeacherAgreement()],
        distillation_losses=losses.UniversalLogitDistillation(),
    )
    with pytest.raises(ValueError, match=r"(?s)`teacher_agreement` compares"):
        distiller.train_on_batch(SENTENCES)


# Features, presets, files.


def test_features_of_backbones_come_from_one_pass(monkeypatch):
    teacher, student = bert(16, 3, seed=1), bert(8, 2)
    calls = []
    layer = student.backbone.get_layer("transformer_layer_1")
    call = layer.call
    monkeypatch.setattr(
        layer, "call", lambda *a, **k: calls.append(1) or call(*a, **k)
    )
    features = keras.distillation.FeatureDistillation(
        "mse",
        "bert_backbone/transformer_layer_2",
        "bert_backbone/transformer_layer_1",
    )
    distiller = distil(
        teacher, student, distillation_losses=[losses.KD(), features]
    )
    (projector,) = [p for t in distiller.terms for p in t.projectors]
    before = copies(projector)
    calls.clear()
    fit(distiller, SENTENCES, LABELS, epochs=1, batch_size=4)
    assert len(calls) <= 2  # the step, and Keras's look at the shapes
    assert moved(projector, before) > 1e-4


def test_presets_on_the_disk(tmp_path):
    from keras_hub import models

    first = distil(bert(16, 2, seed=1), bert())
    first.teacher.save_to_preset(tmp_path / "teacher")
    first.student.save_to_preset(tmp_path / "student")
    teacher, student = (
        models.TextClassifier.from_preset(str(tmp_path / name))
        for name in ("teacher", "student")
    )
    again = distil(teacher, student)
    same_logs(
        fit(first, SENTENCES, LABELS), fit(again, SENTENCES, LABELS), 1e-5
    )


# KerasHub's own: its tasks are loaded without their `compile`.
@pytest.mark.filterwarnings("ignore:`compile\\(\\)` was not called")
@pytest.mark.parametrize("make", [bert, gpt2])
def test_a_saved_distiller_goes_on_with_strings(tmp_path, make):
    y = () if make is gpt2 else (LABELS,)
    run = distil(make(16, seed=1), make(seed=2))
    fit(run, SENTENCES, *y)
    run.save(tmp_path / "run.keras")
    again = keras.models.load_model(tmp_path / "run.keras")
    same_logs(
        fit(again, SENTENCES, *y), fit(run, SENTENCES, *y), tolerance=1e-5
    )


# Errors.


def test_strings_need_preprocessors():
    distiller = distil(bert(16, preprocess=False), bert())
    before = copies(distiller.student)
    with pytest.raises(ValueError, match=r"`teacher` must be a KerasHub task"):
        fit(distiller, SENTENCES, LABELS)
    distiller = distil(bert(16), bert(preprocess=False))
    with pytest.raises(ValueError, match=r"`student` must .*`preprocessor`"):
        distiller.predict(SENTENCES)
    assert moved(distiller.student, before) == 0


BAD_STRINGS = {
    "nothing": ([], r"`x` must hold at least one string"),
    "None": (["spam", None], r"strings only.*None .*NoneType at position 1"),
    "a number": (["spam", 3], r"strings only.*Received: 3 of type int"),
    "Latin-1": (
        ["spam", b"na\xefve spam"],
        r"valid UTF-8.*b'na\\xefve spam' at position 1",
    ),
    "half a surrogate": (["\ud83d"], r"valid UTF-8.*at position 0"),
    "one string": ("spam", r"a batch of strings.*'spam'"),
}


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
@pytest.mark.parametrize("case", BAD_STRINGS)
def test_strings_that_are_none(case, method):
    strings, message = BAD_STRINGS[case]
    distiller = distil(bert(16), bert())
    with pytest.raises(ValueError, match=f"(?s){message}"):
        getattr(distiller, method)(strings, LABELS[: len(strings)])


def test_bytes_in_a_data_set_must_be_utf8():
    data = tf.data.Dataset.from_tensor_slices(([b"\xff\xfe"], [1])).batch(1)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?i)invalid"):
        distil(bert(16), bert()).evaluate(data, verbose=0)


def test_a_data_set_must_have_batches():
    data = tf.data.Dataset.from_tensor_slices((SENTENCES, LABELS))
    with pytest.raises(ValueError, match=r"data set of batches"):
        distil(bert(16), bert()).fit(data)


def test_lengths_of_x_and_y_must_fit():
    with pytest.raises(ValueError, match=r"as many entries.*4, 3"):
        distil(bert(16), bert()).fit(SENTENCES, LABELS[:3])


@pytest.mark.parametrize(
    ("option", "ours"), [("length", 20), ("add_end_token", False)]
)
def test_positions_of_language_models_must_fit(option, ours):
    distiller = distil(gpt2(16), gpt2(**{option: ours}))
    name = "sequence_length" if option == "length" else option
    with pytest.raises(ValueError, match=rf"same `{name}`.*of the teacher"):
        fit(distiller, SENTENCES)


# BERT's pooler is no part of a masked language model.
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_masks_must_be_the_same():
    from keras_hub import models

    def masked(tokens):
        tokenizer = models.BertTokenizer(VOCABULARY, lowercase=True)
        return models.BertMaskedLM(
            bert().backbone,
            models.BertMaskedLMPreprocessor(
                tokenizer, sequence_length=16, mask_selection_length=tokens
            ),
        )

    with pytest.raises(ValueError, match=r"must be equal for masked language"):
        fit(distil(masked(4), masked(5)), SENTENCES)
    logs = fit(distil(masked(4), masked(4)), SENTENCES, epochs=1)
    assert logs["distillation_loss"][0] >= 0


def test_classes_must_fit():
    with pytest.raises(ValueError, match=r"(?s)same classes.*3.*2"):
        keras_dts.Distiller(bert(classes=3), bert())
    teacher, student = bert(), bert()
    teacher.class_names, student.class_names = ["ham", "spam"], ["spam", "ham"]
    with pytest.raises(ValueError, match=r"`class_names`.*'ham', 'spam'"):
        keras_dts.Distiller(teacher, student)
    student.class_names = ["ham", "spam"]
    keras_dts.Distiller(teacher, student)


def test_the_words_are_in_the_vocabulary():
    assert set(" ".join(SENTENCES).split()) <= set(WORDS)
