"""Keras's distillation losses on logits, as losses of this package."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import Distribution, LogitPair, soften
from keras_dts.losses.base import BatchLoss, Divergence, LogitDistillation
from keras_dts.losses.kd import KD
from keras_dts.temperatures import Temperatures
from keras_dts.types import Tensor
from keras_dts.utils import is_keras_loss, unreduced


@keras.saving.register_keras_serializable(package="keras_dts")
class SoftCrossEntropy(Divergence):
    """The KL divergence plus the teacher's entropy: T² times -Σ p_T log p_S."""

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Computes the cross entropy, in nats, shape `(batch, ...)`."""
        del labels
        return -ops.sum(teacher.probs * student.log_probs, axis=-1)


class KerasLossOnLogits(BatchLoss):
    """A Keras loss between logits divided by T, as Keras applies it.

    Args:
        temperature: A positive number.
        function: A `keras.losses.Loss`, or a function of two tensors.
    """

    def __init__(self, temperature: float, function: Any) -> None:
        super().__init__(temperature)
        self.function = function

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Computes the loss of each example or token."""
        return unreduced(
            self.function,
            soften(pair.teacher, temperatures.teacher),
            soften(pair.student, temperatures.student),
        )


def from_keras(loss: Any) -> Any:
    """Returns what stands for a distillation loss of Keras.

    Args:
        loss: An entry of `distillation_losses`.

    Returns:
        For a `keras.distillation.LogitsDistillation` a loss, or a structure
        of losses like its own; any other loss as it is.
    """
    if not is_keras_loss(loss, keras.distillation.LogitsDistillation):
        return loss

    def convert(function: Any) -> LogitDistillation | None:
        if function is None:
            return None
        if function is keras.losses.kl_divergence or isinstance(
            function, keras.losses.KLDivergence
        ):
            return KD(loss.temperature)
        if function is keras.losses.categorical_crossentropy or isinstance(
            function, keras.losses.CategoricalCrossentropy
        ):
            return SoftCrossEntropy(loss.temperature)
        return KerasLossOnLogits(loss.temperature, function)

    return keras.tree.map_structure(convert, loss.loss)
