"""Whether the outputs of two models can be compared, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras

from keras_dts.logits.convert import gives_logits
from keras_dts.types import Tensor
from keras_dts.utils import show


@dataclasses.dataclass(frozen=True)
class OutputSpec:
    """How one output of both models is read.

    Args:
        index: Its number, in the order of `keras.tree.flatten`.
        teacher_logits: Whether the teacher's output is logits.
        student_logits: Whether the student's output is logits.
        teacher_classes: The size of the teacher's last axis.
        student_classes: The size of the student's last axis.
        same_classes: Whether a loss needs the same classes in both models.
        same_tokens: `True` where both models have the same tokens, so that
            further rows of one of them only pad its vocabulary; `False`
            where their tokens differ; `None` where there are no tokens.
    """

    index: int
    teacher_logits: bool
    student_logits: bool
    teacher_classes: int
    student_classes: int
    same_classes: bool
    same_tokens: bool | None

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

    def check_shapes(self, teacher: Tensor, student: Tensor) -> None:
        """Raises a `ValueError` unless the shapes of a batch fit."""
        sizes = list(zip(teacher.shape, student.shape, strict=False))
        sizes = sizes if self.same_classes else sizes[:-1]
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
            classes, if shapes differ, or if an output that is read is no
            distribution.
    """
    flat = tuple(keras.tree.flatten(x) for x in outputs)
    check_counts(*flat)
    specs = []
    for index, losses in readers.items():
        teacher, student = flat[0][index], flat[1][index]
        same = any(loss.same_classes for loss in losses)
        if same and same_tokens is False:
            raise _other_tokens(*models)
        is_logits = [
            gives_logits(model, index, said)
            for model, said in zip(models, from_logits, strict=True)
        ]
        spec = OutputSpec(
            index,
            is_logits[0],
            is_logits[1],
            teacher.shape[-1],
            student.shape[-1],
            same,
            same_tokens,
        )
        spec.check_shapes(*spec.cut(teacher, student))
        specs.append(spec)
    return tuple(specs)


def check_counts(teacher: Iterable[Any], student: Iterable[Any]) -> None:
    """Raises a `ValueError` unless both models have as many outputs."""
    theirs, ours = len(list(teacher)), len(list(student))
    if theirs != ours:
        raise ValueError(
            "`teacher` and `student` must have the same outputs. "
            f"Received: {theirs} outputs of the teacher, {ours} of the student"
        )


def _first_classes(output: Tensor, most: int) -> Tensor:
    # What needs no cut keeps its mask.
    return output if output.shape[-1] <= most else output[..., :most]


def _logit_shape(output: Tensor) -> tuple[Any, ...]:
    entries = [None] * (len(output.shape) - 1)
    return (*entries, max(output.shape[-1], 2))


def _other_tokens(teacher: keras.Model, student: keras.Model) -> ValueError:
    return ValueError(
        "`teacher` and `student` must have the same tokens, because the losses "
        "compare them token by token; give `losses.UniversalLogitDistillation` "
        "as `distillation_losses` where they have not. Received: the "
        f"tokenizers of {teacher.name!r} and {student.name!r}, which have "
        "other tokens or other ids for them"
    )
