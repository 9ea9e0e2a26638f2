"""Whether the outputs of two models can be compared."""

import dataclasses

import keras
import numpy as np
import pytest
from helpers import mlp
from keras import ops

from keras_dts.logits import OutputKind, OutputSpec, output_specs
from keras_dts.losses import KD, UniversalLogitDistillation

LOGITS = OutputKind(source="told")
PROBABILITIES = OutputKind(is_logits=False, source="told")
SAID = OutputKind(source="said")
SPEC = OutputSpec(0, LOGITS, LOGITS, 7, 5, True, True)
TEACHER, STUDENT = ops.zeros((2, 3, 7)), ops.zeros((2, 3, 5))


def tensors(*shapes):
    return [keras.KerasTensor(shape) for shape in shapes]


def specs_of(
    teacher, student, readers=None, from_logits="auto", same_tokens=None
):
    """Returns the specs of two models by their symbolic outputs."""
    return output_specs(
        (teacher, student),
        tuple(keras.tree.flatten(m.outputs) for m in (teacher, student)),
        {0: [KD()]} if readers is None else readers,
        (from_logits, from_logits),
        same_tokens=same_tokens,
    )


def test_a_spec_says_how_an_output_is_read():
    specs = specs_of(mlp(16, activation="softmax"), mlp())
    assert specs == (OutputSpec(0, PROBABILITIES, LOGITS, 3, 3, True, None),)
    specs = specs_of(mlp(16, activation="softmax"), mlp(), from_logits=True)
    assert specs == (OutputSpec(0, SAID, SAID, 3, 3, True, None),)
    with pytest.raises(dataclasses.FrozenInstanceError):
        specs[0].index = 1


def test_outputs_that_no_loss_reads_have_no_spec():
    inputs = keras.Input((8,))
    models = [
        keras.Model(inputs, [keras.layers.Dense(n)(inputs) for n in sizes])
        for sizes in ((3, 4, 2), (5, 4, 2))
    ]
    specs = specs_of(*models, {2: [KD()], 1: [KD()]})
    assert [(s.index, s.teacher_classes) for s in specs] == [(2, 2), (1, 4)]
    with pytest.raises(ValueError, match=r"\(batch, 3\) .* \(batch, 5\)"):
        specs_of(*models, {0: [KD()]})


def test_one_loss_that_needs_the_same_classes_is_enough():
    both = {0: [UniversalLogitDistillation(), KD()]}
    assert specs_of(mlp(16), mlp(), both)[0].same_classes is True
    alone = {0: [UniversalLogitDistillation()]}
    specs = specs_of(mlp(classes=4), mlp(), alone)
    assert specs == (OutputSpec(0, LOGITS, LOGITS, 4, 3, False, None),)
    with pytest.raises(ValueError, match="the same classes"):
        specs_of(mlp(classes=4), mlp(), both)


def test_rows_that_pad_a_vocabulary_are_cut_off():
    rows = np.arange(14, dtype="float32").reshape(2, 7)
    wide, narrow = ops.convert_to_tensor(rows), ops.ones((2, 5))
    for spec, pair in (
        (SPEC, (wide, narrow)),
        (
            dataclasses.replace(SPEC, teacher_classes=5, student_classes=7),
            (narrow, wide),
        ),
    ):
        cut = dict(zip(map(id, pair), spec.cut(*pair), strict=True))
        found = ops.convert_to_numpy(cut[id(wide)])
        np.testing.assert_array_equal(found, rows[:, :5])
        # What needs no cut keeps its mask: it is the same tensor.
        assert cut[id(narrow)] is narrow


@pytest.mark.parametrize("same_tokens", [None, False])
def test_classes_are_cut_off_only_where_the_tokens_are_the_same(same_tokens):
    spec = dataclasses.replace(SPEC, same_tokens=same_tokens)
    assert spec.cut(TEACHER, STUDENT) == (TEACHER, STUDENT)


def test_the_shapes_of_logits_are_those_after_the_cut():
    assert SPEC.logit_shapes(TEACHER, STUDENT) == ((None, None, 5),) * 2
    other = dataclasses.replace(SPEC, same_tokens=None)
    shapes = ((None, None, 7), (None, None, 5))
    assert other.logit_shapes(TEACHER, STUDENT) == shapes
    # A single unit is one of two classes.
    assert SPEC.logit_shapes(*tensors((None, 1), (None, 1))) == ((None, 2),) * 2


@pytest.mark.parametrize(
    ("teacher", "student", "message"),
    [
        (
            (2, 3, 7),
            (2, 3, 5),
            "`teacher` and `student` must have the same classes. Received: "
            "outputs of shape (batch, 3, 7) from the teacher and "
            "(batch, 3, 5) from the student",
        ),
        (
            (2, 4, 5),
            (2, 3, 5),
            "`teacher` and `student` must have the same output shape. "
            "Received: outputs of shape (batch, 4, 5) from the teacher and "
            "(batch, 3, 5) from the student",
        ),
        (
            (2, 5),
            (2, 3, 5),
            "`teacher` and `student` must have the same output shape. "
            "Received: outputs of shape (batch, 5) from the teacher and "
            "(batch, 3, 5) from the student",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_refused(teacher, student, message):
    with pytest.raises(ValueError, match="Received") as caught:
        SPEC.check_shapes(*tensors(teacher, student))
    assert str(caught.value) == message


def test_shapes_that_fit_are_not_refused():
    SPEC.check_shapes(*tensors((None, None, 5), (2, 3, 5)))
    free = dataclasses.replace(SPEC, same_classes=False)
    free.check_shapes(TEACHER, STUDENT)
    with pytest.raises(ValueError, match=r"\(batch, 4, 7\)"):
        free.check_shapes(ops.zeros((2, 4, 7)), STUDENT)


def test_different_numbers_of_outputs_are_refused():
    two = keras.Model(*(lambda i: (i, [i, i]))(keras.Input((3,))))
    message = "Received: 2 outputs of the teacher, 1 of the student"
    with pytest.raises(ValueError, match=message):
        specs_of(two, mlp())


def test_different_tokens_are_refused_by_losses_that_compare_classes():
    models = (mlp(name="big"), mlp(name="small"))
    message = r"must have the same tokens.*tokenizers of 'big' and 'small'"
    with pytest.raises(ValueError, match=message):
        specs_of(*models, same_tokens=False)
    free = {0: [UniversalLogitDistillation()]}
    assert specs_of(*models, free, same_tokens=False)[0].same_tokens is False
