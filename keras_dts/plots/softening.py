"""The picture of a teacher's probabilities at several temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_dts.plots.classifiers import logits_of, names_of, softmax
from keras_dts.plots.figure import MARKERS, legend, new_axes, palette, tidy
from keras_dts.utils import check_count, check_number

# The end of the axis in %: a student learns nothing from less.
_LEAST = 0.001


def plot_softening(
    teacher: keras.Model,
    x: Any,
    temperatures: Sequence[float] = (1.0, 2.0, 4.0, 8.0),
    *,
    class_names: Sequence[str] | None = None,
    top: int = 10,
    from_logits: bool | str = "auto",
    ax: Any = None,
) -> Any:
    """Draws a teacher's probabilities of one example at several temperatures.

    Each temperature has a curve over the classes, the most probable first: the
    softmax of the logits divided by the temperature, in %, on a logarithmic
    axis down to 0.001 %. At a high temperature the curve is flat, and all
    classes contribute to the distillation loss. At a low temperature it falls
    steeply.

    Args:
        teacher: A classifier.
        x: The teacher's input; the first example is drawn.
        temperatures: One to six temperatures.
        class_names: `None`, or a name for each class.
        top: The highest number of classes that are shown.
        from_logits: Whether the teacher's outputs are logits. `"auto"` detects
            it as `keras_dts.Distiller` does.
        ax: `None` for a new figure, or a `matplotlib.axes.Axes`.

    Returns:
        The axes. The picture is `axes.figure`.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If a temperature is not positive, there are none or more
            than six, `top` is less than 1, or the teacher is no classifier.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts import plots
    >>> identity = keras.Sequential(
    ...     [keras.Input((3,)), keras.layers.Identity()]
    ... )
    >>> x = np.log([[0.1, 0.6, 0.3]])
    >>> axes = plots.plot_softening(identity, x, temperatures=[1.0, 2.0])
    >>> [text.get_text() for text in axes.get_xticklabels()]
    ['1', '2', '0']
    >>> np.round(axes.get_lines()[0].get_ydata())
    array([60., 30., 10.])
    """
    if not 1 <= len(temperatures) <= len(MARKERS):
        raise ValueError(
            f"`temperatures` must be one to {len(MARKERS)} numbers. Received: "
            f"{temperatures!r}"
        )
    for temperature in temperatures:
        check_number("temperatures", temperature, above=0.0)
    check_count("top", top)
    ax = new_axes(7.0, 3.6, ax)
    # Other forms than arrays, such as lists of strings, are not sliced.
    first = x[:1] if isinstance(x, np.ndarray) else x
    logits = logits_of("teacher", teacher, first, from_logits)[0]
    order = np.argsort(-logits, kind="stable")[:top]
    colors = palette()
    for i, temperature in enumerate(temperatures):
        ax.plot(
            range(len(order)),
            100 * softmax(logits / temperature)[order],
            **colors.curve(i),
            markersize=5,
            linewidth=1.6,
            label=f"T = {temperature:g}",
        )
    names = names_of(len(logits), class_names)
    shown = [names[i] for i in order]
    turned = {"rotation": 30, "ha": "right"} if max(map(len, shown)) > 6 else {}
    ax.set_xticks(range(len(order)), shown, **turned)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("class, the most probable first")
    ax.set_ylabel("teacher's probability (%)")
    tidy(ax, "y")
    lowest, _ = ax.get_ylim()
    ax.set_ylim(bottom=max(lowest, _LEAST))
    legend(ax, "beside", handlelength=3.5)
    return ax
