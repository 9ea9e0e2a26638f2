"""Numbers are what float32 makes of them."""

import re

import keras
import pytest

from keras_dts.temperatures import ScheduledTemperature
from keras_dts.utils import check_number, check_temperature, check_weight


class Steps(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule with a value at the first step, and one for all others."""

    def __init__(self, first, then):
        self.values = (first, then)

    def __call__(self, step):
        return self.values[min(int(step), 1)]


@pytest.mark.parametrize(
    ("value", "limits"),
    [
        (1e39, {}),
        (-(10**400), {}),
        (float("nan"), {}),
        (1e-40, {"above": 0.0}),
        (1 - 1e-12, {"below": 1.0}),
        (True, {}),
        ("1", {}),
    ],
)
def test_a_number_that_float32_does_not_hold(value, limits):
    with pytest.raises(ValueError, match=r"^`weight` must be a finite number"):
        check_number("weight", value, **limits)


def test_numbers_at_their_limits():
    check_number("weight", 0.1, low=0.1, high=0.1)
    check_number("weight", 1e-40, low=0.0)
    check_number("weight", 2**24 + 1, low=2**24 + 1)


@pytest.mark.parametrize("value", [1e-19, 1e19, 0.0])
def test_a_temperature_whose_square_float32_does_not_hold(value):
    message = rf"^`temperature` must be .*temperature={re.escape(str(value))}$"
    with pytest.raises(ValueError, match=message):
        check_temperature("temperature", value)
    check_temperature("temperature", 1e-18)
    check_temperature("temperature", 1e18)


@pytest.mark.parametrize("first", [2.0, -0.5, float("nan"), float("inf")])
def test_a_schedule_that_begins_outside_of_its_range(first):
    message = (
        r"^`share` must be a schedule of finite numbers in its range. "
        rf"Received: a Steps that is {first} at step 0$"
    )
    with pytest.raises(ValueError, match=message):
        check_weight("share", Steps(first, 0.5), high=1.0)
    # What comes after the training is nobody's affair.
    check_weight("share", Steps(0.5, first), high=1.0)


def test_a_scheduled_temperature_may_begin_low_but_not_as_nan():
    ScheduledTemperature(Steps(0.0, 1.0))
    with pytest.raises(ValueError, match=r"^`schedule` .* that is nan at st"):
        ScheduledTemperature(Steps(float("nan"), 1.0))
