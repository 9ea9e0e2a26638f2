import itertools
import json
import pathlib

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
from helpers import number, value_and_grad
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_dts.losses import KD

VECTORS = json.loads(
    (pathlib.Path(__file__).parent / "vectors/reference.json").read_text()
)
CASES = list(itertools.product(range(3), (1, 2, 4, 8)))


@pytest.mark.parametrize(("case", "temperature"), CASES)
def test_published_values_and_gradients(case, temperature):
    vector = VECTORS["losses"][case]
    expected = vector["expected"][f"kd_T{temperature}"]
    teacher = np.array(vector["teacher_logits"], "float64")
    student = np.array(vector["student_logits"], "float64")
    value, grad = value_and_grad(
        lambda s: KD(temperature).compute_loss(teacher, s),
        student.astype("float32"),
    )
    np.testing.assert_allclose(value, expected["value"], rtol=1e-5)
    reference = np.array(expected["grad_student"])
    np.testing.assert_allclose(
        grad, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max()
    )


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


@settings(deadline=None, print_blob=True, max_examples=50)
@given(
    logits=arrays("float32", (2, 3, 5), elements=st.floats(-50, 50, width=32)),
    temperature=st.floats(0.5, 20),
)
def test_never_negative_and_zero_at_equality(logits, temperature):
    loss = KD(temperature)
    teacher, student = logits
    assert number(loss.compute_loss(teacher, student)) >= -1e-3
    assert abs(number(loss.compute_loss(teacher, teacher))) <= 1e-4


@settings(deadline=None, print_blob=True, max_examples=20)
@given(order=st.permutations(range(5)))
def test_the_order_of_classes_does_not_matter(order):
    rng = np.random.default_rng(1)
    teacher, student = rng.normal(size=(2, 4, 5)).astype("float32")
    loss = KD(2.0)
    value = number(loss.compute_loss(teacher, student))
    shuffled = loss.compute_loss(teacher[:, order], student[:, order])
    assert number(shuffled) == pytest.approx(value, rel=1e-5)


def test_mask_equals_leaving_out():
    rng = np.random.default_rng(2)
    teacher, student = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    value = KD(2.0).compute_loss(teacher, student, mask=mask)
    expected = KD(2.0).compute_loss(teacher[mask], student[mask])
    assert number(value) == pytest.approx(number(expected), rel=1e-6)


def test_nothing_to_count_gives_zero():
    logits = np.ones((2, 3), "float32")
    value = KD(2.0).compute_loss(logits, 2 * logits, mask=np.zeros(2, bool))
    assert number(value) == 0.0


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


def test_config_round_trip():
    for loss in (KD(), KD(2.5)):
        config = keras.saving.serialize_keras_object(loss)
        again = keras.saving.deserialize_keras_object(config)
        assert again.get_config() == loss.get_config()
    assert again.temperature.bounds == (2.5, 2.5, 2.5)


def test_bad_temperature():
    message = r"`temperature` must be a positive number or a .*Received: "
    for bad in (0.0, -1.0, "4", None.__class__):
        with pytest.raises(ValueError, match=message):
            KD(temperature=bad)
