"""The protocol of distillation losses on logits."""

from __future__ import annotations

import abc
from typing import Any

import keras

from keras_dts.logits import Distribution, LogitPair, WholeBatch, soften
from keras_dts.temperatures import (
    DEFAULT_TEMPERATURE,
    Temperature,
    Temperatures,
    to_policy,
)
from keras_dts.types import Tensor
from keras_dts.utils import Schedule, deserialize


class LogitDistillation(keras.distillation.DistillationLoss, abc.ABC):
    """A loss between the softened logits of teacher and student.

    Abstract, like its two kinds: `Divergence` compares the distributions of
    one entry, `BatchLoss` may compare all entries of a batch. Masks, weights
    and the mean are applied here and in `keras_dts.Distiller`, once for all
    losses.

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
    # Whether the classes may differ from entry to entry, as those of a cache
    # that keeps the most probable classes of each entry do.
    accepts_top_k = True
    # Whether the value of an entry depends on that entry alone. The two kinds
    # of losses decide it; a loss does not.
    per_entry = False

    def __init__(
        self, temperature: float | str | Schedule | Temperature | None = None
    ) -> None:
        self.temperature = (
            None if temperature is None else to_policy(temperature)
        )

    @abc.abstractmethod
    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Computes the scaled loss of each example or token.

        Args:
            pair: The logits of one output.
            temperatures: The temperatures of that output.

        Returns:
            Shape `(batch, ...)`.
        """

    def compute_loss(
        self,
        teacher_outputs: Tensor,
        student_outputs: Tensor,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Computes the mean loss, for use without `keras_dts.Distiller`.

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
        pair = LogitPair.of_logits(
            teacher_outputs, student_outputs, labels, mask
        )
        if not policy.built:
            policy.build(pair.teacher.shape, pair.student.shape)
        temperatures = policy.snapshot(WholeBatch([pair]))(pair)
        return pair.weighted_mean(self.values(pair, temperatures))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "temperature": self.temperature
            and keras.saving.serialize_keras_object(self.temperature)
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LogitDistillation:
        """Makes the loss that `get_config` described."""
        return cls(**deserialize(config))


class Divergence(LogitDistillation):
    """A divergence between two softened distributions of one entry.

    Abstract: a subclass implements `divergence`. The softening, and the scale
    that keeps the gradients' size (T² in most methods), are applied here. By
    construction the value of an entry depends on that entry alone, so that a
    batch may come in chunks.

    Args:
        temperature: As for `LogitDistillation`.

    Raises:
        ValueError: If `temperature` is not positive.
        TypeError: If a subclass implements `values`, or no `divergence`.
    """

    per_entry = True

    def __init__(
        self, temperature: float | str | Schedule | Temperature | None = None
    ) -> None:
        super().__init__(temperature)
        own, base = type(self), Divergence
        if (own.divergence, own.compare) == (base.divergence, base.compare):
            raise TypeError(
                f"`{own.__name__}` must implement `divergence`. Received: a "
                "`Divergence` without it"
            )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuses a subclass that could see more than one entry."""
        super().__init_subclass__(**kwargs)
        if "values" in vars(cls):
            raise TypeError(
                f"`{cls.__name__}` must implement `divergence`, or derive "
                "from `keras_dts.losses.BatchLoss` to implement `values`. "
                "Received: a `Divergence` with `values`"
            )
        hidden = cls.compare is not Divergence.compare
        if "divergence" in vars(cls) and hidden:
            raise TypeError(
                f"`{cls.__name__}` must derive from "
                "`keras_dts.losses.Divergence` itself to implement "
                "`divergence`. Received: a subclass of a loss that implements "
                "`compare`, which comes first"
            )

    def divergence(
        self,
        teacher_log_probs: Tensor,
        student_log_probs: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """Computes the divergence, in nats, shape `(batch, ...)`.

        Args:
            teacher_log_probs: The teacher's softened log probabilities,
                shape `(batch, ..., classes)`.
            student_log_probs: The student's, of the same shape.
            labels: `None`, class indices of shape `(batch, ...)`, or
                probabilities of shape `(batch, ..., classes)`.
        """
        return self.compare(
            Distribution.of_log_probs(teacher_log_probs),
            Distribution.of_log_probs(student_log_probs),
            labels,
        )

    def compare(
        self,
        teacher: Distribution,
        student: Distribution,
        labels: Tensor | None,
    ) -> Tensor:
        """Computes the divergence, in nats, shape `(batch, ...)`.

        A loss that reads probabilities too implements this instead of
        `divergence`.

        Args:
            teacher: The teacher's softened distributions.
            student: The student's.
            labels: As for `divergence`.
        """
        return self.divergence(teacher.log_probs, student.log_probs, labels)

    def values(self, pair: LogitPair, temperatures: Temperatures) -> Tensor:
        """Computes the scaled divergence of each example or token."""
        value = self.compare(
            Distribution.of_logits(soften(pair.teacher, temperatures.teacher)),
            Distribution.of_logits(soften(pair.student, temperatures.student)),
            pair.labels,
        )
        return temperatures.scale * value


class BatchLoss(LogitDistillation):
    """A loss that may compare the entries of a batch with each other.

    Abstract: a subclass implements `values`, and sees the logits, labels,
    weights and temperatures of the whole batch. The batch is never cut into
    chunks. A loss that is one number for a batch returns that number for each
    entry.

    Args:
        temperature: As for `LogitDistillation`.

    Raises:
        ValueError: If `temperature` is not positive.
    """
