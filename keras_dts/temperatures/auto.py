"""A temperature that needs no search: it warms as the student catches up."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair, standard_deviation
from keras_dts.temperatures.base import Temperature, Temperatures, add_scalar
from keras_dts.types import Tensor

# The shares of the old moving means in the new ones.
_DISAGREEMENT_MOMENTUM = 0.95
_SPREAD_MOMENTUM = 0.99
# The disagreement below which the temperature warms.
_NEAR = 0.01


@keras.saving.register_keras_serializable(package="keras_dts")
class AutoTemperature(Temperature):
    """Chooses the temperature by itself: `temperature="auto"`.

    ```
    disagreement = share of examples whose most probable classes differ
    spread = standard deviation of the teacher's logits
    temperature = 1 + (spread - 1) * (1 - disagreement / 0.01)
    ```

    kept in `[1, spread]`, with moving means of the batches' disagreement (of
    about 20 steps) and spread (of about 100). The temperature is 1 as long as
    the student does not choose as its teacher does, because a hotter teacher
    only distracts it from that. When it does so on more than 99 % of what it
    trains on, the teacher's choices have little left to teach, and the
    temperature rises towards that at which the logits' spread is 1, where all
    classes speak. Nothing carries a gradient, and there is nothing to set.
    `docs/results.md` has the measurements, and where the rule fails. Ours; no
    paper describes it.

    Raises:
        ValueError: From the first step, if teacher and student have
            different classes.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> policy = keras_dts.temperatures.AutoTemperature()
    >>> teacher = np.array([[9.0, 0.0, -9.0]], "float32")
    >>> float(policy(teacher, -teacher, training=True).student)
    1.0
    >>> policy = keras_dts.temperatures.AutoTemperature()
    >>> float(policy(teacher, teacher, training=True).student)
    9.0
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.disagreement = add_scalar(self, "disagreement", 1.0)
        self.spread = add_scalar(self, "spread", 1.0)
        self.observed = add_scalar(self, "observed", 0.0)

    def heads(
        self, heads: list[LogitPair], *, training: bool
    ) -> list[Temperatures]:
        """ModelOutputs every output with the one temperature.

        The means of the outputs' disagreements and spreads drive it.
        """
        if training:
            self._watch(heads)
        room = ops.maximum(self.spread.value, 1.0) - 1.0
        warmth = 1.0 - self.disagreement / _NEAR
        now = 1.0 + room * ops.clip(warmth, 0.0, 1.0)
        return [Temperatures(now, now, now * now)] * len(heads)

    def _watch(self, heads: list[LogitPair]) -> None:
        """Moves the means."""
        disagreement = sum(_disagreement(head) for head in heads) / len(heads)
        spread = sum(
            h.mean(standard_deviation(h.teacher)) for h in heads
        ) / len(heads)
        # A batch in which nothing counts, or that is broken, tells nothing.
        counts = sum(ops.sum(ops.cast(h.counted, "int32")) for h in heads)
        sums = sum(h.mean(ops.sum(h.teacher + h.student, -1)) for h in heads)
        finite = ops.isfinite(sums + spread)
        usable = ops.logical_and(ops.greater(counts, 0), finite)
        first = ops.equal(self.observed, 0.0)
        for variable, value, momentum in (
            (self.disagreement, disagreement, _DISAGREEMENT_MOMENTUM),
            (self.spread, spread, _SPREAD_MOMENTUM),
        ):
            moved = momentum * variable + (1.0 - momentum) * value
            moved = ops.where(first, value, moved)
            variable.assign(ops.where(usable, moved, variable.value))
        self.observed.assign(self.observed + ops.cast(usable, self.dtype))


def _disagreement(head: LogitPair) -> Tensor:
    """Returns the share of entries whose most probable classes differ."""
    head.check_same_classes("AutoTemperature")
    differ = ops.not_equal(*(ops.argmax(x, axis=-1) for x in head.ranked))
    return head.mean(ops.cast(differ, head.teacher.dtype))
