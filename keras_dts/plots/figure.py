"""What all pictures share: figures, colours, and how axes look."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras_dts.utils import require, require_matplotlib

# Line styles tell curves apart without colour.
SOLID = "-"
DOTTED = (0, (1, 1))
DASHED = (0, (5, 1.5))
DASH_DOTTED = (0, (5, 1.5, 1, 1.5))
STYLES = (SOLID, DASHED, DASH_DOTTED, DOTTED)
MARKERS = "osD^vP"


class Palette(NamedTuple):
    """Colours for one background.

    All but `ink`, `paper` and `faint` are of Okabe and Ito, which colour-blind
    readers can tell apart.

    Attributes:
        ink: Of text.
        paper: Of the background.
        faint: Of what stands back.
        blue: A colour.
        green: A colour.
        orange: A colour.
        pale: A blue that text can be read on.
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
    """Returns the colours that go with Matplotlib's settings."""
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
    """Returns the first of Matplotlib's settings that can be seen, or white."""
    mpl, colors = require(
        "plots", "Pictures", "matplotlib", "matplotlib.colors"
    )
    for name in names:
        *rgb, opacity = colors.to_rgba(mpl.rcParams[name])
        if opacity > 0:
            return tuple(rgb)
    return 1.0, 1.0, 1.0


def legible(on: Any) -> Any:
    """Returns `ink` or `paper`, whichever can be read better.

    Args:
        on: The colour behind it: red, green and blue, from 0 to 1.
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
    """Returns axes on a new figure, or those that were given.

    Args:
        width: The figure's width in inches.
        height: Its height in inches.
        ax: `None`, or the axes to return.
    """
    figure_class = require_matplotlib()
    if ax is not None:
        return ax
    figure = figure_class((width, height), dpi=150, layout="constrained")
    return figure.subplots()


def legend(ax: Any, place: str, **options: Any) -> None:
    """Writes the legend where no curve can be.

    Args:
        ax: The axes.
        place: `"beside"` the axes, or `"above"` them.
        **options: As for Matplotlib's `legend`.
    """
    corner, anchor = {
        "beside": ("upper left", (1.01, 1.0)),
        "above": ("lower left", (0.0, 1.02)),
    }[place]
    given = {"bbox_to_anchor": anchor, "frameon": False, "borderaxespad": 0.0}
    ax.legend(loc=corner, **(given | options))


def tidy(ax: Any, axis: str = "both", *, left: bool = True) -> None:
    """Draws a faint grid behind, and leaves out the frame.

    Args:
        ax: The axes.
        axis: Which lines the grid has: `"x"`, `"y"` or `"both"`.
        left: Whether to keep the line at the left.
    """
    colors = palette()
    ax.grid(axis=axis, color=colors.faint, alpha=0.3, linewidth=0.8)
    ax.set_axisbelow(True)
    sides = ["top", "right"] if left else ["top", "right", "left"]
    ax.spines[sides].set_visible(False)
