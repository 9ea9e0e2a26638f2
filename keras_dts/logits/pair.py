"""The logits of both models for one output."""

from __future__ import annotations

import dataclasses
import functools

from keras import ops

from keras_dts.logits.convert import to_logits
from keras_dts.logits.labels import to_labels
from keras_dts.logits.ops import cross_entropy
from keras_dts.logits.weights import weighted_mean
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


@dataclasses.dataclass(frozen=True)
class LogitPair:
    """One output of both models, ready for losses and temperatures.

    Args:
        teacher: The teacher's logits, float32, shape `(batch, ..., classes)`.
            No gradient flows into them.
        student: The student's logits, of the same shape.
        labels: `None`, class indices of shape `(batch, ...)`, or
            probabilities of shape `(batch, ..., classes)`.
        weights: One weight for each example or token, shape `(batch, ...)`,
            float32. Masked and padded entries weigh 0.
        same_tokens: Whether a class of the one model means what it means to
            the other, as far as their number does not say it.
        choices: `None`, or what stands for both models' logits where only
            their highest ones are asked for; see `ranked`.
    """

    teacher: Tensor
    student: Tensor
    labels: Tensor | None
    weights: Tensor
    same_tokens: bool = True
    choices: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of_logits(
        cls,
        teacher: Tensor,
        student: Tensor,
        labels: Tensor | None,
        mask: Tensor | None,
    ) -> LogitPair:
        """Makes a head of logits, as policies and losses take them alone.

        Args:
            teacher: The teacher's logits, shape `(batch, ..., classes)`. A
                single class is the positive one of two.
            student: The student's, of the same shape.
            labels: `None`, or as for `to_labels`.
            mask: `None`, or shape `(batch, ...)`, false or 0 for entries
                that do not count.
        """
        student = ops.convert_to_tensor(student)
        if labels is not None:
            labels = to_labels(ops.convert_to_tensor(labels), student)
        teacher = ops.stop_gradient(ops.convert_to_tensor(teacher))
        teacher, student = (
            to_logits(x, from_logits=True) for x in (teacher, student)
        )
        weights = ops.ones(ops.shape(student)[:-1]) if mask is None else mask
        return cls(teacher, student, labels, ops.cast(weights, loss_dtype()))

    def mean(self, values: Tensor) -> Tensor:
        """Returns the plain mean of values over the entries that count.

        Args:
            values: One for each example or token, shape `(batch, ...)`.
        """
        return weighted_mean(values, ops.cast(self.counted, values.dtype))

    @functools.cached_property
    def counted(self) -> Tensor:
        """Which entries count, shape `(batch, ...)`: those that weigh."""
        return ops.not_equal(self.weights, 0)

    @property
    def same_classes(self) -> bool:
        """Whether the models have the same classes."""
        same: bool = self.teacher.shape[-1] == self.student.shape[-1]
        return same and self.same_tokens

    def check_same_classes(self, who: str) -> None:
        """Raises a `ValueError` unless both models have the same classes.

        Args:
            who: What compares them, for the message.
        """
        if not self.same_classes:
            theirs, ours = self.teacher.shape[-1], self.student.shape[-1]
            other = " other ones" if theirs == ours else ""
            raise ValueError(
                f"`{who}` compares the teacher and the student class by "
                "class, and needs the same classes. Received: "
                f"{theirs} of the teacher and {ours}{other} of the student"
            )

    @property
    def ranked(self) -> tuple[Tensor, Tensor]:
        """Both models' logits, to ask which class is the most probable.

        In a coarse head the sum of many classes is no choice.
        """
        return self.choices or (self.teacher, self.student)

    @property
    def has_class_indices(self) -> bool:
        """Whether there are labels, and they are class indices."""
        return self.labels is not None and len(self.labels.shape) < len(
            self.student.shape
        )

    @functools.cached_property
    def gap(self) -> Tensor:
        """How far the student is behind, in nats, at temperature 1.

        The mean of `CE(student, labels) - CE(teacher, labels)` over the
        entries that weigh something, without a gradient; 0 without labels,
        and where the models have different classes.
        """
        if self.labels is None or not self.same_classes:
            return ops.zeros((), dtype=self.student.dtype)
        return self.mean(self.behind)

    @functools.cached_property
    def behind(self) -> Tensor:
        """How far the student is behind at each entry: see `gap`.

        Shape `(batch, ...)`; 0 where `gap` is 0 for want of labels.
        """
        if self.labels is None or not self.same_classes:
            return ops.zeros_like(self.weights)
        student = ops.stop_gradient(self.student)
        return cross_entropy(student, self.labels) - cross_entropy(
            self.teacher, self.labels
        )
