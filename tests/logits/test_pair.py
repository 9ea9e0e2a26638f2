"""The logits of both models for one output."""

import keras
import numpy as np
import pytest
from helpers import logits_and_labels, value_and_grad
from keras import ops
from scipy.special import log_softmax

from keras_dts.logits import LogitPair

TEACHER, STUDENT, LABELS, SOFT = logits_and_labels()
TOKENS = logits_and_labels((2, 3, 5))
WEIGHTS = np.array([0.0, 2.0, 0.5, 0.0, 1.0, 1.0], "float32")


def pair_of(teacher=TEACHER, student=STUDENT, labels=None, weights=None, **kw):
    tensors = (
        None if x is None else ops.convert_to_tensor(x)
        for x in (teacher, student, labels, weights)
    )
    return LogitPair(*tensors, **kw)


def close(found, expected):
    found = ops.convert_to_numpy(found)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def cross_entropy(logits, labels):
    """Of class indices or probabilities, by SciPy."""
    log_probs = log_softmax(logits.astype("float64"), axis=-1)
    if labels.ndim == logits.ndim:
        return -np.sum(labels * log_probs, axis=-1)
    return -np.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]


@pytest.mark.parametrize("data", [(TEACHER, STUDENT, LABELS, SOFT), TOKENS])
@pytest.mark.parametrize("soft", [False, True])
def test_the_gap_is_the_difference_of_the_cross_entropies(data, soft):
    teacher, student, *labels = data
    labels = labels[soft]
    pair = pair_of(teacher, student, labels)
    assert pair.has_class_indices is not soft
    expected = cross_entropy(student, labels) - cross_entropy(teacher, labels)
    assert np.min(expected) < 0 < np.max(expected)
    close(pair.gap_values(), expected)


@pytest.mark.parametrize("labels", [LABELS, SOFT])
def test_no_gradient_flows_through_the_gap(labels):
    value, grad = value_and_grad(
        lambda s: (
            ops.sum(pair_of(TEACHER, s, labels).gap_values()) + ops.sum(s)
        ),
        STUDENT,
    )
    assert value != pytest.approx(np.sum(STUDENT), abs=0.1)
    np.testing.assert_array_equal(grad, np.ones_like(STUDENT))


def test_the_gap_is_0_where_it_has_no_meaning():
    nothing = np.zeros(6, "float32")
    close(pair_of().gap_values(), nothing)
    close(pair_of(labels=LABELS, same_tokens=False).gap_values(), nothing)
    narrow = pair_of(TEACHER[:, :4], STUDENT, np.minimum(LABELS, 3))
    close(narrow.gap_values(), nothing)


def test_entries_of_weight_0_do_not_count():
    whole = pair_of().counted
    np.testing.assert_array_equal(ops.convert_to_numpy(whole), [True] * 6)
    counted = ops.convert_to_numpy(pair_of(weights=WEIGHTS).counted)
    assert counted.dtype == bool
    np.testing.assert_array_equal(counted, [0, 1, 1, 0, 1, 1])


def test_means_by_hand():
    values = ops.convert_to_tensor([9.0, 1.0, 2.0, float("nan"), 3.0, 6.0])
    pair = pair_of(weights=WEIGHTS)
    assert float(pair.mean(values)) == 12 / 4
    assert float(pair.weighted_mean(values)) == (2 + 1 + 3 + 6) / 4
    whole = pair_of()
    values = ops.convert_to_tensor([9.0, 1.0, 2.0, 0.0, 3.0, 6.0])
    assert float(whole.mean(values)) == 21 / 6
    assert float(whole.weighted_mean(values)) == 21 / 6


def test_a_scalar_for_each_entry():
    found = pair_of(*TOKENS[:2]).for_each_entry(ops.convert_to_tensor(1.5))
    close(found, np.full((2, 3), 1.5))


def test_the_argmax_logits_are_the_logits_unless_others_stand_for_them():
    pair = pair_of()
    assert pair.argmax_logits == (pair.teacher, pair.student)
    others = (ops.zeros((6, 5)), ops.ones((6, 5)))
    assert pair_of(argmax_pair=others).argmax_logits == others


def test_a_pair_without_a_distiller():
    mask = np.array([True, True, False, True, False, True])
    pair = LogitPair.of_logits(TEACHER, STUDENT, LABELS[:, None], mask)
    close(pair.teacher, TEACHER)
    close(pair.weights, mask.astype("float32"))
    np.testing.assert_array_equal(ops.convert_to_numpy(pair.labels), LABELS)
    # A single class is the positive one of two.
    one = LogitPair.of_logits(
        TEACHER[:, :1], STUDENT[:, :1], (LABELS > 2).astype("int32"), None
    )
    close(one.student, np.stack([np.zeros(6), STUDENT[:, 0]], axis=-1))
    positive = (LABELS > 2).astype("float32")
    close(one.labels, np.stack([1 - positive, positive], axis=-1))
    assert one.weights is None


def test_no_gradient_flows_into_the_teacher_of_a_pair():
    def loss(teacher):
        pair = LogitPair.of_logits(teacher, STUDENT, None, None)
        return ops.sum(pair.teacher * pair.student) + ops.sum(teacher)

    _, grad = value_and_grad(loss, TEACHER)
    np.testing.assert_array_equal(grad, np.ones_like(TEACHER))


@pytest.mark.parametrize(
    ("pair", "received"),
    [
        (pair_of(TEACHER[:, :4]), "4 of the teacher and 5 of the student"),
        (
            pair_of(same_tokens=False),
            "5 of the teacher and 5 other ones of the student",
        ),
    ],
)
def test_other_classes_are_refused_by_who_compares_them(pair, received):
    assert not pair.same_classes
    message = rf"`Somebody` compares .* class by class.*Received: {received}"
    with pytest.raises(ValueError, match=message):
        pair.check_same_classes("Somebody")


def test_the_same_classes_are_not_refused():
    pair = pair_of()
    assert pair.same_classes
    pair.check_same_classes("Somebody")


def test_pairs_are_compared_by_identity():
    pair, again = pair_of(), pair_of()
    assert pair == pair
    assert pair != again
    assert len({pair, again}) == 2


def test_the_gap_is_computed_in_float32():
    pair = LogitPair.of_logits(
        ops.cast(TEACHER, "bfloat16"),
        ops.cast(STUDENT, "bfloat16"),
        LABELS,
        None,
    )
    dtype = keras.backend.standardize_dtype(pair.gap_values().dtype)
    assert dtype == "float32"
