"""Pictures of a training run, and of a comparison of several."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_dts._optional import require
from keras_dts.results import Comparison

__all__ = ["plot_comparison", "plot_run"]


class _Curve(NamedTuple):
    """One curve: its name in a history, its label, and how it looks."""

    name: str
    label: str
    color: str
    line: Any


class _Panel(NamedTuple):
    """Curves that share an axis."""

    label: str
    curves: tuple[_Curve, ...]


# Colours of Okabe and Ito, which colour-blind readers can tell apart. The
# line styles tell the curves apart without colour.
_BLACK, _BLUE, _GREEN, _ORANGE = "#000000", "#0072B2", "#009E73", "#D55E00"
_PALE_BLUE = "#BFDBEC"
_DOTTED = (0, (1, 1))
_DASHED = (0, (5, 1.5))
_DASH_DOTTED = (0, (5, 1.5, 1, 1.5))

_ACCURACIES = (
    "accuracy",
    "acc",
    "sparse_categorical_accuracy",
    "categorical_accuracy",
    "binary_accuracy",
)

_PANELS = (
    _Panel("temperature", (_Curve("temperature", "", _BLUE, "-"),)),
    _Panel("gap (nats)", (_Curve("gap", "", _BLUE, "-"),)),
    _Panel(
        "loss (nats)",
        (
            _Curve("loss", "total", _BLACK, "-"),
            _Curve("student_loss", "student", _ORANGE, _DASHED),
            _Curve("distillation_loss", "distillation", _BLUE, _DASH_DOTTED),
            _Curve("val_loss", "validation", _GREEN, _DOTTED),
        ),
    ),
    *(
        _Panel(
            "accuracy (%)",
            (
                _Curve(name, "training", _ORANGE, "-"),
                _Curve(f"val_{name}", "validation", _GREEN, _DOTTED),
            ),
        )
        for name in _ACCURACIES
    ),
)


def plot_run(
    history: keras.callbacks.History | dict[str, Any], ax: Any = None
) -> npt.NDArray[Any]:
    """Draws how temperature, gap, losses and accuracy moved over the epochs.

    One panel for each of these that the history holds, in this order, one
    above the other over one axis of epochs: the temperature; the gap, in
    nats, above 0 while the student is behind its teacher; the losses, in
    nats, the distillation loss with its factor, such as T², on a logarithmic
    axis where they differ by more than a factor of 10; the accuracy, in %.
    Epochs count from 1, and each value is the epoch's mean.

    Args:
        history: What `fit` returned, or its `history` dictionary.
        ax: `None` for a new figure, or a `matplotlib.axes.Axes` for each
            panel, from the top. A new figure is not known to
            `matplotlib.pyplot`: it needs no display and no closing.

    Returns:
        The axes, one for each panel, from the top, shape `(panels,)`. The
        picture is `axes[0].figure`.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If the history holds nothing to draw, or `ax` has not one
            axes for each panel.

    Example:
    >>> from keras_dts import plots
    >>> history = {"temperature": [8.0, 5.5, 4.0], "gap": [1.2, 0.4, 0.1]}
    >>> axes = plots.plot_run(history)
    >>> [panel.get_ylabel() for panel in axes]
    ['temperature', 'gap (nats)']
    >>> axes[0].figure.savefig("run.png")  # doctest: +SKIP
    """
    figure_class = require_matplotlib()
    epochs, values = _read(history)
    panels = [
        found for panel in _PANELS if (found := _held(panel, values)).curves
    ]
    if not panels:
        raise ValueError(
            "`history` must hold a temperature, a gap, a loss or an accuracy "
            f"for at least one epoch. Received: {sorted(values)}"
        )
    axes = _new_axes(figure_class, panels) if ax is None else _listed(ax)
    if len(axes) != len(panels):
        raise ValueError(
            f"`ax` must have one axes for each of the {len(panels)} panels "
            f"({', '.join(p.label for p in panels)}). Received: {len(axes)}"
        )
    for panel, its_axes in zip(panels, axes, strict=True):
        _draw(panel, its_axes, epochs, values)
    axes[-1].set_xlabel("epoch")
    return axes


def plot_comparison(comparison: Comparison, ax: Any = None) -> Any:
    """Draws what each method came to, one below the other.

    A row for each method, in the order of the comparison: a dot for each
    seed, a line at their mean, a band of one standard deviation to either
    side, and the figures at the right. A dotted line goes down from the first
    method's mean. A teacher that was measured is named below the axis.

    Args:
        comparison: What `keras_dts.compare` returned.
        ax: `None` for a new figure, as high as the methods need, or a
            `matplotlib.axes.Axes`. A new figure is not known to
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
    figure_class = require_matplotlib()
    rows = comparison.rows
    if ax is None:
        height = 1.3 + 0.3 * len(rows)
        figure = figure_class((7.0, height), dpi=150, layout="constrained")
        ax = figure.subplots()
    factor = 100 if comparison.in_percent else 1
    y = np.arange(len(rows))
    means = factor * np.array([row.mean for row in rows])
    if len(comparison.seeds) > 1:
        stds = factor * np.array([row.std for row in rows])
        ax.barh(y, 2 * stds, 0.6, means - stds, color=_PALE_BLUE, label="± std")
    ax.vlines(means, y - 0.3, y + 0.3, _BLACK, linewidth=1.8, label="mean")
    ax.scatter(
        [factor * value for row in rows for value in row.values],
        # One below the other, since seeds may come to the same.
        [place for i in y for place in i + _spread(len(rows[i].values))],
        s=30,
        color=_BLUE,
        edgecolor="white",
        linewidth=0.6,
        label="one seed",
        zorder=3,
    )
    ax.axvline(means[0], color="0.5", linewidth=0.8, linestyle=":", zorder=0)
    _lay_out(comparison, ax)
    return ax


