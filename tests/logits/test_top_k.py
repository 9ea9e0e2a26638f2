"""Distributions over the most probable classes and the rest."""

import numpy as np
from caches import top_k_kl
from keras import ops
from scipy.special import log_softmax, softmax

from keras_dts import losses
from keras_dts.logits import LogitPair, top_k
from keras_dts.temperatures import Temperatures


def test_top_k_divergences_are_divergences():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 200, 12)) * 3
    whole = np.sum(
        softmax(teacher, -1)
        * (log_softmax(teacher, -1) - log_softmax(student, -1)),
        axis=-1,
    )
    for k in (1, 5, 10):
        logits, classes = top_k.top_classes(
            ops.convert_to_tensor(teacher.astype("float32")), k
        )
        found = top_k_kl(teacher, student, k, 1.0)
        assert np.all(found > 0)
        assert np.all(found <= whole + 1e-9)
        pair = LogitPair.of_logits(
            logits, student.astype("float32"), None, None
        )
        pair = top_k.top_k_pair(pair, classes)
        values = losses.KD(1.0).values(pair, ones())
        np.testing.assert_allclose(
            ops.convert_to_numpy(values), found, rtol=1e-4, atol=1e-6
        )
        # A student with the teacher's logits has nothing to learn.
        pair = LogitPair.of_logits(
            logits, teacher.astype("float32"), None, None
        )
        pair = top_k.top_k_pair(pair, classes)
        values = ops.convert_to_numpy(losses.KD(1.0).values(pair, ones()))
        np.testing.assert_allclose(values, 0.0, atol=1e-6)


def ones():
    return Temperatures(*(ops.ones(()) for _ in range(3)))


def test_classes_that_the_student_lacks_have_no_probability():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 20, 12)) * 3
    logits, classes = top_k.top_classes(
        ops.convert_to_tensor(teacher.astype("float32")), 11 - 1
    )
    pair = LogitPair.of_logits(
        logits, student[:, :9].astype("float32"), None, None
    )
    pair = top_k.top_k_pair(pair, classes)
    known = ops.convert_to_numpy(classes) < 9
    assert not known.all()
    p, q = (
        ops.convert_to_numpy(ops.softmax(x))
        for x in (pair.teacher, pair.student)
    )
    assert np.all(p[:, :-1][~known] == 0)
    assert np.all(q[:, :-1][~known] == 0)
    ours = softmax(student[:, :9], -1)
    kept = np.where(known, ops.convert_to_numpy(classes), 0)
    expected = np.take_along_axis(ours, kept, 1)
    np.testing.assert_allclose(q[:, :-1][known], expected[known], rtol=1e-5)


def test_soft_labels_become_top_k_labels():
    classes = ops.convert_to_tensor(np.array([[2, 0], [1, 7]], "int32"))
    labels = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], "float32")
    found = top_k.top_k_labels(ops.convert_to_tensor(labels), classes)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), [[0.3, 0.1, 0.6], [0.3, 0.0, 0.7]], 1e-6
    )


def test_the_rest_is_no_class_to_choose():
    logits = np.array([[3.0, 2.0, 1.0, 0.0, -1.0]], "float32")
    student = np.array([[0.0, 1.0, 4.0, 3.9, 3.8]], "float32")
    log_probs, classes = top_k.top_classes(ops.convert_to_tensor(logits), 2)
    np.testing.assert_array_equal(ops.convert_to_numpy(classes), [[0, 1]])
    expected = log_softmax(logits)
    np.testing.assert_allclose(
        ops.convert_to_numpy(log_probs),
        [[*expected[0, :2], np.log(np.exp(expected[0, 2:]).sum())]],
        rtol=1e-6,
    )
    pair = LogitPair.of_logits(log_probs, student, None, None)
    teacher, ours = (
        ops.convert_to_numpy(x)
        for x in top_k.top_k_pair(pair, classes).argmax_logits
    )
    # The student's best class is one of the rest, and none of the teacher's.
    assert (np.argmax(teacher), np.argmax(ours)) == (0, 2)
    np.testing.assert_array_equal(ours, [[0.0, 1.0, 4.0]])


def test_class_indices_become_places_among_the_top_classes():
    classes = ops.convert_to_tensor(np.array([[2, 0], [1, 7]], "int32"))
    for labels, places in (([2, 1], [0, 0]), ([0, 3], [1, 2])):
        labels = ops.convert_to_tensor(np.array(labels, "int32"))
        found = ops.convert_to_numpy(top_k.top_k_labels(labels, classes))
        np.testing.assert_array_equal(found, places)
