import json
import math
import pathlib

import keras
import numpy as np
import pytest
from helpers import number
from hypothesis import given, settings, strategies as st

from keras_dts import DynamicTemperature
from keras_dts.temperatures.gap_scale import reference_scale, smooth_scale

VECTORS = json.loads(
    (pathlib.Path(__file__).parents[1] / "vectors/reference.json").read_text()
)


@pytest.mark.parametrize("case", range(6))
def test_published_trajectories(case):
    vector = VECTORS["dts"][case]
    policy = DynamicTemperature(
        vector["initial"],
        vector["minimum"],
        vector["maximum"],
        momentum=vector["momentum"],
        curve=vector["curve_shape"],
        gap_scale="reference" if vector["adaptive"] else None,
    )
    epochs, steps = vector["epochs"], vector["steps_per_epoch"]
    temperatures = []
    for step, difference in enumerate(vector["gap_teacher_minus_student"]):
        policy.progress.assign((step // steps + 1) / epochs)
        temperatures.append(number(policy.update(-difference)))
    np.testing.assert_allclose(
        temperatures, vector["temperature_after_each_step"], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("gap", "scale"),
    [
        (-5.0, 1.0),
        (0.0, 1.0),
        (1.0, 1.0),
        (1.5, 1.35),  # 3 is more than 2
        (2.0, 2.0),  # not more than 2
        (3.0, 1.5),
        (11.0, 1.1),
    ],
)
def test_reference_scale(gap, scale):
    gap = keras.ops.convert_to_tensor(gap)
    assert number(reference_scale(gap)) == pytest.approx(scale, abs=1e-6)


def test_smooth_scale_is_continuous_and_never_decreases():
    gaps = np.linspace(-2, 20, 2001).astype("float32")
    scales = keras.ops.convert_to_numpy(smooth_scale(keras.ops.array(gaps)))
    assert scales[0] == 1.0
    assert number(smooth_scale(keras.ops.array(1.0))) == pytest.approx(1.5)
    assert np.all(np.diff(scales) >= 0)
    assert np.max(np.diff(scales)) < 0.012  # the slope is at most 1


def test_one_step_by_hand():
    policy = DynamicTemperature(8.0, 1.0, 8.0, momentum=0.5, curve=0.5)
    policy.progress.assign(0.8)
    cosine = 0.5 * (1 + math.cos(0.4 * math.pi))
    # A gap of 3 scales by 3 / 2.
    expected = 0.5 * 8.0 + 0.5 * min(8.0 * cosine * 1.5, 8.0)
    assert number(policy.update(3.0)) == pytest.approx(expected, rel=1e-6)
    assert number(policy.temperature) == pytest.approx(expected, rel=1e-6)


def logits(seed=0, shape=(4, 3)):
    rng = np.random.default_rng(seed)
    return keras.ops.array(rng.normal(size=shape).astype("float32"))


@pytest.mark.parametrize(("update", "used"), [("before", 3.0), ("after", 4.0)])
def test_update_uses_the_gap_for_this_step_or_the_next(update, used):
    policy = DynamicTemperature(
        4.0, 2.0, 4.0, momentum=0.5, gap_scale=None, update=update
    )
    policy.progress.assign(1.0)
    temperatures = policy(logits(), logits(1), training=True)
    assert number(temperatures.student) == pytest.approx(used)
    assert number(temperatures.teacher) == pytest.approx(used)
    assert number(temperatures.scale) == pytest.approx(used**2)
    assert number(policy.temperature) == pytest.approx(3.0)


def test_inference_changes_nothing():
    policy = DynamicTemperature(4.0, 2.0, 4.0)
    policy.progress.assign(1.0)
    for training in (False, None):
        temperatures = policy(logits(), logits(1), training=training)
        assert number(temperatures.student) == 4.0
    assert number(policy.temperature) == 4.0


def test_gap_counts_unmasked_entries_only():
    teacher = np.zeros((2, 2), "float32")
    student = np.array([[0.0, 2.0], [50.0, 0.0]], "float32")
    policy = DynamicTemperature(4.0, 1.0, 9.0, momentum=0.0, gap_scale="smooth")
    policy(
        teacher,
        student,
        labels=np.array([0, 1], "int32"),
        mask=np.array([True, False]),
        training=True,
    )
    gap = math.log1p(math.exp(2.0)) - math.log(2.0)
    expected = 4.0 * (1 + gap / (1 + gap))
    assert number(policy.temperature) == pytest.approx(expected, rel=1e-6)


def test_step_granularity_moves_the_cosine_inside_an_epoch():
    policy = DynamicTemperature(
        4.0, 1.0, 4.0, momentum=0.0, gap_scale=None, granularity="step"
    )
    policy.progress_per_step.assign(0.25)
    temperatures = [number(policy.update(0.0)) for _ in range(5)]
    cosines = [0.5 * (1 + math.cos(math.pi * p / 4)) for p in range(1, 5)]
    expected = [max(1.0, 4.0 * c) for c in cosines]
    np.testing.assert_allclose(temperatures, [*expected, 1.0], rtol=1e-6)


@settings(deadline=None, print_blob=True, max_examples=50)
@given(
    gaps=st.lists(
        st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=8
    ),
    progress=st.floats(0, 1),
    scale=st.sampled_from([None, "reference", "smooth"]),
)
def test_temperature_stays_between_its_bounds(gaps, progress, scale):
    policy = DynamicTemperature(3.0, 2.0, 5.0, gap_scale=scale)
    policy.progress.assign(progress)
    for gap in gaps:
        assert 2.0 - 1e-5 <= number(policy.update(gap)) <= 5.0 + 1e-5


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf])
def test_an_unusable_gap_leaves_the_cosine(gap):
    policies = [DynamicTemperature(4.0, 1.0, 4.0) for _ in range(2)]
    for policy in policies:
        policy.progress.assign(0.5)
    assert number(policies[0].update(gap)) == number(policies[1].update(0.0))


def test_config_keeps_arguments_and_bounds():
    policy = DynamicTemperature(
        3.3,
        1.1,
        6.6,
        momentum=0.8,
        curve=0.7,
        gap_scale="smooth",
        update="after",
        granularity="step",
    )
    config = policy.get_config()
    again = DynamicTemperature.from_config(config)
    assert again.bounds == (3.3, 1.1, 6.6)
    assert again.get_config() == config


def test_new_bounds_start_anew_and_the_same_bounds_go_on():
    policy = DynamicTemperature(3.3, 1.1, 6.6)
    policy.temperature.assign(2.0)
    policy.set_bounds(3.3, 1.1, 6.6)
    assert number(policy.temperature) == 2.0
    policy.set_bounds(5.0, 1.1, 6.6)
    assert number(policy.temperature) == 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"initial": 0.0},
            r"`initial` must be a finite number, greater than 0",
        ),
        ({"minimum": -1.0}, r"`minimum` .*greater than 0.*minimum=-1.0"),
        ({"maximum": math.inf}, r"`maximum` must be a finite number"),
        ({"initial": True}, r"`initial` .*Received: initial=True"),
        (
            {"minimum": 5.0, "maximum": 4.0},
            r"`minimum` must be at most `maximum`\. Received: minimum=5\.0",
        ),
        ({"momentum": 1.0}, r"`momentum` .*less than 1"),
        ({"curve": 0}, r"`curve` .*greater than 0"),
        ({"gap_scale": "log"}, r"`gap_scale` must be one of None, 'reference'"),
        ({"update": "never"}, r"`update` must be one of 'before', 'after'"),
        ({"granularity": "batch"}, r"`granularity` must be one of 'epoch'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DynamicTemperature(**arguments)
