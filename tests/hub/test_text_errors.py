"""Strings and models that are refused, with a reason."""

import pytest
import tensorflow as tf
from helpers import copies, moved
from text_runs import distil, fit
from texts import LABELS, SENTENCES, VOCABULARY, bert, gpt2

import keras_dts


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
def test_invalid_strings_are_refused(case, method):
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
