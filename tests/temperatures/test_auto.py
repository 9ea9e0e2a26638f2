"""The temperature that needs no search."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp, number, randomize
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.temperatures import AutoTemperature

X, Y = blobs()


def by_hand(batches):
    """The rule in plain NumPy: the temperature of each batch."""
    away = spread = None
    temperatures = []
    for teacher, student in batches:
        now = np.mean(teacher.argmax(-1) != student.argmax(-1))
        wide = np.mean(np.std(teacher, axis=-1, ddof=1))
        away = now if away is None else 0.95 * away + 0.05 * now
        spread = wide if spread is None else 0.99 * spread + 0.01 * wide
        warmth = min(max(1 - away / 0.01, 0), 1)
        temperatures.append(1 + (max(spread, 1) - 1) * warmth)
    return temperatures


def test_it_warms_as_the_student_catches_up():
    rng = np.random.default_rng(0)
    batches = []
    for step in range(200):
        teacher = 5 * rng.normal(size=(8, 4)).astype("float32")
        noise = 9.0 * 0.9**step * rng.normal(size=(8, 4))
        batches.append((teacher, teacher + noise.astype("float32")))
    # And falls behind again.
    batches += [(teacher, -student) for teacher, student in batches[-3:]]
    policy = AutoTemperature()
    temperatures = [
        number(policy(*batch, training=True).student) for batch in batches
    ]
    expected = by_hand(batches)
    np.testing.assert_allclose(temperatures, expected, rtol=1e-4)
    assert expected[0] == 1.0
    assert expected[-4] > 4.0
    assert expected[-1] == 1.0


def test_a_constant_added_to_logits_changes_nothing():
    rng = np.random.default_rng(1)
    teacher = 5 * rng.normal(size=(8, 4)).astype("float32")
    student = teacher + 0.1 * rng.normal(size=(8, 4)).astype("float32")
    plain, moved = AutoTemperature(), AutoTemperature()
    first = plain(teacher, student, training=True)
    second = moved(teacher + 7.0, student - 3.0, training=True)
    assert number(first.student) > 1.5
    assert number(second.student) == pytest.approx(number(first.student), 1e-4)


@settings(deadline=None, print_blob=True, max_examples=40)
@given(
    logits=arrays(
        "float32",
        (2, 3, 4),
        elements=st.floats(allow_nan=True, allow_infinity=True, width=32),
    )
)
def test_it_is_never_below_1_nor_above_the_spread(logits):
    policy = AutoTemperature()
    teacher = np.array([[9.0, 0.0, -9.0, 0.0]] * 3, "float32")
    policy(teacher, teacher, training=True)
    before = number(policy.spread)
    now = number(policy(*logits, training=True).student)
    assert 1.0 <= now <= max(1.0, number(policy.spread)) + 1e-3
    if not np.all(np.isfinite(logits)):
        assert number(policy.spread) == before


def test_what_counts_nowhere_tells_nothing():
    policy = AutoTemperature()
    teacher = np.array([[9.0, 0.0, -9.0]], "float32")
    policy(teacher, teacher, training=True)
    policy(teacher, -teacher, mask=np.zeros(1, bool), training=True)
    assert number(policy(teacher, teacher).student) == 9.0
    assert number(policy.observed) == 1.0


@pytest.mark.parametrize(
    "temperature",
    ["auto", pytest.param(AutoTemperature(), marks=pytest.mark.torch)],
)
def test_auto_is_a_temperature(temperature):
    teacher, student = (randomize(mlp(4), seed=1, scale=1.5) for _ in range(2))
    student.layers[-1].kernel.assign(-student.layers[-1].kernel)
    distiller = Distiller(teacher, student, temperature=temperature)
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())

    def temperatures(epochs):
        x, y = (np.concatenate([part] * 10) for part in (X, Y))
        fit = distiller.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
        return fit.history["temperature"]

    # It never chooses as its teacher does; then always, for 200 steps.
    assert temperatures(2) == [1.0, 1.0]
    student.set_weights(teacher.get_weights())
    history = temperatures(20)
    assert np.all(np.diff(history) > -1e-3)
    logits = teacher.predict(X, verbose=0)
    spread = np.mean(np.std(logits, axis=-1, ddof=1))
    assert spread > 1.5
    assert history[-1] == pytest.approx(spread, rel=0.01)


def test_dts_takes_its_height_and_range_from_auto():
    teacher = np.array([[9.0, 0.0, -9.0]], "float32")
    policy = DynamicTemperature("auto", momentum=0.0, gap_scale=None)
    for progress, expected in ((0.0, 9.0), (0.5, 4.5), (1.0, 1.0)):
        policy.progress.assign(progress)
        answer = policy(teacher, teacher, training=True)
        assert number(answer.student) == pytest.approx(expected, rel=1e-5)
    assert policy.bounds == pytest.approx((9.0, 1.0, 9.0))
    bounded = DynamicTemperature("auto", 2.0, 6.0, momentum=0.0)
    assert number(bounded(teacher, teacher, training=True).student) == 6.0
    assert bounded.get_config()["minimum"] == 2.0


def test_the_dts_callback_drives_auto_and_leaves_its_bounds():
    for callback in (None, DTS()):
        distiller = Distiller(
            mlp(16, seed=1),
            mlp(seed=2),
            temperature=DynamicTemperature("auto"),
        )
        distiller.compile("adam", crossentropy())
        distiller.fit(
            X, Y, epochs=3, callbacks=callback and [callback], verbose=0
        )
        assert number(distiller.temperature.progress) == 1.0
        assert number(distiller.temperature.maximum) > 1.0
    with pytest.raises(ValueError, match=r'`initial="auto"` chooses its boun'):
        distiller.fit(X, Y, callbacks=[DTS(initial=8.0)], verbose=0)
