"""The picture of compared methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from keras_dts.plots.classifiers import plain
from keras_dts.plots.figure import legend, new_axes, palette, tidy
from keras_dts.results import Comparison


def plot_comparison(comparison: Comparison, ax: Any = None) -> Any:
    """Draws the results of compared methods, a row for each method.

    The rows are in the order of the comparison. A row has a dot for each seed,
    a line at the mean, a band of one standard deviation on either side, and the
    numbers at the right. A dotted line marks the first method's mean in all
    rows. The label of the axis has the teacher's result, if it was measured.

    Args:
        comparison: The result of `keras_dts.compare`.
        ax: `None` for a new figure, which is as high as the methods need, or a
            `matplotlib.axes.Axes`. A new figure is not registered with
            `matplotlib.pyplot`: it needs no display and no closing.

    Returns:
        The axes. The picture is `axes.figure`.

    Raises:
        ImportError: If Matplotlib is missing.

    Example:
    >>> from keras_dts import plots
    >>> from keras_dts.results import Comparison, Row
    >>> rows = [
    ...     Row("student alone", 1_210, [0.91, 0.92], [1.4, 1.3]),
    ...     Row("DTS", 1_210, [0.93, 0.92], [3.0, 3.1]),
    ... ]
    >>> comparison = Comparison(rows, [0, 1], "accuracy", {"keras": "3.15"})
    >>> axes = plots.plot_comparison(comparison)
    >>> axes.get_xlabel(), [t.get_text() for t in axes.get_yticklabels()]
    ('test accuracy (%)', ['student alone', 'DTS'])
    >>> axes.figure.savefig("comparison.png")  # doctest: +SKIP
    """
    rows = comparison.rows
    ax = new_axes(7.0, 1.3 + 0.3 * len(rows), ax)
    colors = palette()
    factor = 100 if comparison.in_percent else 1
    y = np.arange(len(rows))
    means = factor * np.array([row.mean for row in rows])
    if len(comparison.seeds) > 1:
        stds = factor * np.array([row.std for row in rows])
        ax.barh(
            y, 2 * stds, 0.6, means - stds, color=colors.pale, label="± std"
        )
    ax.vlines(means, y - 0.3, y + 0.3, colors.ink, linewidth=1.8, label="mean")
    ax.scatter(
        [factor * value for row in rows for value in row.values],
        # One below the other, since seeds may have equal values.
        [place for i in y for place in i + _spread(len(rows[i].values))],
        s=30,
        color=colors.blue,
        edgecolor=colors.paper,
        linewidth=0.6,
        label="one seed",
        zorder=3,
    )
    ax.axvline(
        means[0], color=colors.faint, linewidth=0.8, linestyle=":", zorder=0
    )
    _lay_out(comparison, ax)
    return ax


def _spread(seeds: int) -> npt.NDArray[Any]:
    """Returns the distance of each seed's dot from the middle of its row."""
    return np.linspace(-0.18, 0.18, seeds) if seeds > 1 else np.zeros(1)


def _lay_out(comparison: Comparison, ax: Any) -> None:
    """Writes the names of the rows, their numbers and the legend."""
    rows = comparison.rows
    for i, text in enumerate(comparison.texts(rows)):
        # Right of the axes: x in units of their width, y in rows.
        place = (1.02, i)
        side = ax.get_yaxis_transform()
        ax.text(*place, text, va="center_baseline", transform=side)
    ax.set_yticks(range(len(rows)), [plain(row.method) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.use_sticky_edges = False
    ax.margins(x=0.04)
    label = plain(comparison.label)
    if comparison.teacher is not None:
        (value,) = comparison.texts([comparison.teacher])
        label += f"; the teacher's is {value}"
    ax.set_xlabel(label)
    tidy(ax, "x", left=False)
    legend(ax, "above", bbox_to_anchor=(0.0, 1.0), ncols=3)
