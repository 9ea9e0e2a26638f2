"""Prompts and responses become token ids, labels and weights."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from text_runs import tokens
from texts import gemma3, gpt2

import keras_dts
from keras_dts import generation
from keras_dts.generation.packing import PromptPacker, next_tokens

pytestmark = pytest.mark.torch

# The last token of the vocabulary starts and ends a text; padding is 0.
END = 274
ASKED, SAID = ["bad dog", "the"], ["good", "a bad"]


def test_texts_are_packed_as_a_preprocessor_of_pairs_packs_them():
    model = gemma3(length=20)
    x, y, weights = tokens(model, {"prompts": ASKED, "responses": SAID})
    packed = PromptPacker(model)(ASKED, SAID)
    np.testing.assert_array_equal(packed.x["token_ids"], x["token_ids"])
    np.testing.assert_array_equal(packed.x["padding_mask"], x["padding_mask"])
    np.testing.assert_array_equal(packed.y, y)
    np.testing.assert_array_equal(packed.sample_weight, weights)


window = functools.cache(lambda length: gpt2(length=length))


def packed(prompts, responses=None, length=6, **kwargs):
    """Rows of the ids, the labels and the weights."""
    found = PromptPacker(window(length), **kwargs)(prompts, responses)
    ids, y, weights = found.x["token_ids"], found.y, found.sample_weight
    return ids.tolist(), y.tolist(), weights.tolist()


def test_an_empty_response_is_its_end():
    ids, y, weights = packed([[7, 8]], [[]])
    assert ids == [[END, 7, 8, END, 0, 0]]
    assert y == [[7, 8, END, 0, 0, 0]]
    assert weights == [[0, 0, 1, 0, 0, 0]]


def test_the_window_has_a_label_more_than_positions():
    ids, y, weights = packed([[5]], [[6, 7, 8, 9, 10, 11, 12]])
    assert ids == [[END, 5, 6, 7, 8, 9]]
    assert y == [[5, 6, 7, 8, 9, 10]]
    assert weights == [[0, 1, 1, 1, 1, 1]]  # and no end: it was cut off


def test_long_prompts_are_cut_on_the_left_which_is_said_once():
    prompts = [[1, 2, 3, 4], [5], [6, 7, 8]]
    with pytest.warns(UserWarning, match="2 of 3 prompts have more than 2"):
        ids, _, weights = packed(prompts, [[9]] * 3, max_prompt_length=2)
    assert [row[:4] for row in ids] == [
        [END, 3, 4, 9],
        [END, 5, 9, END],
        [END, 7, 8, 9],
    ]
    assert [row.index(1.0) for row in weights] == [2, 1, 2]


def test_prompts_alone_have_no_weight_and_no_end():
    ids, _, weights = packed([[7, 8]])
    assert ids == [[END, 7, 8, 0, 0, 0]]
    assert weights == [[0] * 6]


def test_labels_of_a_text_are_its_next_tokens():
    ids = [[4, 5, 6, 7, 8, 9], [4, 5, 6, 7, 1, 1], [4, 5, 6, 7, 8, 9]]
    text = [[1] * 6, [1, 1, 1, 1, 0, 0], [1] * 6]
    prompt = [[1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1] * 6]
    masks = (ops.convert_to_tensor(m, "bool") for m in (text, prompt))
    labels, weights = next_tokens(ops.convert_to_tensor(ids), *masks)
    assert ops.convert_to_numpy(weights).tolist() == [
        [0, 1, 1, 1, 1, 0],
        [1, 1, 1, 0, 0, 0],
        [0] * 6,
    ]
    assert ops.convert_to_numpy(labels)[0].tolist() == [5, 6, 7, 8, 9, 0]


TOKENS = {
    "token_ids": np.ones((2, 12), "int32"),
    "padding_mask": np.ones((2, 12), bool),
}


def made(text=None, student=None, teacher=None, **kwargs):
    distiller = keras_dts.OnPolicyDistiller(
        teacher or gpt2(16, seed=1, length=12),
        student or gpt2(length=12),
        text=text or generation.StudentText(0.0),
        **kwargs,
    )
    distiller.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    return distiller


def test_all_kinds_of_data_give_the_same_evaluation():
    import tensorflow as tf

    distiller = made()
    texts = {"prompts": ASKED * 2, "responses": SAID * 2}
    ids = PromptPacker(distiller.student)(*texts.values())
    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(2)
    run = distiller.fit(
        texts,
        batch_size=2,
        verbose=0,
        validation_data=texts,
        shuffle=False,
    )
    expected = run.history["val_loss"][0]
    assert expected > 1
    for data in ({"x": texts}, {"x": dataset}, ids._asdict()):
        logs = distiller.evaluate(**data, verbose=0, return_dict=True)
        assert logs["loss"] == pytest.approx(expected, rel=1e-6)
    assert distiller.predict(dataset, verbose=0).shape == (4, 12, 275)
    outputs = distiller.predict({"prompts": ASKED}, verbose=0)
    assert outputs.shape == (2, 12, 275)
    logs = distiller.fit(dataset, shuffle=False, verbose=0).history
    assert logs["loss"] == pytest.approx(run.history["loss"], rel=1e-6)
    logs = distiller.train_on_batch(texts, return_dict=True)
    assert logs["loss"] > 0


def test_prompts_may_be_split_for_validation():
    texts = {"prompts": ASKED * 2, "responses": SAID * 2}
    run = made().fit(texts, validation_split=0.5, batch_size=2, verbose=0)
    assert "val_loss" in run.history


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ({"prompts": ASKED}, "`x` must have `responses`, unless.*share=0.0"),
        ({"prompts": ASKED, "responses": SAID[:1]}, "2 prompts and 1 resp"),
        ({"prompts": [], "responses": []}, "at least one string"),
        ({"prompts": "a dog", "responses": SAID}, "`prompts` must be a list"),
        ({"prompts": [[[1]]], "responses": [[1]]}, "`prompts` must be a list"),
        (ASKED, "`x` must hold `prompts` and `responses`.*list"),
        (TOKENS, "`prompt_mask`.*Received: the keys"),
    ],
)
def test_data_that_are_no_prompts_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        made().fit(x, verbose=0)


def test_labels_and_weights_are_not_given_with_prompts():
    x = {"prompts": ASKED, "responses": SAID}
    with pytest.raises(ValueError, match="`sample_weight` must be `None` wi"):
        made().fit(x, sample_weight=np.ones(2), verbose=0)


def test_an_evaluation_needs_responses():
    with pytest.raises(ValueError, match="must have `responses` in an eval"):
        made().evaluate({"prompts": ASKED}, verbose=0)


def test_prompts_without_a_token_are_refused():
    student = gpt2(length=12, add_start_token=False)
    with pytest.raises(ValueError, match=r"a token each.*none at position 1"):
        PromptPacker(student)(["a dog", ""])


@pytest.mark.parametrize(
    "kwargs", [{"add_start_token": False}, {"length": 14}], ids=str
)
def test_other_templates_are_refused(kwargs):
    teacher = gpt2(16, seed=1, **{"length": 12, **kwargs})
    distiller = made(teacher=teacher)
    with pytest.raises(ValueError, match="the same token ids of a text"):
        distiller.fit({"prompts": ASKED, "responses": SAID}, verbose=0)
