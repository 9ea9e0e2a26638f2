"""Outputs, labels and weights become pairs of logits."""

import keras
import numpy as np
import pytest
from helpers import crossentropy, logits_and_labels
from keras import ops
from scipy.special import log_softmax, softmax

from keras_dts.logits import (
    EntryWeights,
    OutputKind,
    OutputSpec,
    Targets,
    check_targets,
    pair_outputs,
    teacher_faults,
    top_classes,
)
from keras_dts.types import TeacherOutputs

TEACHER, STUDENT, LABELS, SOFT = logits_and_labels((4, 5))
TOKENS = logits_and_labels((2, 3, 5), seed=1)


LOGITS = OutputKind(source="told")
PROBABILITIES = OutputKind(is_logits=False, source="told")


def spec(index=0, **kwargs):
    options = {
        "teacher_kind": LOGITS,
        "student_kind": LOGITS,
        "teacher_classes": 5,
        "student_classes": 5,
        "same_classes": True,
        "same_tokens": None,
    }
    return OutputSpec(index, **{**options, **kwargs})


def tensors(structure):
    return keras.tree.map_structure(ops.convert_to_tensor, structure)


def paired(
    teacher=TEACHER,
    student=STUDENT,
    y=None,
    weights=None,
    loss=None,
    specs=None,
    classes=None,
    overlap=None,
):
    return pair_outputs(
        (spec(),) if specs is None else specs,
        TeacherOutputs(tensors(teacher), {}, classes, overlap),
        tensors(student),
        Targets(
            None if y is None else tensors(y),
            None if weights is None else tensors(weights),
            loss,
        ),
        EntryWeights(),
    )


def raised(faults):
    return {name for name, flag in faults.items() if ops.convert_to_numpy(flag)}


def noted(found):
    return raised(found.faults)


def same(found, expected, dtype=None):
    found = ops.convert_to_numpy(found)
    assert found.shape == np.shape(expected)
    assert found.dtype == (
        np.asarray(expected).dtype if dtype is None else dtype
    )
    np.testing.assert_array_equal(found, expected)


def with_value(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


# The pairs.


def test_logits_labels_and_weights_are_paired():
    weights = np.array([1.0, 0.0, 2.0, 3.0], "float32")
    found = paired(y=LABELS, weights=weights)
    (pair,) = found.pairs
    same(pair.teacher, with_value(TEACHER, 1, 0.0))
    same(pair.student, STUDENT)
    same(pair.labels, LABELS)
    same(pair.weights, weights)
    assert noted(found) == set()
    assert (pair.output, pair.same_tokens) == (0, True)
    assert paired().pairs[0].labels is None
    assert paired().pairs[0].weights is None


def test_probabilities_become_logits():
    (pair,) = paired(
        softmax(TEACHER, -1),
        softmax(STUDENT, -1),
        specs=(spec(teacher_kind=PROBABILITIES, student_kind=PROBABILITIES),),
    ).pairs
    for logits, expected in ((pair.teacher, TEACHER), (pair.student, STUDENT)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(logits),
            log_softmax(expected, -1),
            rtol=1e-5,
            atol=1e-6,
        )


def test_only_outputs_that_losses_read_are_paired():
    other = np.zeros((4, 2), "float32")
    found = paired(
        [other, TEACHER],
        [other, STUDENT],
        [np.full(4, 99, "int32"), LABELS],
        specs=(spec(1),),
    )
    (pair,) = found.pairs
    assert pair.output == 1
    same(pair.student, STUDENT)
    # Labels of an output that no loss reads are left to Keras.
    same(found.y[0], np.full(4, 99, "int32"))
    assert noted(found) == set()
    assert paired(specs=()).pairs == []
    assert noted(paired(specs=())) == set()


def test_positions_without_a_partner_do_not_count():
    overlap = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], "float32")
    weights = np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 2.0]], "float32")
    (pair,) = paired(*TOKENS[:2], overlap=ops.convert_to_tensor(overlap)).pairs
    same(pair.weights, overlap)
    (pair,) = paired(
        *TOKENS[:2],
        weights=weights,
        overlap=ops.convert_to_tensor(overlap),
        specs=(spec(same_tokens=False),),
    ).pairs
    same(pair.weights, overlap * weights)
    assert pair.same_tokens is False


