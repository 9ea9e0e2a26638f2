"""MLKD: examples, classes and the batch, at several temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair
from keras_dts.losses.base import BatchLoss, LogitDistillation
from keras_dts.losses.correlation import BatchCorrelation, ClassCorrelation
from keras_dts.losses.kd import KD
from keras_dts.temperatures import Temperature, Temperatures
from keras_dts.types import Tensor
from keras_dts.utils import (
    Schedule,
    check_choice,
    check_number,
    check_temperature,
)


@keras.saving.register_keras_serializable(package="keras_dts")
class MLKD(BatchLoss):
    """Compares one of two augmented views on several levels (MLKD).

    ```
    weak view:    share · Σ_T (T² KL + class correlation + batch correlation)
    strong view:  Σ_T T² KL
    ```

    over the policy's temperature and `temperatures`. The two views are two
    outputs of the models, which see both, as in

    ```python
    def two_views(model):
        weak, strong = keras.Input(shape), keras.Input(shape)
        return keras.Model([weak, strong], [model(weak), model(strong)])

    keras_dts.Distiller(
        two_views(teacher),
        two_views(student),
        [[keras_dts.losses.MLKD("weak"), keras_dts.losses.MLKD("strong")]],
    )
    ```

    with the labels given for both outputs. Without a strong view `MLKD()`
    alone is the weak view's part. The published weights of labels and
    distillation are 0.1 and 0.9. In the published code the strong view's
    terms of 2 and 6 read the weak view's logits; here they do not.

    Args:
        view: `"weak"` or `"strong"`.
        temperatures: The temperatures beside the policy's. Positive.
        share: The weight of the weak view's terms, at least 0. Published are
            masks of half the examples and half the classes, which in the
            code come to this factor.
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[2.0, 1.0, -1.0]], "float32")
    >>> student = np.array([[0.0, 0.0, 0.0]], "float32")
    >>> loss = keras_dts.losses.MLKD(
    ...     "strong", temperatures=[2.0], temperature=1.0
    ... )
    >>> round(float(loss.compute_loss(teacher, student)), 3)
    0.968
    >>> parts = [keras_dts.losses.KD(t) for t in (1.0, 2.0)]
    >>> values = [float(part.compute_loss(teacher, student)) for part in parts]
    >>> round(sum(values), 3)
    0.968

    Reference:
        Jin, Wang and Lin, Multi-Level Logit Distillation, CVPR 2023.
    """

    accepts_top_k = False

    def __init__(
        self,
        view: str = "weak",
        temperatures: Sequence[float] = (3.0, 5.0, 2.0, 6.0),
        share: float = 0.5,
        temperature: float | str | Schedule | Temperature | None = None,
    ) -> None:
        super().__init__(temperature)
        check_choice("view", view, ["weak", "strong"])
        for value in temperatures:
            check_temperature("temperatures", value)
        check_number("share", share, low=0.0)
        self.view = view
        self.temperatures = tuple(temperatures)
        self.share = share

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Computes the value of each example or token."""
        levels: list[LogitDistillation] = [_KD]
        if self.view == "weak":
            levels += [_CLASSES, _BATCH]
        total = sum(
            level.values(pair, t)
            for t in (temperatures, *map(_constant, self.temperatures))
            for level in levels
        )
        return self.share * total if self.view == "weak" else total

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "view": self.view,
            "temperatures": list(self.temperatures),
            "share": self.share,
        }


_KD = KD()
_CLASSES = ClassCorrelation()
_BATCH = BatchCorrelation()


def _constant(temperature: float) -> Temperatures:
    value = ops.convert_to_tensor(float(temperature))
    return Temperatures(value, value, value * value)
