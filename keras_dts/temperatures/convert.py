"""What may be given where a temperature is wanted."""

from __future__ import annotations

from keras_dts.temperatures.auto import AutoTemperature
from keras_dts.temperatures.base import Temperature
from keras_dts.temperatures.dynamic import DynamicTemperature
from keras_dts.temperatures.scheduled import ScheduledTemperature
from keras_dts.utils import Schedule, check_first, check_temperature

# What a loss and a distiller soften with when nothing else is given.
DEFAULT_TEMPERATURE = 4.0


def to_policy(
    temperature: float | str | Schedule | Temperature,
    name: str = "temperature",
) -> Temperature:
    """Returns the policy that is meant: a number is the one that holds it.

    Args:
        temperature: What came.
        name: The argument's name, for the message.

    Raises:
        ValueError: If it is none of them, or a number that is not positive.
    """
    if isinstance(temperature, Temperature):
        return temperature
    if isinstance(temperature, Schedule):
        check_first(name, temperature)
        return ScheduledTemperature(temperature)
    if isinstance(temperature, str) and temperature == "auto":
        return AutoTemperature()
    try:
        check_temperature(name, temperature)
    except ValueError as error:
        raise ValueError(
            f'`{name}` must be a positive number, 1e-18 to 1e18, "auto", a '
            "`keras.optimizers.schedules` object or a "
            "`keras_dts.temperatures.Temperature`. Received: "
            f"{name}={temperature!r}"
        ) from error
    value = float(temperature)
    return DynamicTemperature(value, minimum=value, maximum=value)
