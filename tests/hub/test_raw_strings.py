"""Raw strings train as their tokens do.

What `tf.data` does to strings before a backend sees tokens runs on PyTorch.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import copies, crossentropy
from keras import ops
from text_runs import distil, fit, same_logs, tokens
from texts import (
    LABELS,
    SENTENCES,
    VOCABULARY,
    WORDS,
    bert,
    distil_bert,
    gpt2,
)

import keras_dts
from keras_dts.hub import RawInputAdapter

OTHER_VOCABULARY = [*VOCABULARY[:-4], "ju", "##mp", "la", "##zy", "spam"]


def as_data_set(x, y, weights):
    return (tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(2),)


def once(cases, everywhere):
    """Cases of which every backend runs some, and one the others."""
    return [
        pytest.param(x, marks=() if x in everywhere else pytest.mark.torch)
        for x in cases
    ]


# Lists of strings are a setting in `equivalence`.
FORMS = {
    "arrays": lambda x, y, w: (np.array(x), y, None, w),
    "objects": lambda x, y, w: (np.array(x, object), y, None, w),
    "bytes": lambda x, y, w: (
        [s.encode() for s in x],
        y.tolist(),
        None,
        w.tolist(),
    ),
    "a data set": as_data_set,
}


@pytest.mark.parametrize("form", once(FORMS, ["a data set"]))
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


@pytest.mark.torch
def test_pairs_of_sentences_train_as_their_tokens_do():
    pairs = (SENTENCES, SENTENCES[::-1])
    raw = fit(distil(bert(16, 2, seed=1), bert()), pairs, LABELS)
    by_hand = distil(bert(16, 2, seed=1), bert())
    x, y = tokens(by_hand.student, pairs, LABELS)
    assert np.max(x["segment_ids"]) == 1
    same_logs(raw, fit(by_hand, x, y))


@pytest.mark.parametrize("make", [bert, gpt2])
def test_masks_are_integers_which_replicas_can_average(make):
    model = make()
    made = model.preprocess_samples(SENTENCES)
    expected = [ops.convert_to_numpy(v) for v in keras.tree.flatten(made)]
    assert any(value.dtype == "bool" for value in expected)
    adapter = RawInputAdapter(make(), model, None, None)
    options, batch = {"x": SENTENCES}, {"x": SENTENCES}
    adapter.adapt(options, teacher=True)
    adapter.adapt_batch(batch, teacher=True)
    (streamed,) = options["x"]
    batch = keras.utils.pack_x_y_sample_weight(**batch)
    for found in map(keras.tree.flatten, (streamed, batch)):
        for value, other in zip(found, expected, strict=True):
            assert keras.backend.standardize_dtype(value.dtype) == "int32"
            np.testing.assert_array_equal(np.asarray(value), other)


TWO_PREPROCESSORS = {
    "BERT and DistilBERT": (bert, distil_bert),
    "vocabularies": (bert, lambda: bert(vocabulary=OTHER_VOCABULARY)),
    "lengths": (bert, lambda: bert(length=8)),
}


@pytest.mark.torch
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("case", TWO_PREPROCESSORS)
def test_each_model_gets_its_own_tokenization(case, pairs):
    make_teacher, make_student = TWO_PREPROCESSORS[case]
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


def preprocessor_calls(monkeypatch, model):
    calls = []
    read = type(model).preprocess_samples

    def spy(self, *args, **kwargs):
        calls.append(self)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "preprocess_samples", spy)
    return calls


@pytest.mark.torch
@pytest.mark.parametrize("shared", ["one object", "an equal one"])
def test_equal_preprocessors_run_once(monkeypatch, shared):
    teacher = bert(16, seed=1)
    own = teacher.preprocessor.tokenizer if shared == "one object" else None
    student = bert(tokenizer=own)
    calls = preprocessor_calls(monkeypatch, student)
    fit(distil(teacher, student), SENTENCES, LABELS)
    assert set(map(id, calls)) == {id(student)}


@pytest.mark.torch
def test_preprocessors_are_traced_again_when_they_change(monkeypatch):
    teacher, student = bert(16, seed=1), bert()
    distiller = distil(teacher, student, rate=0.0)
    calls = preprocessor_calls(monkeypatch, student)
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


@pytest.mark.torch
def test_predict_and_evaluate_do_not_preprocess_for_the_teacher(monkeypatch):
    teacher, student = bert(16, seed=1), bert(vocabulary=OTHER_VOCABULARY)
    distiller = distil(teacher, student)
    calls = preprocessor_calls(monkeypatch, student)
    outputs = distiller.predict(SENTENCES, verbose=0)
    logs = distiller.evaluate(SENTENCES, LABELS, verbose=0, return_dict=True)
    assert set(map(id, calls)) == {id(student)}
    x, y = tokens(student, SENTENCES, LABELS)
    student.compile(loss=crossentropy())
    np.testing.assert_allclose(
        outputs, ops.convert_to_numpy(student(x)), atol=1e-5
    )
    student.preprocessor = None
    alone = student.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(alone["loss"], abs=1e-5)


@pytest.mark.torch
def test_distillation_metrics_preprocess_for_both_models():
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


@pytest.mark.torch
def test_methods_on_batches_take_strings():
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


# Strings in memory.


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


@pytest.mark.torch
def test_the_random_seed_shuffles_strings():
    plain = orders(0)
    assert plain[:4] == plain[4:]
    shuffled = orders(5, shuffle=True)
    assert shuffled == orders(5, shuffle=True)
    assert shuffled != plain


@pytest.mark.torch
def test_validation_split_takes_the_last_strings():
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


@pytest.mark.torch
def test_teacher_and_student_inputs_select_strings():
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


def test_the_words_are_in_the_vocabulary():
    assert set(" ".join(SENTENCES).split()) <= set(WORDS)
