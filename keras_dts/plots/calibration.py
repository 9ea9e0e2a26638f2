"""The picture of models' calibration, and its error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from keras_dts.plots.classifiers import indices, logits_of, plain, softmax
from keras_dts.plots.figure import MARKERS, legend, new_axes, palette, tidy
from keras_dts.utils import check_count


class _Bins(NamedTuple):
    """The examples of each range of confidence that has examples."""

    confidence: npt.NDArray[Any]
    accuracy: npt.NDArray[Any]
    share: npt.NDArray[Any]


def expected_calibration_error(
    probabilities: Any, labels: Any, bins: int = 10
) -> float:
    """Returns the mean distance of confidence and accuracy.

    The confidence of an example is the probability of its most probable class.
    The examples are sorted by confidence into `bins` ranges of equal width from
    0 to 1. The error is the mean over the examples of
    `|accuracy - mean confidence|` of their range.

    Args:
        probabilities: Shape `(examples, classes)`.
        labels: Class indices, shape `(examples,)`, or one-hot labels.
        bins: The number of ranges.

    Returns:
        The error, from 0 to 1.

    Raises:
        ValueError: If `bins` is less than 1, or `labels` has another length
            than `probabilities`.

    Example:
    >>> from keras_dts.plots import expected_calibration_error
    >>> expected_calibration_error([[0.75, 0.25], [0.75, 0.25]], [0, 1])
    0.25

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, 1706.04599, 2017.
    """
    found = _binned(np.asarray(probabilities, "float64"), labels, bins)
    return _error(found)


def plot_calibration(
    models: keras.Model | Mapping[str, keras.Model],
    x: Any,
    y: Any,
    *,
    bins: int = 10,
    from_logits: bool | str = "auto",
    ax: Any = None,
) -> Any:
    """Draws the accuracy of models over their confidence.

    Each model has a curve through the ranges of confidence that have examples:
    the accuracy over the mean probability of the most probable class, both in
    %. Larger marks stand for more examples. Above the dotted line a model is
    less confident than accurate, below it more. The legend has the expected
    calibration error (ECE).

    Args:
        models: A classifier, or a dictionary of up to six classifiers by name,
            which take the same input.
        x: The inputs.
        y: The labels: class indices, or one-hot.
        bins: The number of ranges of confidence.
        from_logits: Whether the models' outputs are logits. `"auto"` detects
            it as `keras_dts.Distiller` does.
        ax: `None` for a new figure, or a `matplotlib.axes.Axes`.

    Returns:
        The axes. The picture is `axes.figure`.

    Raises:
        ImportError: If Matplotlib is missing.
        ValueError: If there are no models or more than six, a model is no
            classifier, or `y` does not fit the outputs.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> from keras_dts import plots
    >>> identity = keras.Sequential(
    ...     [keras.Input((2,)), keras.layers.Identity()]
    ... )
    >>> x = np.log([[0.75, 0.25], [0.75, 0.25]])
    >>> axes = plots.plot_calibration({"student": identity}, x, [0, 1])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['perfect', 'student, ECE 25.0 %']
    """
    if isinstance(models, keras.Model):
        models = {models.name: models}
    if not 1 <= len(models) <= len(MARKERS):
        raise ValueError(
            f"`models` must be one to {len(MARKERS)} models. Received: "
            f"{len(models)}"
        )
    ax = new_axes(4.8, 4.8 + 0.2 * (1 + len(models)), ax)
    colors = palette()
    ax.plot(
        [0, 100], [0, 100], color=colors.faint, linestyle=":", label="perfect"
    )
    for i, (name, model) in enumerate(models.items()):
        logits = logits_of("models", model, x, from_logits)
        _draw(name, _binned(softmax(logits), y, bins), colors.curve(i), ax)
    ax.set_xlim(0, 102)
    ax.set_ylim(0, 102)
    ax.set_aspect("equal")
    ax.set_xlabel("confidence (%)")
    ax.set_ylabel("accuracy (%)")
    tidy(ax)
    legend(ax, "above", handlelength=3.0)
    return ax


def _draw(name: str, bins: _Bins, look: dict[str, Any], ax: Any) -> None:
    """Draws a model's curve, and a mark for each range."""
    place = 100 * bins.confidence, 100 * bins.accuracy
    ax.plot(
        *place,
        **look,
        markersize=3,
        linewidth=1.2,
        label=f"{plain(name)}, ECE {100 * _error(bins):.1f} %",
    )
    ax.scatter(
        *place,
        s=20 + 400 * bins.share,
        color=look["color"],
        marker=look["marker"],
        alpha=0.35,
        linewidth=0,
        clip_on=False,
    )


def _binned(probabilities: npt.NDArray[Any], labels: Any, bins: int) -> _Bins:
    check_count("bins", bins)
    labels = indices(labels, probabilities)
    confidence = probabilities.max(axis=-1)
    right = probabilities.argmax(axis=-1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    some = counts > 0
    sums = [np.bincount(place, v, bins)[some] for v in (confidence, right)]
    return _Bins(
        sums[0] / counts[some],
        sums[1] / counts[some],
        counts[some] / len(labels),
    )


def _error(bins: _Bins) -> float:
    return float(np.sum(bins.share * np.abs(bins.accuracy - bins.confidence)))
