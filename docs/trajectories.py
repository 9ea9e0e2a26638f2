"""Draws how `DynamicTemperature` moves, for `docs/dts.md`.

Every curve comes from the package's own `begin_epoch` and `update`, which a
training calls too; the gap that drives them is made up.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

import keras_dts
from keras_dts.temperatures import gap_scale

EPOCHS, STEPS = 20, 20
# From chance among 100 classes, log(100) nats behind, to 0.2 nats behind.
GAPS = np.geomspace(np.log(100), 0.2, EPOCHS * STEPS)

# Colours of Okabe and Ito, which colour-blind readers can tell apart.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": (0, (5, 1.5))},
    {"color": "#009E73", "linestyle": (0, (5, 1.5, 1, 1.5))},
    {"color": "#000000", "linestyle": (0, (1, 1))},
)


def trajectory(
    policy: keras_dts.DynamicTemperature, gaps: npt.NDArray[Any]
) -> list[float]:
    """Returns the temperature after each step of a training.

    Args:
        policy: The policy.
        gaps: The gap of each step, in nats.
    """
    temperatures = []
    for step, gap in enumerate(gaps):
        if step % STEPS == 0:
            policy.begin_epoch(step // STEPS, EPOCHS, STEPS)
        temperatures.append(float(policy.update(gap)))
    return temperatures


def draw_scales() -> Figure:
    """Draws the three scales over the gap."""
    figure = Figure((7.0, 2.8), dpi=150, layout="constrained")
    ax = figure.subplots()
    scales = (
        ('"reference"', gap_scale.reference_scale),
        ('"smooth"', gap_scale.smooth_scale),
        ("None", gap_scale.no_scale),
    )
    for (label, scale), style in zip(scales, STYLES, strict=False):
        # In pieces, so that no line is drawn where the scale jumps.
        for i, ends in enumerate(((-1, 1), (1 + 1e-6, 2 - 1e-6), (2, 6))):
            gaps = np.linspace(*ends, 200).astype("float32")
            values = [float(scale(gap)) for gap in gaps]
            ax.plot(gaps, values, label=None if i else label, **style)
    ax.set_xlabel("gap (nats): how far the student is behind")
    ax.set_ylabel("scale of the cosine")
    ax.set_ylim(0.9, 2.1)
    _tidy(ax)
    return figure


def draw_trajectories() -> Figure:
    """Draws the temperature over a training, in four comparisons."""
    panels = {
        "gap_scale": {
            '"reference"': {"gap_scale": "reference"},
            '"smooth"': {"gap_scale": "smooth"},
            "None": {"gap_scale": None},
        },
        "bounds": {
            "4, from 2 to 4": {},
            "8, from 4 to 8": {"initial": 8.0, "minimum": 4.0, "maximum": 8.0},
            "3, from 1 to 3": {"initial": 3.0, "minimum": 1.0, "maximum": 3.0},
        },
        "momentum and granularity": {
            '0.9, "epoch"': {"gap_scale": None},
            '0, "epoch"': {"gap_scale": None, "momentum": 0.0},
            '0.9, "step"': {"gap_scale": None, "granularity": "step"},
        },
        "curve": {
            "1": {"gap_scale": None},
            "0.5": {"gap_scale": None, "curve": 0.5},
            "1.5": {"gap_scale": None, "curve": 1.5},
        },
    }
    figure = Figure((9.0, 8.0), dpi=150, layout="constrained")
    axes = figure.subplots(3, 2)
    epochs = 1 + np.arange(len(GAPS)) / STEPS
    axes[0, 0].plot(epochs, GAPS, **STYLES[3])
    axes[0, 0].set_title("the gap of all of them (nats)", loc="left")
    axes[0, 0].axhline(2, color="0.7", linewidth=0.8)
    axes[0, 0].axhline(1, color="0.7", linewidth=0.8)
    places = (axes[0, 1], axes[1, 0], axes[1, 1], axes[2, 0])
    for (title, curves), ax in zip(panels.items(), places, strict=True):
        common = {} if title == "bounds" else {"minimum": 1.0, "maximum": 8.0}
        for label, style in zip(curves, STYLES, strict=False):
            options = {**common, **curves[label]}
            policy = keras_dts.DynamicTemperature(**options)
            ax.plot(epochs, trajectory(policy, GAPS), label=label, **style)
        ax.set_title(f"temperature: {title}", loc="left")
        _tidy(ax)
    _tidy(axes[0, 0])
    # The last of them again, of which the first epochs show most.
    ax = axes[2, 1]
    for line, style in zip(axes[1, 1].get_lines(), STYLES, strict=False):
        x, y = line.get_data()
        ax.plot(x[: 4 * STEPS], y[: 4 * STEPS], **style)
    ax.set_title("momentum and granularity, four epochs", loc="left")
    _tidy(ax)
    for ax in axes[2]:
        ax.set_xlabel("epoch")
    return figure


def _tidy(ax: Any) -> None:
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(color="0.9", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)


def main() -> None:
    """Draws both pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    draw_scales().savefig(out / "dts-scales.png")
    draw_trajectories().savefig(out / "dts-trajectories.png")


if __name__ == "__main__":
    main()