def require_matplotlib() -> Any:
    """Returns Matplotlib's `Figure`, or says how to install it.

    Raises:
        ImportError: If Matplotlib is missing.
    """
    (figure,) = require("plots", "Pictures", "matplotlib.figure")
    return figure.Figure


def _spread(seeds: int) -> npt.NDArray[Any]:
    """Returns how far from the middle of its row each seed's dot lies."""
    return np.linspace(-0.18, 0.18, seeds) if seeds > 1 else np.zeros(1)


def _lay_out(comparison: Comparison, ax: Any) -> None:
    """Names the rows, writes their figures beside them, and the legend."""
    rows = comparison.rows
    for i, text in enumerate(comparison.texts(rows)):
        # Right of the axes: x counts their width, y the rows.
        place = (1.02, i)
        side = ax.get_yaxis_transform()
        ax.text(*place, text, va="center_baseline", transform=side)
    ax.set_yticks(range(len(rows)), [row.method for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.use_sticky_edges = False
    ax.margins(x=0.04)
    label = comparison.label
    if comparison.teacher is not None:
        (value,) = comparison.texts([comparison.teacher])
        label += f"; the teacher's is {value}"
    ax.set_xlabel(label)
    ax.grid(axis="x", color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        frameon=False,
        borderaxespad=0.0,
    )


def _read(
    history: keras.callbacks.History | dict[str, Any],
) -> tuple[list[int] | None, dict[str, Any]]:
    """Returns the epochs, where the history knows them, and the values."""
    if isinstance(history, keras.callbacks.History):
        return [epoch + 1 for epoch in history.epoch], history.history
    if isinstance(history, dict):
        return None, history
    raise ValueError(
        "`history` must be what `fit` returned, or its dictionary. Received: "
        f"{history!r} of type {type(history).__name__}"
    )


def _held(panel: _Panel, values: dict[str, Any]) -> _Panel:
    """Returns the panel with those of its curves that the history holds."""
    curves = (
        curve for curve in panel.curves if len(values.get(curve.name, ()))
    )
    return panel._replace(curves=tuple(curves))


def _new_axes(figure_class: Any, panels: list[_Panel]) -> npt.NDArray[Any]:
    figure = figure_class(
        figsize=(7.0, 0.7 + 1.7 * len(panels)), dpi=150, layout="constrained"
    )
    axes: npt.NDArray[Any] = figure.subplots(
        len(panels), sharex=True, squeeze=False
    )[:, 0]
    figure.align_ylabels(axes)
    return axes


def _listed(ax: Any) -> npt.NDArray[Any]:
    listed: npt.NDArray[Any] = np.array(
        list(ax) if isinstance(ax, Iterable) else [ax], dtype=object
    ).ravel()
    return listed


def _spans_decades(panel: _Panel, values: dict[str, Any]) -> bool:
    """Whether the curves are positive and differ by a factor above 10."""
    drawn = np.concatenate([values[curve.name] for curve in panel.curves])
    return bool(np.min(drawn) > 0 and np.max(drawn) > 10 * np.min(drawn))


def _draw(
    panel: _Panel, axes: Any, epochs: list[int] | None, values: dict[str, Any]
) -> None:
    percent = "%" in panel.label
    for curve in panel.curves:
        y = np.asarray(values[curve.name], dtype=float)
        x = range(1, len(y) + 1) if epochs is None else epochs[-len(y) :]
        axes.plot(
            x,
            100 * y if percent else y,
            color=curve.color,
            linestyle=curve.line,
            linewidth=1.6,
            # A single epoch draws no line.
            marker="o" if len(y) == 1 else None,
            label=curve.label or panel.label,
        )
    if panel.label.startswith("loss") and _spans_decades(panel, values):
        axes.set_yscale("log")
    axes.set_ylabel(panel.label)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.margins(x=0.02)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if panel.label.startswith("gap"):
        axes.axhline(0.0, color="0.5", linewidth=0.8)
    if any(curve.label for curve in panel.curves):
        # Beside the panel, where no curve can be.
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1.0),
            frameon=False,
            handlelength=3.0,
            borderaxespad=0.0,
        )
