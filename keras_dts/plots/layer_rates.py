"""The picture of the learning rates of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_dts.plots.classifiers import plain
from keras_dts.plots.figure import new_axes, palette, tidy


def plot_layer_rates(
    table: Sequence[tuple[str, float, float]], ax: Any = None
) -> Any:
    """Draws the exponents of layers, and the multipliers of their rates.

    Each row is a layer, in the order of the model, with a dot at the exponent
    of its eigenvalues and the multiplier of its learning rate beside it.
    A layer on the left has the heavier tail, and the lower rate.

    Args:
        table: One `(layer, exponent, multiplier)` for each layer, as
            `keras_dts.callbacks.TempBalance.table` has them.
        ax: `None` for a new figure, or a `matplotlib.axes.Axes`.

    Returns:
        The axes. The picture is `axes.figure`.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If the table is empty.

    Example:
    >>> from keras_dts import plots
    >>> table = [("conv_1", 2.1, 0.5), ("conv_2", 3.4, 1.5)]
    >>> axes = plots.plot_layer_rates(table)
    >>> [text.get_text() for text in axes.texts]
    ['0.50', '1.50']
    """
    rows = list(table)
    if not rows:
        raise ValueError(
            "`table` must hold at least one layer. Received: an empty table"
        )
    ax = new_axes(6.0, 1.1 + 0.26 * len(rows), ax)
    colors = palette()
    places = np.arange(len(rows))
    alphas = np.array([alpha for _, alpha, _ in rows])
    ax.hlines(places, alphas.min(), alphas, color=colors.faint, linewidth=0.8)
    ax.plot(alphas, places, "o", color=colors.blue, markersize=6)
    for place, (_, _, multiplier) in zip(places, rows, strict=True):
        ax.text(
            1.02,
            place,
            f"{multiplier:.2f}",
            va="center_baseline",
            transform=ax.get_yaxis_transform(),
        )
    ax.set_yticks(places, [plain(name) for name, _, _ in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.04)
    ax.set_xlabel("exponent; beside it the multiplier of the learning rate")
    tidy(ax, "x", left=False)
    return ax
