"""Pictures of trainings, of compared methods and of models' outputs.

Each function draws on a new figure, or on the given axes, and returns the axes.
Text, axes and grid follow Matplotlib's settings: pictures drawn inside
`matplotlib.style.context("dark_background")` are dark.
"""

from keras_dts.plots.agreement import plot_agreement
from keras_dts.plots.calibration import (
    expected_calibration_error,
    plot_calibration,
)
from keras_dts.plots.comparison import plot_comparison
from keras_dts.plots.layer_rates import plot_layer_rates
from keras_dts.plots.run import plot_run
from keras_dts.plots.softening import plot_softening

__all__ = [
    "expected_calibration_error",
    "plot_agreement",
    "plot_calibration",
    "plot_comparison",
    "plot_layer_rates",
    "plot_run",
    "plot_softening",
]
