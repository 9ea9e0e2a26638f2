"""Keras's losses, as distillation losses of this package."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import ops

from keras_dts.logits import Distribution, LogitPair, is_of_values, soften
from keras_dts.losses.base import BatchLoss, Divergence, LogitDistillation
from keras_dts.losses.kd import KD
from keras_dts.losses.values import ValueLoss
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


@keras.saving.register_keras_serializable(package="keras_dts")
class SoftBinaryCrossEntropy(SoftCrossEntropy):
    """`SoftCrossEntropy` of each choice between false and true."""

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Computes the cross entropy, in nats, shape `(batch, ...)`.

        Raises:
            ValueError: If there are more than two classes.
        """
        classes = student.log_probs.shape[-1]
        if classes != 2:
            raise ValueError(
                "`LogitsDistillation` with a binary cross entropy needs an "
                "output of labels that may all be true: sigmoids, or logits "
                "for which `compile` gets a binary cross entropy. Received: "
                f"an output of {classes} classes, of which one is true"
            )
        return super().compare(teacher, student, labels)


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


class KerasLossOnValues(ValueLoss):
    """A Keras loss between outputs as the models return them.

    Args:
        function: A `keras.losses.Loss`, or a function of two tensors.
    """

    def __init__(self, function: Any) -> None:
        self.function = function

    def values(self, teacher: Tensor, student: Tensor) -> Tensor:
        """Computes the loss of each example or token."""
        return unreduced(self.function, teacher, student)


def from_keras(loss: Any) -> Any:
    """Returns what stands for losses of Keras.

    Args:
        loss: An entry of `distillation_losses`.

    Returns:
        For a `keras.distillation.LogitsDistillation` a loss, or a structure
        of losses like its own. Losses of `keras.losses` that compare values
        become losses on values. Any other loss stays as it is.
    """
    if is_keras_loss(loss, keras.distillation.LogitsDistillation):
        convert = functools.partial(_on_logits, loss.temperature)
        return keras.tree.map_structure(convert, loss.loss)
    if isinstance(loss, (list, tuple, dict)):
        return keras.tree.map_structure(_on_values, loss)
    return _on_values(loss)


def _on_logits(temperature: float, function: Any) -> LogitDistillation | None:
    """Returns what stands for a function of a `LogitsDistillation`."""
    if function is None:
        return None
    known = keras.losses
    for function_, kind, loss in (
        (known.kl_divergence, known.KLDivergence, KD),
        (
            known.categorical_crossentropy,
            known.CategoricalCrossentropy,
            SoftCrossEntropy,
        ),
        (
            known.binary_crossentropy,
            known.BinaryCrossentropy,
            SoftBinaryCrossEntropy,
        ),
    ):
        if function is function_ or isinstance(function, kind):
            return loss(temperature)
    return KerasLossOnLogits(temperature, function)


def _on_values(loss: Any) -> Any:
    own = isinstance(loss, keras.distillation.DistillationLoss)
    if own or not is_of_values(loss):
        return loss
    return KerasLossOnValues(keras.losses.get(loss))
