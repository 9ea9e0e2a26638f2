"""CosineKD: classes point the same way through the batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair, safe_sqrt
from keras_dts.losses.base import BatchLoss
from keras_dts.losses.correlation import rows
from keras_dts.temperatures import Temperature, Temperatures
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, check_number

# Added to the product of two lengths, as in the published code.
_EPSILON = 1e-8


@keras.saving.register_keras_serializable(package="keras_dts")
class CosineKD(BatchLoss):
    """Compares each class's probabilities through the batch (CSKD).

    ```
    alpha · T² · (1 - mean_c cosine(P_teacher[:, c], P_student[:, c]))
    ```

    where P holds the softened probabilities of the batch's entries that
    count, one row for each. As published, 1e-8 is added to the product of the
    lengths: a class that neither model finds likely counts as different. It is
    one number for the batch, so that it depends on the batch size. Where the
    policy scales each example, the mean of the scales is taken. The paper uses
    it twice, at temperature 4 and with
    `keras_dts.temperatures.CosineSimilarityTemperature`.

    Args:
        alpha: A factor, at least 0.
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.

    Raises:
        ValueError: If `alpha` is negative, or `temperature` is not positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[99.0, 0.0], [0.0, 99.0]], "float32")
    >>> loss = keras_dts.losses.CosineKD(alpha=3.0, temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, 99.0 - teacher)), 4)
    3.0
    >>> round(abs(float(loss.compute_loss(teacher, teacher))), 4)
    0.0

    Reference:
        Ham et al., Cosine Similarity Knowledge Distillation for Individual
        Class Information Transfer, arXiv 2311.14307, 2023.
    """

    accepts_top_k = False

    def __init__(
        self,
        alpha: float = 2.0,
        temperature: float | str | Schedule | Temperature | None = None,
    ) -> None:
        super().__init__(temperature)
        check_number("alpha", alpha, low=0.0)
        self.alpha = alpha

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the batch's value for each of its examples or tokens."""
        teacher, student = rows(pair, temperatures)
        products = ops.sum(teacher * student, axis=0)
        lengths = [
            safe_sqrt(ops.sum(p * p, axis=0)) for p in (teacher, student)
        ]
        cosines = products / (lengths[0] * lengths[1] + _EPSILON)
        scale = temperatures.scale
        if len(scale.shape) > 0:
            scale = pair.mean(scale)
        value = self.alpha * scale * (1.0 - ops.mean(cosines))
        return pair.for_each_entry(value)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "alpha": self.alpha}
