"""The methods that `keras-dts compare` knows."""

from __future__ import annotations

from keras_dts.comparison import Method
from keras_dts.distiller import Distiller
from keras_dts.temperatures.dynamic import DynamicTemperature

# By the name on the command line, in the order of the table: the name in the
# table, and what makes of teacher `t` and student `s` the model to fit.
METHODS: dict[str, tuple[str, Method]] = {
    "alone": ("student alone", lambda t, s: s),
    "kd-1": ("KD, T=1", lambda t, s: Distiller(t, s, temperature=1.0)),
    "kd-2": ("KD, T=2", lambda t, s: Distiller(t, s, temperature=2.0)),
    "kd-4": ("KD, T=4", lambda t, s: Distiller(t, s, temperature=4.0)),
    "kd-8": ("KD, T=8", lambda t, s: Distiller(t, s, temperature=8.0)),
    "dts": (
        "DTS, 8 to 4",
        lambda t, s: Distiller(
            t, s, temperature=DynamicTemperature(8.0, 4.0, 8.0)
        ),
    ),
    "dts-4-2": (
        "DTS, 4 to 2",
        lambda t, s: Distiller(
            t, s, temperature=DynamicTemperature(4.0, 2.0, 4.0)
        ),
    ),
    "dts-smooth": (
        "DTS, smooth gap",
        lambda t, s: Distiller(
            t,
            s,
            temperature=DynamicTemperature(8.0, 4.0, 8.0, gap_scale="smooth"),
        ),
    ),
}
