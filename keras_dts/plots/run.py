"""The picture of a training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_dts.plots.figure import (
    DASH_DOTTED,
    DASHED,
    DOTTED,
    SOLID,
    legend,
    palette,
    tidy,
)
from keras_dts.utils import require_matplotlib


class _Curve(NamedTuple):
    """One curve: its name in a history, its label, colour and line."""

    name: str
    label: str
    color: str
    line: Any


class _Panel(NamedTuple):
    """Curves that share an axis."""

    label: str
    curves: tuple[_Curve, ...]


_ACCURACIES = (
    "accuracy",
    "acc",
    "sparse_categorical_accuracy",
    "categorical_accuracy",
    "binary_accuracy",
)

_PANELS = (
    _Panel("temperature", (_Curve("temperature", "", "blue", SOLID),)),
    _Panel("gap (nats)", (_Curve("gap", "", "blue", SOLID),)),
    _Panel(
        "loss (nats)",
        (
            _Curve("loss", "total", "ink", SOLID),
            _Curve("student_loss", "student", "orange", DASHED),
            _Curve("distillation_loss", "distillation", "blue", DASH_DOTTED),
            _Curve("val_loss", "validation", "green", DOTTED),
        ),
    ),
    *(
        _Panel(
            "accuracy (%)",
            (
                _Curve(name, "training", "orange", SOLID),
                _Curve(f"val_{name}", "validation", "green", DOTTED),
            ),
        )
        for name in _ACCURACIES
    ),
)


def plot_run(
    history: keras.callbacks.History | dict[str, Any], ax: Any = None
) -> npt.NDArray[Any]:
    """Draws temperature, gap, losses and accuracy over the epochs.

    Each quantity in the history has a panel. From the top: the temperature; the
    gap in nats, which is above 0 while the student is behind its teacher; the
    losses in nats, where the distillation loss includes its factor, such as T²;
    the accuracy in %. The axis of the losses is logarithmic if they differ by
    more than a factor of 10. Epochs count from 1. A value is the mean of its
    epoch. NaNs are left out.

    Args:
        history: The `History` that `fit` returned, or its dictionary.
        ax: `None` for a new figure, or a `matplotlib.axes.Axes` for each
            panel, from the top. A new figure is not registered with
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
    panels = [_select(panel, values) for panel in _PANELS]
    panels = [panel for panel in panels if panel.curves]
    if not panels:
        raise ValueError(
            "`history` must hold a temperature, a gap, a loss or an accuracy "
            f"for at least one epoch. Received: {sorted(values)}"
        )
    axes = _new_axes(figure_class, panels) if ax is None else _as_array(ax)
    if len(axes) != len(panels):
        raise ValueError(
            f"`ax` must have one axes for each of the {len(panels)} panels "
            f"({', '.join(p.label for p in panels)}). Received: {len(axes)}"
        )
    for panel, its_axes in zip(panels, axes, strict=True):
        _draw(panel, its_axes, epochs, values)
    axes[-1].set_xlabel("epoch")
    return axes


def _read(
    history: keras.callbacks.History | dict[str, Any],
) -> tuple[list[int] | None, dict[str, Any]]:
    """Returns the epochs, or `None` for a dictionary, and the values."""
    if isinstance(history, keras.callbacks.History):
        return [epoch + 1 for epoch in history.epoch], history.history
    if isinstance(history, dict):
        return None, history
    raise ValueError(
        "`history` must be what `fit` returned, or its dictionary. Received: "
        f"{history!r} of type {type(history).__name__}"
    )


def _select(panel: _Panel, values: dict[str, Any]) -> _Panel:
    """Returns the panel with the curves that the history holds."""
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


def _as_array(ax: Any) -> npt.NDArray[Any]:
    axes: npt.NDArray[Any] = np.array(
        list(ax) if isinstance(ax, Iterable) else [ax], dtype=object
    ).ravel()
    return axes


def _spans_decades(panel: _Panel, values: dict[str, Any]) -> bool:
    """Returns whether all values are positive, some 10 times others."""
    drawn = np.concatenate([values[curve.name] for curve in panel.curves])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) == 0:
        return False
    return bool(np.min(drawn) > 0 and np.max(drawn) > 10 * np.min(drawn))


def _draw(
    panel: _Panel, axes: Any, epochs: list[int] | None, values: dict[str, Any]
) -> None:
    percent = "%" in panel.label
    colors = palette()
    for curve in panel.curves:
        y = np.asarray(values[curve.name], dtype=float)
        x = range(1, len(y) + 1) if epochs is None else epochs[-len(y) :]
        known = ~np.isnan(y)
        axes.plot(
            np.asarray(x)[known],
            100 * y[known] if percent else y[known],
            color=getattr(colors, curve.color),
            linestyle=curve.line,
            linewidth=1.6,
            # A single epoch draws no line.
            marker="o" if np.sum(known) == 1 else None,
            label=curve.label or panel.label,
        )
    if panel.label.startswith("loss") and _spans_decades(panel, values):
        axes.set_yscale("log")
    axes.set_ylabel(panel.label)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes.margins(x=0.02)
    tidy(axes)
    if panel.label.startswith("gap"):
        axes.axhline(0.0, color=colors.faint, linewidth=0.8)
    if any(curve.label for curve in panel.curves):
        legend(axes, "beside", handlelength=3.0)
