"""The logits of both models for one output."""

from __future__ import annotations

import dataclasses

from keras import ops

from keras_dts.logits.convert import to_logits
from keras_dts.logits.labels import to_labels
from keras_dts.logits.means import Column, weighted_mean
from keras_dts.logits.ops import cross_entropy
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype


# Compared by identity, since tensors do not say whether they are equal.
@dataclasses.dataclass(frozen=True, eq=False)
class LogitPair:
    """One output of both models, ready for losses and temperatures.

    Args:
        teacher: The teacher's logits, float32, shape `(batch, ..., classes)`.
            No gradient flows into them.
        student: The student's logits, of the same shape.
        labels: `None`, class indices of shape `(batch, ...)`, or
            probabilities of shape `(batch, ..., classes)`.
        weights: One weight for each example or token, float32, shape
            `(batch, ...)`; 0 where an entry is masked or padding. `None`
            where every entry weighs 1.
        output: The number of the output among the models' outputs.
        same_tokens: Whether class indices mean the same token in both
            models; equal counts do not imply it.
        argmax_pair: `None`, or the logits that stand for `teacher` and
            `student` where only the most probable class matters.
        labelled: Which entries have a label, bool, shape `(batch, ...)`;
            `None` where all have one. Class indices of the others are the
            teacher's first choice, soft labels are 0.
    """

    teacher: Tensor
    student: Tensor
    labels: Tensor | None = None
    weights: Tensor | None = None
    output: int = 0
    same_tokens: bool = True
    argmax_pair: tuple[Tensor, Tensor] | None = None
    labelled: Tensor | None = None

    @classmethod
    def of_logits(
        cls,
        teacher: Tensor,
        student: Tensor,
        labels: Tensor | None,
        mask: Tensor | None,
    ) -> LogitPair:
        """Makes a pair of logits that come without a distiller.

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
        if mask is not None:
            mask = ops.cast(mask, loss_dtype())
        teacher = ops.stop_gradient(ops.convert_to_tensor(teacher))
        teacher, student = (
            to_logits(x, from_logits=True) for x in (teacher, student)
        )
        return cls(teacher, student, labels, mask)

    @property
    def counted(self) -> Tensor:
        """Which entries count, bool, shape `(batch, ...)`: weight not 0."""
        if self.weights is None:
            return ops.ones(ops.shape(self.student)[:-1], dtype="bool")
        return ops.not_equal(self.weights, 0)

    def counted_column(self, values: Tensor) -> Column:
        """Returns values with a weight of 1 where an entry counts, else 0.

        Args:
            values: One for each example or token, shape `(batch, ...)`.
        """
        if self.weights is None:
            return Column(values, None)
        return Column(values, ops.cast(self.counted, values.dtype))

    def mean(self, values: Tensor) -> Tensor:
        """Computes the plain mean of values over the entries that count.

        Args:
            values: One for each example or token, shape `(batch, ...)`.
        """
        return weighted_mean(*self.counted_column(values))

    def weighted_mean(self, values: Tensor) -> Tensor:
        """Computes the weighted mean of values over the entries that count.

        Args:
            values: One for each example or token, shape `(batch, ...)`.
        """
        return weighted_mean(values, self.weights)

    def for_each_entry(self, value: Tensor) -> Tensor:
        """Returns a scalar for each example or token, shape `(batch, ...)`."""
        return value * ops.ones_like(self.student[..., 0])

    @property
    def same_classes(self) -> bool:
        """Whether both models have the same classes."""
        sizes = {self.teacher.shape[-1], self.student.shape[-1]}
        return len(sizes - {None}) < 2 and self.same_tokens

    def check_same_classes(self, who: str) -> None:
        """Raises a `ValueError` unless both models have the same classes.

        Args:
            who: The name of the loss, policy or metric that compares them.
        """
        if not self.same_classes:
            teacher, student = self.teacher.shape[-1], self.student.shape[-1]
            other = " other ones" if teacher == student else ""
            raise ValueError(
                f"`{who}` compares the teacher and the student class by "
                "class, and needs the same classes. Received: "
                f"{teacher} of the teacher and {student}{other} of the student"
            )

    @property
    def argmax_logits(self) -> tuple[Tensor, Tensor]:
        """The logits of both models for finding the most probable class.

        With top-k logits the last class sums many, and is none to choose.
        """
        return self.argmax_pair or (self.teacher, self.student)

    @property
    def has_class_indices(self) -> bool:
        """Whether there are labels, and they are class indices."""
        return self.labels is not None and len(self.labels.shape) < len(
            self.student.shape
        )

    @property
    def has_gap(self) -> bool:
        """Whether there are labels, and classes that both models have."""
        return self.labels is not None and self.same_classes

    def gap_column(self) -> Column:
        """Returns `gap_values`, with a weight of 1 for entries with a label.

        Those that do not count, or have no label, weigh 0.
        """
        values = self.gap_values()
        if self.labelled is None:
            return self.counted_column(values)
        counted = ops.logical_and(self.labelled, self.counted)
        return Column(values, ops.cast(counted, values.dtype))

    def gap(self) -> Tensor:
        """Computes the mean of `gap_values` over the entries with a label.

        Returns:
            A scalar; 0 where no entry that counts has one.
        """
        return weighted_mean(*self.gap_column())

    def gap_values(self) -> Tensor:
        """Computes how far the student is behind at each entry.

        Returns:
            `CE(student, labels) - CE(teacher, labels)` at temperature 1, in
            nats, without a gradient, shape `(batch, ...)`; 0 without labels,
            and where the models have different classes.
        """
        student = ops.stop_gradient(self.student)
        if self.labels is None or not self.has_gap:
            return ops.zeros_like(student[..., 0])
        return cross_entropy(student, self.labels) - cross_entropy(
            self.teacher, self.labels
        )
