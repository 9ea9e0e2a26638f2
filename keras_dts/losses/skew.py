"""SkewKL and SkewReverseKL: divergences from a mixture of the two."""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.logits import Distribution, kl, mix
from keras_dts.losses.base import Divergence
from keras_dts.temperatures import Temperature
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, check_number


class _Skew(Divergence):
    """A divergence from a mixture, of which `skew` is the first's share."""

    def __init__(
        self,
        skew: float = 0.1,
        temperature: float | str | Schedule | Temperature | None = None,
    ) -> None:
        super().__init__(temperature)
        check_number("skew", skew, low=0.0, below=1.0)
        self.skew = skew

    def _from_mixture(self, p: Distribution, q: Distribution) -> Tensor:
        """Computes KL(p || skew · p + (1 - skew) · q)."""
        return kl(p, q if self.skew == 0 else mix(p, q, self.skew))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "skew": self.skew}


@keras.saving.register_keras_serializable(package="keras_dts")
class SkewKL(_Skew):
    """Computes T² times the skewed KL divergence (DistiLLM's SKL).

    ```
    T² · KL(p_teacher || skew · p_teacher + (1 - skew) · p_student)
    ```

    Bounded by `log(1 / skew)`, with gradients that stay small where the
    student gives almost no probability to what the teacher does.

    Args:
        skew: The teacher's share of the mixture, in `[0, 1)`; 0 is `KD`.
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.
            Published with 1.

    Raises:
        ValueError: If `skew` is out of its range, or `temperature` is not
            positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[0.0, 9999.0]], "float32")
    >>> student = np.array([[9999.0, 0.0]], "float32")
    >>> loss = keras_dts.losses.SkewKL(skew=0.1, temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)  # log 10
    2.3026

    Reference:
        Ko et al., DistiLLM: Towards Streamlined Distillation for Large
        Language Models, arXiv 2402.03898, 2024.
    """

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the divergence, in nats, shape `(batch, ...)`."""
        del labels
        return self._from_mixture(teacher, student)


@keras.saving.register_keras_serializable(package="keras_dts")
class SkewReverseKL(_Skew):
    """Computes T² times the skewed reverse KL divergence (DistiLLM's SRKL).

    ```
    T² · KL(p_student || skew · p_student + (1 - skew) · p_teacher)
    ```

    Args:
        skew: The student's share of the mixture, in `[0, 1)`; 0 is
            `ReverseKL`.
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.
            Published with 1.

    Raises:
        ValueError: If `skew` is out of its range, or `temperature` is not
            positive.

    Example:
    >>> import numpy as np
    >>> import keras_dts
    >>> teacher = np.array([[0.0, 9999.0]], "float32")
    >>> student = np.array([[9999.0, 0.0]], "float32")
    >>> loss = keras_dts.losses.SkewReverseKL(skew=0.1, temperature=1.0)
    >>> round(float(loss.compute_loss(teacher, student)), 4)  # log 10
    2.3026

    Reference:
        Ko et al., DistiLLM: Towards Streamlined Distillation for Large
        Language Models, arXiv 2402.03898, 2024.
    """

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the divergence, in nats, shape `(batch, ...)`."""
        del labels
        return self._from_mixture(student, teacher)
