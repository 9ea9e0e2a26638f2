"""DTS: a cosine, scaled by how far the student is behind the teacher."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_dts.backend import runs_eagerly
from keras_dts.logits import BatchLogits
from keras_dts.temperatures.auto import AutoTemperature
from keras_dts.temperatures.base import (
    Temperature,
    TemperatureFunction,
    add_scalar,
    add_vector,
    constant,
)
from keras_dts.temperatures.gap_scale import GAP_SCALES
from keras_dts.types import Tensor
from keras_dts.utils import check_choice, check_number, check_temperature


@keras.saving.register_keras_serializable(package="keras_dts")
class DynamicTemperature(Temperature):
    """Moves one temperature along a cosine, scaled by the loss gap (DTS).

    ```
    target = initial * (1 + cos(curve * pi * progress)) / 2 * scale(gap)
    temperature = momentum * temperature
                  + (1 - momentum) * clip(target, minimum, maximum)
    ```

    With `initial = minimum = maximum` the temperature is that constant.
    Otherwise `progress` has to move from 0 to 1 over the training, and
    `keras_dts.Distiller.fit` sees to that.

    The gap is the student's cross entropy minus the teacher's, in nats, at
    temperature 1, positive while the student is behind; without labels it is
    0. A gap that is NaN or infinite counts as 0.

    With `initial="auto"` the cosine's height is not fixed: it is what
    `keras_dts.temperatures.AutoTemperature` would answer in each step, from 1
    while the student is far from its teacher up to the spread of the
    teacher's logits. The targets' range is from 1 to that spread.

    Args:
        initial: The temperature at the start, positive, or `"auto"`.
        minimum: The lowest target. Positive. Defaults to 2; to 1 with
            `"auto"`.
        maximum: The highest target, at least `minimum`. Defaults to 4; with
            `"auto"`, to the spread of the teacher's logits.
        momentum: The share of the old temperature in the new one, for each
            step, in `[0, 1)`.
        curve: How much of the cosine's half period the training covers.
            Positive; above 1 the temperature rises again near the end.
        gap_scale: `"reference"` is the published rule, which scales only
            above a gap of 1 nat; `"smooth"` is `1 + g / (1 + g)` for
            `g = max(gap, 0)`; `None` ignores the gap.
        update: `"before"` uses a step's gap for the same step's loss,
            `"after"` for the next one's (as the published vision code does).
        granularity: `"epoch"` holds the cosine inside an epoch (published),
            `"step"` moves it with every step.

    Raises:
        ValueError: If a value is out of its range.

    Example:
    >>> import keras_dts
    >>> policy = keras_dts.DynamicTemperature(8.0, minimum=2.0, maximum=8.0)
    >>> _ = policy.progress.assign(0.5)
    >>> [round(float(policy.update(gap)), 2) for gap in (3.0, 0.0)]
    [7.8, 7.42]

    Reference:
        Ul Islam et al., Dynamic Temperature Scheduler for Knowledge
        Distillation, arXiv 2511.13767, 2025.
    """

    per_entry = True

    def __init__(
        self,
        initial: float | str = 4.0,
        minimum: float | None = None,
        maximum: float | None = None,
        momentum: float = 0.9,
        curve: float = 1.0,
        gap_scale: str | None = "reference",
        update: str = "before",
        granularity: str = "epoch",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        auto = isinstance(initial, str) and initial == "auto"
        self.auto = AutoTemperature(name="auto") if auto else None
        self._given = (minimum, maximum)
        start: Any = initial
        defaults = (2.0, 4.0)
        if self.auto is not None:
            start = 1.0  # until the first step
            defaults = (1.0, 1.0 if minimum is None else minimum)
        minimum = defaults[0] if minimum is None else minimum
        maximum = defaults[1] if maximum is None else maximum
        check_bounds(start, minimum, maximum)
        check_number("curve", curve, above=0.0)
        check_number("momentum", momentum, low=0.0, below=1.0)
        check_choice("gap_scale", gap_scale, list(GAP_SCALES))
        check_choice("update", update, ["before", "after"])
        check_choice("granularity", granularity, ["epoch", "step"])
        self.momentum = momentum
        self.curve = curve
        self.gap_scale = gap_scale
        self.update_order = update
        self.granularity = granularity
        # In one variable, since a compiled step pays for each of them.
        self._bounds = add_vector(self, "bounds", start, minimum, maximum)
        self.temperature = add_scalar(self, "temperature", start)
        self.progress = add_scalar(self, "progress", 0.0)
        # How far one step moves `progress`; 0 unless granularity is "step".
        self.progress_per_step = add_scalar(self, "progress_per_step", 0.0)
        # Whether the steps of this epoch can leave out the update.
        self._stands_still = False

    def dynamic_temperature(self) -> DynamicTemperature:
        """Returns this policy itself."""
        return self

    @property
    def bounds(self) -> tuple[float, float, float]:
        """The initial, lowest and highest temperature, as floats."""
        initial, minimum, maximum = map(number, self._bounds.value)
        return initial, minimum, maximum

    @property
    def initial(self) -> Tensor:
        """The temperature at the start of the training, a scalar."""
        return self._bounds.value[0]

    @property
    def minimum(self) -> Tensor:
        """The lowest temperature, a scalar."""
        return self._bounds.value[1]

    @property
    def maximum(self) -> Tensor:
        """The highest temperature, a scalar."""
        return self._bounds.value[2]

    @property
    def constant(self) -> bool:
        """Whether the bounds leave the temperature no room to move."""
        return self.auto is None and len(set(self.bounds)) == 1

    def set_bounds(
        self, initial: float, minimum: float, maximum: float
    ) -> None:
        """Sets the bounds, and starts anew from `initial` if they are new.

        Bounds that are the ones in force leave the temperature where it is,
        so that a resumed or continued training goes on from there.

        Raises:
            ValueError: If a bound is out of its range, or the policy chooses
                them by itself.
        """
        check_bounds(initial, minimum, maximum)
        new = (initial, minimum, maximum)
        in_force = np.array(self.bounds, "float32")
        if np.array_equal(np.array(new, "float32"), in_force):
            return
        if self.auto is not None:
            raise ValueError(
                '`initial="auto"` chooses its bounds by itself: leave those of '
                f"`DTS` away. Received: initial={initial}, minimum={minimum}, "
                f"maximum={maximum}"
            )
        self._bounds.assign(new)
        self.temperature.assign(initial)

    def begin_epoch(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Says how far the training is.

        Raises:
            ValueError: If the cosine is to move with every step and nobody
                knows how many there are.
        """
        still = self.constant and number(self.temperature) == self.bounds[0]
        self._stands_still = still and runs_eagerly()
        if self.constant:
            return
        if self.granularity == "epoch":
            self.progress.assign((epoch + 1) / epochs)
            return
        if steps is None:
            raise ValueError(
                "`granularity='step'` needs the number of steps in an epoch, "
                "which the data do not tell. Give `steps_per_epoch` to `fit`. "
                "Received: steps_per_epoch=None"
            )
        self.progress.assign(epoch / epochs)
        self.progress_per_step.assign(1.0 / (epochs * steps))

    def update(self, gap: Tensor) -> Tensor:
        """Advances the temperature by one step.

        Args:
            gap: The student's cross entropy minus the teacher's on this
                step's batch, a scalar in nats.

        Returns:
            The new temperature, a scalar.
        """
        gap = ops.cast(gap, self.temperature.dtype)
        gap = ops.where(ops.isfinite(gap), gap, 0.0)
        progress = ops.minimum(self.progress + self.progress_per_step, 1.0)
        cosine = 0.5 * (1.0 + ops.cos(self.curve * math.pi * progress))
        target = self.initial * cosine * GAP_SCALES[self.gap_scale](gap)
        target = ops.clip(target, self.minimum, self.maximum)
        new = self.momentum * self.temperature + (1 - self.momentum) * target
        self.progress.assign(progress)
        self.temperature.assign(new)
        return new

    def begin_step(self, batch: BatchLogits) -> None:
        """Moves the temperature, if the step that moves it is to use it."""
        self._choose(batch)
        if self.update_order == "before" and not self._stands_still:
            self.update(self._gap(batch))

    def snapshot(self, batch: BatchLogits) -> TemperatureFunction:
        """Returns a function that gives every output the one temperature."""
        if self._stands_still:
            return constant(self.temperature.value)
        # A copy: on torch and TensorFlow the update would change it too.
        return constant(ops.copy(self.temperature.value))

    def end_step(self, batch: BatchLogits) -> None:
        """Moves the temperature, if the step was not to use it yet."""
        if self.update_order == "after" and not self._stands_still:
            self.update(batch.gap())

    def _gap(self, batch: BatchLogits) -> Tensor:
        """Returns the gap of the batch, or 0 where it changes nothing."""
        if self.gap_scale is None:
            return ops.zeros(())
        return batch.gap(needed=ops.not_equal(self.minimum, self.maximum))

    def _choose(self, batch: BatchLogits) -> None:
        """Chooses the height and the range of the cosine with "auto"."""
        if self.auto is None:
            return
        self.auto.begin_step(batch)
        highest = self.maximum
        if self._given[1] is None:
            highest = ops.maximum(self.auto.spread, self.minimum)
        bounds = [self.auto.current(), self.minimum, highest]
        self._bounds.assign(ops.stack(bounds))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, with the bounds in force."""
        bounds: tuple[Any, ...] = self.bounds
        if self.auto is not None:
            bounds = ("auto", *self._given)
        return {
            **super().get_config(),
            **dict(zip(("initial", "minimum", "maximum"), bounds, strict=True)),
            "momentum": self.momentum,
            "curve": self.curve,
            "gap_scale": self.gap_scale,
            "update": self.update_order,
            "granularity": self.granularity,
        }


def check_bounds(initial: Any, minimum: Any, maximum: Any) -> None:
    """Raises unless all are positive and `minimum` is at most `maximum`."""
    for name, value in (
        ("initial", initial),
        ("minimum", minimum),
        ("maximum", maximum),
    ):
        check_temperature(name, value)
    if minimum > maximum:
        raise ValueError(
            "`minimum` must be at most `maximum`. Received: "
            f"minimum={minimum}, maximum={maximum}"
        )


def number(variable: Any) -> float:
    """Returns a scalar variable as a float."""
    # By way of `str`: 3.3 comes back as 3.3, not as 3.299999952316284.
    return float(str(ops.convert_to_numpy(variable)))
