import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from helpers import number, value_and_grad

from keras_dts.losses import KD


def test_a_kl_divergence_by_scipy():
    rng = np.random.default_rng(0)
    teacher, student = 3 * rng.normal(size=(2, 5, 7))
    expected = 9 * np.mean(
        scipy.stats.entropy(
            scipy.special.softmax(teacher / 3, axis=-1),
            scipy.special.softmax(student / 3, axis=-1),
            axis=-1,
        )
    )
    value = KD(3.0).compute_loss(teacher, student)
    assert number(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distance", [1e-6, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("classes", [2, 10, 5_000])
def test_near_equality_it_is_as_exact_as_the_logits(classes, distance):
    rng = np.random.default_rng(classes)
    teacher = 5 * rng.normal(size=(20, classes)).astype("float32")
    student = teacher + distance * rng.normal(size=teacher.shape)
    student = student.astype("float32")
    log_p, log_q = (
        scipy.special.log_softmax(x.astype("float64"), axis=-1)
        for x in (teacher, student)
    )
    apart = log_p - log_q
    # Plain, it would be below 0 in float64 too.
    true = np.sum(np.exp(log_p) * (apart + np.expm1(-apart)), axis=-1)
    values = [
        number(KD(1.0).compute_loss(t[None], s[None]))
        for t, s in zip(teacher, student, strict=True)
    ]
    # Logits that are rounded to one part in 1e-7 move the divergence by about
    # that times its root. The plain sum is off by 1e-7 however small it is.
    assert np.all(np.abs(values - true) <= 1e-6 * np.sqrt(true) + 1e-6 * true)
    assert np.min(values) >= 0.0
    _, grad = value_and_grad(
        lambda s: KD(1.0).compute_loss(teacher, s), student
    )
    expected = (np.exp(log_q) - np.exp(log_p)) / len(teacher)
    np.testing.assert_allclose(grad, expected, atol=1e-7)


def test_extreme_logits_keep_their_gradient():
    teacher = np.array([[1e4, 0.0]], "float32")
    student = np.array([[0.0, 1e4]], "float32")
    value, grad = value_and_grad(
        lambda s: KD(1.0).compute_loss(teacher, s), student
    )
    assert value == pytest.approx(1e4)
    np.testing.assert_allclose(grad, [[-1.0, 1.0]], atol=1e-6)


def test_bfloat16_logits_are_promoted_first():
    rng = np.random.default_rng(3)
    teacher, student = (
        keras.ops.cast(x, "bfloat16") for x in rng.normal(size=(2, 4, 9))
    )
    value = KD(4.0).compute_loss(teacher, student)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    expected = KD(4.0).compute_loss(
        keras.ops.cast(teacher, "float32"), keras.ops.cast(student, "float32")
    )
    assert number(value) == number(expected)


def test_works_in_kerass_own_distiller():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(8, 4)).astype("float32")
    models = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        for _ in range(2)
    ]
    distiller = keras.distillation.Distiller(
        *models, KD(temperature=2.0), student_loss_weight=0.0
    )
    distiller.compile("sgd", "mse")
    logs = distiller.evaluate(x, np.zeros(8), return_dict=True, verbose=0)
    teacher, student = (model.predict(x, verbose=0) for model in models)
    expected = number(KD(2.0).compute_loss(teacher, student))
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-5)


def test_bad_temperature():
    message = r"`temperature` must be a positive number, .*Received: temp"
    for bad in (0.0, -1.0, "4", None.__class__):
        with pytest.raises(ValueError, match=message):
            KD(temperature=bad)
