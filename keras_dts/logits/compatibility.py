"""Whether the outputs of two models can be compared, checked once."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from keras_dts.logits.families import (
    is_of_labels,
    is_of_values,
    name_of,
    reads_logits,
)
from keras_dts.logits.kinds import OutputKind, output_kind
from keras_dts.logits.structures import check_counts, check_names
from keras_dts.types import Tensor
from keras_dts.utils import loss_setting, show


@dataclasses.dataclass(frozen=True)
class OutputSpec:
    """How one output of both models is read.

    Args:
        index: Its number, in the order of `keras.tree.flatten`.
        teacher_kind: What the teacher's output is.
        student_kind: What the student's output is.
        teacher_classes: The size of the teacher's last axis, `None` where a
            run alone knows it.
        student_classes: The size of the student's last axis.
        same_classes: Whether a loss needs the same classes in both models.
        same_tokens: `True` where both models have the same tokens, so that
            further rows of one of them only pad its vocabulary; `False`
            where their tokens differ; `None` where there are no tokens.
        rank: The number of the axes, the batch included.
    """

    index: int
    teacher_kind: OutputKind
    student_kind: OutputKind
    teacher_classes: int | None
    student_classes: int | None
    same_classes: bool
    same_tokens: bool | None
    rank: int = 2

    def independent_by(self, loss: Any) -> bool:
        """Whether labels may all be true, as a model or `compile` tells.

        Args:
            loss: The loss on labels for this output, or `None`.
        """
        several = self.student_classes != 1
        return self.independent or (several and is_of_labels(loss))

    @property
    def independent(self) -> bool:
        """Whether a model tells that labels may all be true."""
        return self.teacher_kind.independent or self.student_kind.independent

    def kinds_with(self, loss: Any) -> tuple[OutputKind, OutputKind]:
        """Returns what both outputs are, by what `compile` was told too.

        Args:
            loss: The loss on labels for this output, or `None`.

        Raises:
            ValueError: If the loss compares values, not distributions, or
                has its classes on another axis than the last.
        """
        axis = loss_setting(loss, "axis", -1)
        if isinstance(axis, int) and axis not in (-1, self.rank - 1):
            raise ValueError(
                "`loss` has another axis, but the classes must be on the last "
                "axis of each output that losses on logits read. Received: "
                f"axis={axis} in the loss for output {self.index}, of "
                f"{self.rank} axes. Let the models end in a "
                "`keras.layers.Permute`"
            )
        teacher, student = self.teacher_kind, self.student_kind
        is_distribution = teacher.source == "told" and not teacher.is_logits
        if is_of_values(loss) and not is_distribution:
            raise ValueError(
                "`distillation_losses` on logits compare distributions over "
                "classes, and need an output that is one. Received: output "
                f"{self.index}, which learns values by the loss "
                f"{name_of(loss)!r}. Give `keras_dts.losses."
                "MeanSquaredError()` for it, which compares values, or `None`"
            )
        said = reads_logits(loss)
        if student.source == "guessed" and said is not None:
            student = student._replace(is_logits=said)
        if self.independent_by(loss):
            teacher = teacher._replace(independent=True)
            student = student._replace(independent=True)
        return teacher, student

    def cut(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts off the rows that pad the vocabulary of one of the models.

        Args:
            teacher: The teacher's output, shape `(batch, ..., classes)`.
            student: The student's output.
        """
        if not self.same_tokens:
            return teacher, student
        return (
            _first_classes(teacher, self.student_classes),
            _first_classes(student, self.teacher_classes),
        )

    def check_shapes(
        self, teacher: Tensor, student: Tensor, *, batch: bool = True
    ) -> None:
        """Raises a `ValueError` unless the shapes of a batch fit.

        Args:
            teacher: The teacher's output.
            student: The student's output.
            batch: Whether the sizes of the batch must be equal. Models may
                have been built with batches of their own.
        """
        first = 0 if batch else 1
        sizes = list(zip(teacher.shape, student.shape, strict=False))[first:]
        if not self.same_classes or _both_of_two_classes(teacher, student):
            sizes = sizes[:-1]
        if len(teacher.shape) == len(student.shape) and all(
            t == s or None in (t, s) for t, s in sizes
        ):
            return
        same = teacher.shape[-1] == student.shape[-1]
        raise ValueError(
            "`teacher` and `student` must have the same "
            f"{'output shape' if same else 'classes'}. Received: outputs of "
            f"shape {show(teacher.shape)} from the teacher and "
            f"{show(student.shape)} from the student"
        )

    def logit_shapes(
        self, teacher: Tensor, student: Tensor
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Returns the shapes of both models' logits, to build a layer with."""
        teacher, student = self.cut(teacher, student)
        if self.independent:
            labels = (*(None for _ in teacher.shape), 2)
            return labels, labels
        return _logit_shape(teacher), _logit_shape(student)


def output_specs(
    models: tuple[keras.Model, keras.Model],
    outputs: tuple[Any, Any],
    readers: dict[int, list[Any]],
    from_logits: tuple[bool | str, bool | str],
    *,
    same_tokens: bool | None,
) -> tuple[OutputSpec, ...]:
    """Checks the outputs of two models, and returns how they are read.

    Args:
        models: The teacher and the student.
        outputs: The outputs of each for one batch, symbolic or not.
        readers: The losses that read each output, by its number.
        from_logits: For each model whether its outputs are logits, or
            `"auto"`.
        same_tokens: As in `OutputSpec`.

    Raises:
        ValueError: If the models have different numbers of outputs or of
            classes, or if shapes differ.
    """
    flat = tuple(keras.tree.flatten(x) for x in outputs)
    check_counts(*flat)
    check_names(models, outputs, readers)
    specs = []
    for index, losses in readers.items():
        teacher, student = flat[0][index], flat[1][index]
        same = any(loss.same_classes for loss in losses)
        if same and same_tokens is False:
            raise _other_tokens(*models)
        kinds = [
            _kind(model, index, said)
            for model, said in zip(models, from_logits, strict=True)
        ]
        spec = OutputSpec(
            index,
            kinds[0],
            kinds[1],
            teacher.shape[-1],
            student.shape[-1],
            same,
            same_tokens,
            len(student.shape),
        )
        spec.check_shapes(*spec.cut(teacher, student), batch=False)
        specs.append(spec)
    return tuple(specs)


def class_counts(
    specs: tuple[OutputSpec, ...], losses: list[Any], names: list[str] | None
) -> str:
    """Says how many classes each output has, for messages.

    Args:
        specs: How the outputs are read.
        losses: The loss given to `compile` for each output, or `None`.
        names: The names of the student's outputs, if it tells them.
    """
    counts = [
        2
        if spec.independent_by(losses[spec.index])
        else "an unknown number"
        if spec.student_classes is None
        else max(spec.student_classes, 2)
        for spec in specs
    ]
    if len(specs) == 1:
        return str(counts[0])
    return ", ".join(
        f"{count} of output {names[spec.index]!r}"
        if names
        else f"{count} of output {spec.index}"
        for spec, count in zip(specs, counts, strict=True)
    )


def _kind(model: keras.Model, index: int, said: bool | str) -> OutputKind:
    """Returns what an output is; what the user says of logits counts."""
    kind = output_kind(model, index)
    if said == "auto":
        return kind
    return kind._replace(is_logits=bool(said), source="said")


def _both_of_two_classes(teacher: Tensor, student: Tensor) -> bool:
    """Says whether one unit meets two: both are two classes."""
    return {teacher.shape[-1], student.shape[-1]} == {1, 2}


def _first_classes(output: Tensor, most: int | None) -> Tensor:
    # What needs no cut keeps its mask.
    sizes = output.shape[-1], most
    fits = None in sizes or sizes[0] <= sizes[1]
    return output if fits else output[..., :most]


def _logit_shape(output: Tensor) -> tuple[Any, ...]:
    entries = [None] * (len(output.shape) - 1)
    classes = output.shape[-1]
    return (*entries, classes if classes is None else max(classes, 2))


def _other_tokens(teacher: keras.Model, student: keras.Model) -> ValueError:
    return ValueError(
        "`teacher` and `student` must have the same tokens, because the losses "
        "compare them token by token; give `losses.UniversalLogitDistillation` "
        "as `distillation_losses` where they have not. Received: the "
        f"tokenizers of {teacher.name!r} and {student.name!r}, which have "
        "other tokens or other ids for them"
    )
