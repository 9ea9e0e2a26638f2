"""GeneralizedJSD: between the forward and the reverse KL divergence."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.logits import Distribution, kl, mix
from keras_dts.losses.base import Divergence
from keras_dts.temperatures import Temperature
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, check_number


@keras.saving.register_keras_serializable(package="keras_dts")
class GeneralizedJSD(Divergence):
    """Computes T² times the generalized Jensen-Shannon divergence (GKD).

    ```
    M = beta · p_teacher + (1 - beta) · p_student
    JSD = beta · KL(p_teacher || M) + (1 - beta) · KL(p_student || M)
    ```

    divided by `beta · (1 - beta)` if `normalized`. `beta = 0` is the forward
    KL divergence, as in `KD`, and `beta = 1` the reverse one. The JSD itself
    goes to 0 at both ends, so that published code, which puts the divergences
    there, jumps: at 0.001 its gradient is a thousandth of that at 0. Divided,
    it goes to the two divergences, and near equality it has their size for
    every `beta`, so that a weight means the same for all of them. The
    published number is that of `normalized=False`.

    Args:
        beta: In `[0, 1]`.
        normalized: Whether the value is divided by `beta · (1 - beta)`.
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.
            Published with 1.

    Raises:
        ValueError: If `beta` is out of its range, or `temperature` is not
            positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[2.0, 1.0, -1.0]], "float32")
    >>> student = np.array([[0.0, 0.0, 0.0]], "float32")
    >>> def value(beta):
    ...     loss = keras_dts.losses.GeneralizedJSD(beta, temperature=1.0)
    ...     return round(float(loss.compute_loss(teacher, student)), 4)
    >>> [value(beta) for beta in (0.0, 0.001, 0.5, 0.999, 1.0)]
    [0.3847, 0.3848, 0.4244, 0.5829, 0.5837]

    Reference:
        Agarwal et al., On-Policy Distillation of Language Models,
        arXiv 2306.13649, 2023.
    """

    def __init__(
        self,
        beta: float = 0.5,
        normalized: bool = True,
        temperature: float | str | Schedule | Temperature | None = None,
    ) -> None:
        super().__init__(temperature)
        check_number("beta", beta, low=0.0, high=1.0)
        self.beta = beta
        self.normalized = normalized

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the divergence, in nats, shape `(batch, ...)`."""
        del labels
        if self.beta == 0:
            return kl(teacher, student)
        if self.beta == 1:
            return kl(student, teacher)
        beta, rest = self.beta, 1.0 - self.beta
        mixture = mix(teacher, student, beta)
        value = beta * kl(teacher, mixture) + rest * kl(student, mixture)
        return value / (beta * rest) if self.normalized else value

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "beta": self.beta,
            "normalized": self.normalized,
        }
