"""The picture of a teacher's and a student's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_dts.plots.classifiers import indices, logits_of, names_of
from keras_dts.plots.figure import legible, new_axes, palette
from keras_dts.utils import check_count


def plot_agreement(
    teacher: keras.Model,
    student: keras.Model,
    x: Any,
    y: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    top: int = 12,
    from_logits: bool | str = "auto",
    ax: Any = None,
) -> Any:
    """Draws the classes that a teacher and a student predict.

    Each row is a class that the teacher predicts, each column one that the
    student predicts, with the number of examples. The diagonal, where they
    agree, is faint. A cell where they disagree is darker for more examples.
    The title has the share of the examples on which they agree and, with
    labels, which of the two is right on the other examples.

    Args:
        teacher: A classifier.
        student: A classifier of the same classes and inputs.
        x: The inputs.
        y: `None`, or the labels: class indices, or one-hot.
        class_names: `None`, or a name for each class.
        top: The highest number of classes that are shown: the classes with the
            most disagreement, in the order of their indices.
        from_logits: Whether the models' outputs are logits. `"auto"` detects
            it as `keras_dts.Distiller` does.
        ax: `None` for a new figure, or a `matplotlib.axes.Axes`.

    Returns:
        The axes. The picture is `axes.figure`.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If the models are no classifiers of the same classes, or
            `y` does not fit the outputs.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts import plots
    >>> teacher, student = (
    ...     keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(scale)])
    ...     for scale in (1.0, [1.0, 3.0])
    ... )
    >>> x = np.array([[2.0, 1.0], [3.0, 0.5], [1.0, 2.0], [0.0, 1.0]])
    >>> axes = plots.plot_agreement(teacher, student, x)
    >>> axes.get_title()
    'they agree on 75.0 % of 4 examples'
    """
    check_count("top", top)
    outputs = [
        logits_of(name, model, x, from_logits)
        for name, model in (("teacher", teacher), ("student", student))
    ]
    classes = outputs[0].shape[-1]
    if outputs[1].shape[-1] != classes:
        raise ValueError(
            "`student` must have the teacher's classes. Received: "
            f"{outputs[1].shape[-1]} classes, where the teacher has {classes}"
        )
    theirs, ours = (logits.argmax(axis=-1) for logits in outputs)
    counts = np.bincount(theirs * classes + ours, minlength=classes**2)
    counts = counts.reshape(classes, classes)
    labels = None if y is None else indices(y, outputs[0])
    title = _title(theirs, ours, labels)
    names = names_of(classes, class_names)
    shown = _shown(counts, top)
    counts = counts[np.ix_(shown, shown)]
    names = [names[i] for i in shown]
    size = 2.4 + 0.42 * len(shown)
    ax = new_axes(size + 0.4, size, ax)
    _draw(counts, names, ax)
    ax.set_title(title, fontsize="medium")
    if len(shown) < classes:
        note = f"{len(shown)} of {classes} classes"
        ax.set_xlabel(f"student's choice ({note})")
    return ax


def _title(theirs: Any, ours: Any, labels: Any) -> str:
    agree = theirs == ours
    title = (
        f"they agree on {100 * agree.mean():.1f} % of {len(agree):,} examples"
    )
    if labels is None or agree.all():
        return title
    teacher, student = (
        int(np.sum((labels == choice) & ~agree)) for choice in (theirs, ours)
    )
    return (
        f"{title};\nof the others the teacher is right on {teacher:,}, "
        f"the student on {student:,}"
    )


def _shown(counts: npt.NDArray[Any], top: int) -> npt.NDArray[Any]:
    """Returns the sorted indices of the classes that disagree most."""
    apart = _apart(counts)
    amount = apart.sum(axis=0) + apart.sum(axis=1)
    return np.sort(np.argsort(-amount, kind="stable")[:top])


def _apart(counts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns the counts with a diagonal of zeros."""
    return counts - np.diag(np.diag(counts))


def _draw(counts: npt.NDArray[Any], names: list[str], ax: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colors = palette()
    apart = _apart(counts)
    shades = LinearSegmentedColormap.from_list(
        "disagreement", [colors.paper, colors.orange]
    )
    most = max(1, apart.max())
    # By the square root, so that one example is visible beside many.
    norm = PowerNorm(0.5, vmin=0, vmax=1.25 * most)
    image = ax.imshow(apart, cmap=shades, norm=norm)
    for row, column in np.argwhere(counts > 0):
        cell = image.to_rgba(apart[row, column])
        ax.text(
            column,
            row,
            f"{counts[row, column]:,}",
            ha="center",
            va="center",
            fontsize="small",
            color=colors.faint if row == column else legible(cell),
        )
    turned = {"rotation": 45, "ha": "right"} if max(map(len, names)) > 3 else {}
    ax.set_xticks(range(len(names)), names, **turned)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    # Lines between the cells.
    ax.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color=colors.faint, alpha=0.3, linewidth=0.8)
    ax.tick_params(which="minor", length=0)
    ax.set_xlabel("student's choice")
    ax.set_ylabel("teacher's choice")
