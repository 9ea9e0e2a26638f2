"""Figures, axes, colours and legends of all pictures."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_dts.utils import require, require_matplotlib

# Line styles distinguish curves without colour.
SOLID = "-"
DOTTED = (0, (1, 1))
DASHED = (0, (5, 1.5))
DASH_DOTTED = (0, (5, 1.5, 1, 1.5))
STYLES = (SOLID, DASHED, DASH_DOTTED, DOTTED)
MARKERS = "osD^vP"


class Palette(NamedTuple):
    """Colours for one background.

    Blue, green and orange are from the palette of Okabe and Ito, which
    colour-blind readers can distinguish.

    Attributes:
        ink: The colour of text.
        paper: The colour of the background.
        faint: The colour of grids and other secondary elements.
        blue: A colour of curves.
        green: A colour of curves.
        orange: A colour of curves.
        pale: A blue on which text is legible.
    """

    ink: Any
    paper: Any
    faint: Any
    blue: str
    green: str
    orange: str
    pale: str

    def curve(self, index: int) -> dict[str, Any]:
        """Returns colour, line and marker of one of up to six curves."""
        colors = self.blue, self.orange, self.green, self.ink
        return {
            "color": colors[index % len(colors)],
            "linestyle": STYLES[index % len(STYLES)],
            "marker": MARKERS[index],
        }


def palette() -> Palette:
    """Returns the colours for the background of Matplotlib's settings."""
    ink = _setting("text.color")
    paper = _setting("axes.facecolor", "figure.facecolor")
    faint = tuple(0.5 * a + 0.5 * b for a, b in zip(ink, paper, strict=True))
    if sum(paper) < sum(ink):
        return Palette(
            ink, paper, faint, "#56B4E9", "#2FD3A4", "#E69F00", "#1F4B66"
        )
    return Palette(
        ink, paper, faint, "#0072B2", "#009E73", "#D55E00", "#BFDBEC"
    )


def _setting(*names: str) -> Any:
    """Returns the first of some settings that is not clear, or white."""
    mpl, colors = require(
        "plots", "Pictures", "matplotlib", "matplotlib.colors"
    )
    for name in names:
        *rgb, opacity = colors.to_rgba(mpl.rcParams[name])
        if opacity > 0:
            return tuple(rgb)
    return 1.0, 1.0, 1.0


def legible(on: Any) -> Any:
    """Returns `ink` or `paper`, whichever has more contrast.

    Args:
        on: The colour behind the text: red, green and blue, from 0 to 1.
    """
    colors = palette()
    return max((colors.ink, colors.paper), key=lambda c: _contrast(c, on))


def _contrast(one: Any, other: Any) -> float:
    """Returns the contrast of two colours as WCAG defines it, from 1 to 21."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(color: Any) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in color[:3]
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def new_axes(width: float, height: float, ax: Any = None) -> Any:
    """Returns the given axes, or axes on a new figure.

    Args:
        width: The figure's width in inches.
        height: The figure's height in inches.
        ax: `None`, or the axes to return.
    """
    figure_class = require_matplotlib()
    if ax is not None:
        return ax
    figure = figure_class((width, height), dpi=150, layout="constrained")
    return figure.subplots()


def legend(ax: Any, place: str, **options: Any) -> None:
    """Draws the legend outside of the axes.

    Args:
        ax: The axes.
        place: `"beside"` the axes, or `"above"` them.
        **options: Other arguments of Matplotlib's `legend`.
    """
    corner, anchor = {
        "beside": ("upper left", (1.01, 1.0)),
        "above": ("lower left", (0.0, 1.02)),
    }[place]
    given = {"bbox_to_anchor": anchor, "frameon": False, "borderaxespad": 0.0}
    ax.legend(loc=corner, **(given | options))


def tidy(ax: Any, axis: str = "both", *, left: bool = True) -> None:
    """Draws a faint grid behind the curves, and removes the frame.

    Args:
        ax: The axes.
        axis: The lines of the grid: `"x"`, `"y"` or `"both"`.
        left: Whether to keep the left side of the frame.
    """
    colors = palette()
    ax.grid(axis=axis, color=colors.faint, alpha=0.3, linewidth=0.8)
    ax.set_axisbelow(True)
    sides = ["top", "right"] if left else ["top", "right", "left"]
    ax.spines[sides].set_visible(False)
