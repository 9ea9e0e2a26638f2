"""What every distillation loss on logits promises."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.logits import LogitPair, weighted_mean
from keras_dts.temperatures import Temperature, Temperatures, to_policy
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, deserialized

# What a loss and a distiller soften with when nothing else is said.
DEFAULT_TEMPERATURE = 4.0


class LogitDistillation(keras.distillation.DistillationLoss):
    """A divergence between the softened answers of teacher and student.

    Abstract. A subclass implements `divergence`, one value per example or
    token in nats; the softening, the scale that keeps the gradients' size
    (T² in most methods), masks, weights and the mean are done here and in
    `keras_dts.Distiller`, once for all losses.

    Args:
        temperature: `None` takes the distiller's policy (outside a
            `keras_dts.Distiller`, the constant 4). A positive number,
            `"auto"`, a `keras.optimizers.schedules` object or a
            `keras_dts.temperatures.Temperature` is the loss's own.

    Raises:
        ValueError: If `temperature` is not positive.
    """

    # Whether teacher and student must have the same classes.
    same_classes = True
    # Whether the classes may be others for each example, as those of a cache
    # that keeps each example's most probable ones are.
    takes_coarse = True
    # Whether each entry's value depends on nothing of the batch but that
    # entry's logits and labels, so that a batch may come in parts.
    in_parts = False

    def __init__(
        self, temperature: float | str | Schedule | Temperature | None = None
    ) -> None:
        self.temperature = (
            None if temperature is None else to_policy(temperature)
        )

    def divergence(
        self,
        teacher_log_probs: Tensor,
        student_log_probs: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the divergence, in nats, shape `(batch, ...)`.

        Args:
            teacher_log_probs: The teacher's softened log probabilities,
                shape `(batch, ..., classes)`.
            student_log_probs: The student's, of the same shape.
            labels: `None`, class indices of shape `(batch, ...)`, or
                probabilities of shape `(batch, ..., classes)`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `divergence`."
        )

    def values(self, head: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the scaled loss of each example or token.

        Args:
            head: One output of both models.
            temperatures: What the policy answered for it.

        Returns:
            Shape `(batch, ...)`.
        """
        value = self.divergence(
            ops.log_softmax(soften(head.teacher, temperatures.teacher)),
            ops.log_softmax(soften(head.student, temperatures.student)),
            head.labels,
        )
        return temperatures.scale * value

    def compute_loss(
        self,
        teacher_outputs: Tensor,
        student_outputs: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Returns the mean loss, for use without `keras_dts.Distiller`.

        Args:
            teacher_outputs: Logits of shape `(batch, ..., classes)`.
            student_outputs: Logits of the same shape.
            labels: `None`, class indices of shape `(batch, ...)`, or
                probabilities of the shape of the logits.
            mask: `None`, or shape `(batch, ...)`, false or 0 for entries
                that do not count.
            **kwargs: Not used.

        Returns:
            A scalar: the mean over the entries that count.
        """
        policy = self.temperature or to_policy(DEFAULT_TEMPERATURE)
        head = LogitPair.of_logits(
            teacher_outputs, student_outputs, labels, mask
        )
        if not policy.built:
            policy.build(head.teacher.shape, head.student.shape)
        (temperatures,) = policy.heads([head], training=False)
        return weighted_mean(self.values(head, temperatures), head.weights)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "temperature": self.temperature
            and keras.saving.serialize_keras_object(self.temperature)
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LogitDistillation:
        """Makes the loss that `get_config` described."""
        return cls(**deserialized(config))


def soften(logits: Tensor, temperature: Tensor) -> Tensor:
    """Divides logits by a scalar, or by one temperature per example or token.

    Args:
        logits: Shape `(batch, ..., classes)`.
        temperature: A scalar, or shape `(batch, ...)`.
    """
    if len(temperature.shape) > 0:
        temperature = ops.expand_dims(temperature, axis=-1)  # (batch, ..., 1)
    return logits / temperature
