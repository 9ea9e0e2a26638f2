"""Language models whose vocabularies differ."""

import numpy as np
import pytest
from helpers import number
from keras import ops
from text_runs import distil, tokens
from texts import SENTENCES, gpt2, gpt2_tokenizer

import keras_dts
from keras_dts import hub, losses


@pytest.mark.parametrize("padded", ["teacher", "student"])
def test_rows_that_pad_a_vocabulary_are_ignored(padded):
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
def test_other_tokens_need_universal_logit_distillation(tokens_of_teacher):
    tokenizer = OTHER_TOKENS[tokens_of_teacher]()
    with pytest.raises(ValueError, match="UniversalLogitDistillation"):
        keras_dts.Distiller(gpt2(tokenizer=tokenizer), gpt2())


@pytest.mark.parametrize("tokens_of_teacher", OTHER_TOKENS)
def test_universal_logit_distillation_takes_other_tokens(tokens_of_teacher):
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


def test_spans_are_aligned_from_their_beginnings():
    outputs = np.arange(2 * 5 * 1).reshape(2, 5, 1).astype("float32")
    theirs = np.array([[0, 0, 1, 1, 0], [1, 1, 1, 1, 1]])
    ours = np.array([[0, 1, 1, 1], [0, 0, 1, 1]], bool)
    moved_outputs, both = hub.align_spans(outputs, theirs, ours)
    both = ops.convert_to_numpy(both)
    np.testing.assert_array_equal(both, [[0, 1, 1, 0], [0, 0, 1, 1]])
    there = ops.convert_to_numpy(moved_outputs)[both > 0][:, 0]
    np.testing.assert_array_equal(there, [2, 3, 5, 6])


def test_metrics_refuse_other_tokens():
    distiller = distil(
        gpt2(seed=1, tokenizer=swapped_tokenizer()),
        gpt2(),
        [keras_dts.metrics.TeacherAgreement()],
        distillation_losses=losses.UniversalLogitDistillation(),
    )
    with pytest.raises(ValueError, match=r"(?s)`teacher_agreement` compares"):
        distiller.train_on_batch(SENTENCES)