def test_top_classes_are_paired_as_log_probabilities():
    logits, classes = top_classes(ops.convert_to_tensor(TEACHER), 2)
    (pair,) = paired(
        logits,
        y=LABELS,
        classes=[classes],
        specs=(spec(teacher_kind=PROBABILITIES),),
    ).pairs
    same(pair.teacher, ops.convert_to_numpy(logits))
    kept = ops.convert_to_numpy(classes)
    ours = np.take_along_axis(STUDENT, kept, -1)
    same(pair.student[..., :2], ours)
    places = [
        list(row).index(label) if label in row else 2
        for row, label in zip(kept, LABELS, strict=True)
    ]
    assert 2 in places
    assert set(places) != {2}
    same(pair.labels, np.array(places, "int32"))


def test_different_numbers_of_outputs_are_refused():
    with pytest.raises(ValueError, match="2 outputs of the teacher, 1 of"):
        paired([TEACHER, TEACHER], [STUDENT])


def test_shapes_of_a_batch_are_checked():
    with pytest.raises(ValueError, match="the same output shape"):
        paired(TEACHER[:, None].repeat(3, 1), TOKENS[1])


# Labels that name no class.


@pytest.mark.parametrize("bad", [-1, 5, 99])
def test_labels_that_name_no_class_become_safe_and_are_noted(bad):
    found = paired(y=with_value(LABELS, 2, bad))
    assert noted(found) == {"labels"}
    safe = with_value(LABELS, 2, 0 if bad < 0 else 4)
    same(found.pairs[0].labels, safe)
    same(found.y, safe)


def test_labels_that_name_no_class_are_fine_where_they_do_not_count():
    weights = np.array([1.0, 1.0, 0.0, 1.0], "float32")
    found = paired(y=with_value(LABELS, 2, 99), weights=weights)
    assert noted(found) == set()
    same(found.y, with_value(LABELS, 2, 4))


def test_examples_without_a_class_are_taught_by_the_teacher():
    y = with_value(LABELS, 1, -1)
    weights = np.array([1.0, 2.0, 0.0, 1.0], "float32")
    found = paired(y=y, weights=weights, loss=crossentropy(ignore_class=-1))
    (pair,) = found.pairs
    same(pair.weights, weights)
    same(pair.labelled, [True, False, True, True])
    # The class that losses on labels take is the teacher's.
    same(pair.labels, with_value(LABELS, 1, TEACHER[1].argmax()))
    assert noted(found) == set()
    # Keras ignores it by its index, which stays.
    same(found.y, y)
    # Another index that names no class is a fault even so.
    found = paired(y=with_value(y, 3, 7), loss=crossentropy(ignore_class=-1))
    assert noted(found) == {"labels"}
    same(found.y, with_value(y, 3, 4))


def test_tokens_without_a_class_count_nowhere():
    teacher, student, labels, _ = TOKENS
    y = with_value(labels, (1, 2), -1)
    weights = np.full((2, 3), 2.0, "float32")
    loss = crossentropy(ignore_class=-1)
    (pair,) = paired(teacher, student, y, weights, loss).pairs
    same(pair.weights, with_value(weights, (1, 2), 0.0))
    assert pair.labelled is None


def test_the_first_choice_is_one_of_the_top_classes():
    logits, classes = top_classes(ops.convert_to_tensor(TEACHER), 2)
    (pair,) = paired(
        logits,
        y=np.full(4, -1, "int32"),
        loss=crossentropy(ignore_class=-1),
        classes=[classes],
        specs=(spec(teacher_kind=PROBABILITIES),),
    ).pairs
    same(pair.labels, np.zeros(4, "int32"))


def test_soft_labels_of_zeros_are_taught_by_the_teacher():
    y = with_value(SOFT, 2, 0.0)
    found = paired(y=y)
    same(found.pairs[0].labelled, [True, True, False, True])
    same(found.pairs[0].labels, y)
    same(found.y, y)
    assert found.pairs[0].weights is None
    assert noted(found) == set()


def test_soft_labels_that_are_no_distribution_become_safe_and_are_noted():
    found = paired(y=with_value(SOFT, (2, 1), np.nan))
    assert noted(found) == {"labels"}
    same(found.pairs[0].labels, with_value(SOFT, 2, 0.0))
    same(found.y, with_value(SOFT, 2, 0.0))


def test_labels_of_another_kind_reach_the_loss_alone():
    y = np.full((4, 7), 99, "int32")
    found = paired(y=y, loss=keras.losses.CTC())
    assert found.pairs[0].labels is None
    same(found.y, y)
    assert noted(found) == set()


@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_labels_keep_their_shape_and_dtype(dtype, shape):
    y = with_value(LABELS, 3, 9).astype(dtype).reshape(shape)
    found = paired(y=y)
    same(found.y, with_value(y, 3, 4), dtype)
    same(found.pairs[0].labels, with_value(LABELS, 3, 4))


def test_labels_of_tokens_keep_their_shape():
    teacher, student, labels, _ = TOKENS
    y = with_value(labels, (1, 2), -4)[..., None]
    found = paired(teacher, student, y)
    same(found.y, with_value(y, (1, 2), 0))
    assert noted(found) == {"labels"}


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_labels_keep_their_structure(kind):
    def structure(first, second):
        if kind is dict:
            return {"a": first, "b": second}
        return kind([first, second])

    y = structure(with_value(LABELS, 0, 9), with_value(LABELS, 1, -9)[:, None])
    found = paired(
        structure(TEACHER, STUDENT),
        structure(STUDENT, TEACHER),
        y,
        specs=(spec(0), spec(1)),
    )
    assert type(found.y) is kind
    first, second = keras.tree.flatten(found.y)
    same(first, with_value(LABELS, 0, 4))
    same(second, with_value(LABELS, 1, 0)[:, None])
    assert noted(found) == {"labels"}


def test_a_dictionary_of_labels_may_leave_outputs_out():
    outputs = {"a": TEACHER, "b": STUDENT}
    found = paired(
        outputs,
        outputs,
        {"b": with_value(LABELS, 0, 9)},
        specs=(spec(0), spec(1)),
    )
    assert list(found.y) == ["b"]
    same(found.y["b"], with_value(LABELS, 0, 4))
    assert found.pairs[0].labels is None
    same(found.pairs[1].labels, with_value(LABELS, 0, 4))


# Teachers that are not finite.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_that_weighs_nothing_loses_its_logits(value):
    weights = np.array([1.0, 1.0, 0.0, 1.0], "float32")
    found = paired(with_value(TEACHER, (2, 1), value), weights=weights)
    same(found.pairs[0].teacher, with_value(TEACHER, 2, 0.0))
    counted = np.ones(4, "float32")
    found = paired(with_value(TEACHER, (2, 1), value), weights=counted)
    same(found.pairs[0].teacher, with_value(TEACHER, (2, 1), value))


@pytest.mark.parametrize(
    ("value", "fault"),
    [(np.nan, "teacher"), (np.inf, "teacher"), (-np.inf, "ruled out")],
)
def test_the_faults_of_a_teacher_are_looked_for_where_a_loss_is_suspect(
    value, fault
):
    logits = [TEACHER, with_value(TEACHER, (2, 1), value)]
    logits = [ops.convert_to_tensor(x) for x in logits]
    assert raised(teacher_faults(logits, ops.convert_to_tensor(True))) == {
        fault
    }
    assert raised(teacher_faults(logits, ops.convert_to_tensor(False))) == set()
    assert raised(teacher_faults(logits[:1], True)) == set()


def test_a_teacher_that_rules_out_every_class_is_broken():
    logits = ops.convert_to_tensor(with_value(TEACHER, 2, -np.inf))
    assert "teacher" in raised(teacher_faults([logits], True))


def test_a_fault_of_one_output_is_a_fault_of_the_step():
    found = paired(
        [TEACHER, TEACHER],
        [STUDENT, STUDENT],
        [with_value(LABELS, 0, 9), LABELS],
        specs=(spec(0), spec(1)),
    )
    assert noted(found) == {"labels"}


# Checks without a pair.


def test_labels_and_weights_are_checked_where_losses_read():
    def check(y=None, weights=None, read=True):
        specs = (spec(),) if read else ()
        check_targets(specs, ops.zeros((4, 5)), Targets(y, weights))

    check(ops.zeros((4,)), ops.zeros((4,)))
    with pytest.raises(ValueError, match="`y` must hold class indices"):
        check(ops.zeros((4, 7)))
    with pytest.raises(ValueError, match="`sample_weight` must have one"):
        check(weights=ops.zeros((4, 2)))
    check(ops.zeros((4, 7)), ops.zeros((4, 2)), read=False)
