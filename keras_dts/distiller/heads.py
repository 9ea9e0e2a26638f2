"""Prepares the outputs of both models for the losses that read logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.distiller.terms import Term
from keras_dts.logits import (
    EntryWeights,
    LogitPair,
    TokenMask,
    are_indices,
    check_sample_weight,
    coarse_head,
    gives_logits,
    read_labels,
    to_logits,
)
from keras_dts.losses import LogitDistillation
from keras_dts.temperatures import Temperatures
from keras_dts.text import same_tokens, tokens_unknown
from keras_dts.types import Tensor
from keras_dts.utils import loss_dtype, show


class Reading(NamedTuple):
    """How one output is to be read.

    Attributes:
        teacher_logits: Whether the teacher's output is logits.
        student_logits: Whether the student's output is logits.
        ignore: The class index that means "no label", or `None`.
        same_tokens: Whether a class means the same to both models.
        classes: `None`, or which classes the teacher's are, for each entry,
            where the last one of the teacher's is the tail; int32, shape
            `(batch, ..., k)`.
    """

    teacher_logits: bool
    student_logits: bool
    ignore: int | None
    same_tokens: bool
    classes: Tensor | None = None


class Prepared(NamedTuple):
    """The outputs as `HeadReader.prepare` returns them.

    Attributes:
        heads: For each output a `Head`, or `None` where no loss reads it.
        faults: Whether the teacher's logits are not all finite, and whether
            some labels name no class: 0 or 1 each, float32, shape `(2,)`.
        y: The labels given, with 0 for indices that name no class.
    """

    heads: list[LogitPair | None]
    faults: Tensor
    y: Any


class HeadReader:
    """Reads the outputs of both models for the losses on logits.

    Args:
        teacher: The teacher.
        student: The student.
        terms: The terms of the distillation loss.
        from_logits: For teacher and student whether their outputs are
            logits, or `"auto"`.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        terms: list[Term],
        from_logits: tuple[Any, Any],
    ) -> None:
        self.from_logits = from_logits
        self._models = (teacher, student)
        self._known: bool | None = None
        self._token_mask = TokenMask(name="token_mask")
        self._terms = terms
        self._entry_weights = EntryWeights(name="entry_weights")
        self._are_logits: dict[int, tuple[bool, bool]] = {}
        self._teacher_sizes: list[int] = []
        self._structure: Any = None
        self._losses: dict[int, list[LogitDistillation]] | None = None

    @property
    def _same_tokens(self) -> bool | None:
        """What `same_tokens` says of the models, once it is known."""
        if self._known is None:
            self._known = same_tokens(*self._models)
        return self._known

    def check_outputs(self, teacher: Any, student: Any) -> None:
        """Raises unless the outputs that losses read fit each other.

        Args:
            teacher: The teacher's outputs.
            student: The student's outputs.

        Raises:
            ValueError: If the models have different numbers of outputs or
                of classes, if shapes differ, or if an output that is read is
                no distribution.
        """
        theirs, ours = self._flat(teacher, student)
        outputs = keras.tree.flatten(teacher)
        self._teacher_sizes = [output.shape[-1] for output in outputs]
        self._structure = keras.tree.map_structure(lambda _: 0, teacher)
        for index, losses in self._read(student).items():
            same = any(loss.same_classes for loss in losses)
            if same and self._same_tokens is False:
                raise _other_tokens(*self._models)
            _check_shapes(theirs[index], ours[index], same)
            self._logits(index)

    def outputs_of(self, loss: LogitDistillation) -> set[int] | None:
        """Returns the outputs that a loss reads, `None` if not yet known."""
        if self._losses is None:
            return None
        return {
            index
            for index, losses in self._losses.items()
            if any(loss is x for x in losses)
        }

    def packed(self, outputs: Sequence[Tensor]) -> Any:
        """Returns a teacher's outputs in the structure that it gives."""
        return keras.tree.pack_sequence_as(self._structure, list(outputs))

    def logit_shapes(
        self, teacher: Any, student: Any
    ) -> list[tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Returns the shapes of the logits that losses read.

        Args:
            teacher: The teacher's outputs.
            student: The student's outputs.

        Returns:
            For each output that is read the teacher's and the student's.
        """
        theirs, ours = self._flat(teacher, student)
        return [
            (_logit_shape(theirs[index]), _logit_shape(ours[index]))
            for index in self._read(student)
        ]

    def check_targets(self, student: Any, y: Any, sample_weight: Any) -> None:
        """Raises unless labels and weights fit the outputs that losses read.

        Args:
            student: The student's outputs.
            y: The labels, or `None`.
            sample_weight: The user's weights, or `None`.

        Raises:
            ValueError: If a shape does not fit.
        """
        outputs = keras.tree.flatten(student)
        labels = one_for_each(y, student)
        weights = one_for_each(sample_weight, student)
        for index in self._read(student):
            if labels[index] is not None:
                are_indices(labels[index], outputs[index])
            if weights[index] is not None:
                check_sample_weight(weights[index], outputs[index].shape[:-1])

    def prepare(
        self,
        teacher: Any,
        student: Any,
        y: Any,
        sample_weight: Any,
        loss: Any,
        overlap: Tensor | None = None,
        classes: list[Tensor | None] | None = None,
    ) -> Prepared:
        """Prepares the outputs that losses read.

        Args:
            teacher: The teacher's outputs: a tensor, list or dictionary.
            student: The student's outputs, of the same structure.
            y: The labels, or `None`.
            sample_weight: The user's weights, or `None`.
            loss: The loss given to `compile`; its `ignore_class`, if it has
                one, means "no label".
            overlap: `None`, or 0 where the models cannot be compared, shape
                `(batch, ...)`.
            classes: `None` for a teacher that is there. For its answers from
                a cache, for each output `None`, or which classes they are
                of; those of some classes are log probabilities.

        Raises:
            ValueError: As `check_outputs`; or if a loss needs classes that
                are the same for all examples.
        """
        cached = classes is not None
        if not cached:
            self.check_outputs(teacher, student)
        theirs, ours = self._flat(teacher, student, classes)
        classes = classes or [None] * len(ours)
        outputs = keras.tree.flatten(student)  # uncut, with their masks
        labels = one_for_each(y, student)
        weights = one_for_each(sample_weight, student)
        losses = one_for_each(loss, student)
        heads: list[LogitPair | None] = [None] * len(ours)
        faults = [ops.zeros((2,), dtype=loss_dtype())]
        for index, readers in self._read(student).items():
            if classes[index] is not None:
                _check_coarse(readers)
            is_logits = self._logits(index)
            ignore = getattr(losses[index], "ignore_class", None)
            weight = self._entry_weights(
                outputs[index], sample_weight=weights[index]
            )
            head, safe, fault = _head(
                theirs[index],
                ours[index],
                labels[index],
                weight if overlap is None else weight * overlap,
                Reading(
                    is_logits[0] or classes[index] is not None,
                    is_logits[1],
                    ignore,
                    self._same_tokens is not False,
                    classes[index],
                ),
            )
            if head.has_class_indices:
                labels[index] = _restored(safe, labels[index], ignore)
            heads[index] = head
            faults.append(fault)
        y = None if y is None else _like(y, student, labels)
        return Prepared(heads, ops.max(ops.stack(faults), axis=0), y)

    def with_masks(self, outputs: Any, sample_weight: Any) -> Any:
        """Returns outputs whose tokens of weight 0 are masked.

        Args:
            outputs: The student's outputs.
            sample_weight: The user's weights, or `None`.
        """
        flat = [
            output
            if weights is None
            or len(output.shape) < 3
            or len(weights.shape) < 2
            else self._token_mask((output, weights))
            for output, weights in zip(
                keras.tree.flatten(outputs),
                one_for_each(sample_weight, outputs),
                strict=True,
            )
        ]
        return keras.tree.pack_sequence_as(outputs, flat)

    def _flat(
        self,
        teacher: Any,
        student: Any,
        coarse: list[Tensor | None] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Returns both models' outputs as flat lists.

        Where the classes are the same tokens, what only one of the models
        has are rows that pad its vocabulary; these are cut off.

        Args:
            teacher: The teacher's outputs.
            student: The student's outputs.
            coarse: `None`, or as `classes` of `prepare`.
        """
        theirs, ours = keras.tree.flatten(teacher), keras.tree.flatten(student)
        if len(theirs) != len(ours):
            raise ValueError(
                "`teacher` and `student` must have the same outputs. "
                f"Received: {len(theirs)} outputs of the teacher, {len(ours)} "
                "of the student"
            )
        if self._same_tokens or tokens_unknown(*self._models):
            sizes = self._teacher_sizes
            if coarse is None:
                sizes = [t.shape[-1] for t in theirs]
            theirs, ours = (
                [_cut(x, n) for x, n in zip(flat, most, strict=True)]
                for flat, most in (
                    (theirs, [s.shape[-1] for s in ours]),
                    (ours, sizes),
                )
            )
        return theirs, ours

    def _read(self, outputs: Any) -> dict[int, list[LogitDistillation]]:
        """Returns the losses on logits of the outputs that have some.

        They are always the same.
        """
        if self._losses is None:
            reads = [term.reads(outputs) for term in self._terms]
            self._losses = {
                index: found
                for index, losses in enumerate(zip(*reads, strict=True))
                if (found := [loss for loss in losses if loss is not None])
            }
        return self._losses

    def _logits(self, index: int) -> tuple[bool, bool]:
        """Says whether the teacher's and the student's output are logits."""
        if index not in self._are_logits:
            teacher, student = (
                gives_logits(model, index, said)
                for model, said in zip(
                    self._models, self.from_logits, strict=True
                )
            )
            self._are_logits[index] = teacher, student
        return self._are_logits[index]


def logged(
    heads: list[LogitPair | None], temperatures: list[Temperatures | None]
) -> dict[str, Tensor]:
    """Returns what a step tells about its outputs.

    Args:
        heads: The heads, `None` for outputs that no loss reads.
        temperatures: What the policy answered for each of them, or `None`.

    Returns:
        `gap`, in nats, and `temperature`, the student's: each the mean over
        the outputs, and missing where there is nothing to tell.
    """
    read = [head for head in heads if head is not None]
    gaps = [head.gap for head in read]
    means = [
        head.mean(answer.student)
        if len(answer.student.shape) > 0
        else answer.student
        for answer, head in zip(temperatures, heads, strict=True)
        if answer is not None and head is not None
    ]
    told = {"gap": gaps, "temperature": means}
    return {name: sum(v) / len(v) for name, v in told.items() if v}


def _logit_shape(output: Tensor) -> tuple[Any, ...]:
    """Returns the shape of an output's logits, to build a layer with."""
    entries = [None] * (len(output.shape) - 1)
    return (*entries, max(output.shape[-1], 2))


def _cut(output: Tensor, most: int) -> Tensor:
    """Cuts off the classes after the first `most`."""
    # What needs no cut keeps its mask.
    return output if output.shape[-1] <= most else output[..., :most]


def _other_tokens(teacher: keras.Model, student: keras.Model) -> ValueError:
    return ValueError(
        "`teacher` and `student` must have the same tokens, because the losses "
        "compare them token by token; give `losses.UniversalLogitDistillation` "
        "as `distillation_losses` where they have not. Received: the "
        f"tokenizers of {teacher.name!r} and {student.name!r}, which have "
        "other tokens or other ids for them"
    )


def _check_shapes(teacher: Tensor, student: Tensor, same_classes: bool) -> None:
    sizes = list(zip(teacher.shape, student.shape, strict=False))
    sizes = sizes if same_classes else sizes[:-1]
    if len(teacher.shape) == len(student.shape) and all(
        t == s or None in (t, s) for t, s in sizes
    ):
        return
    same = teacher.shape[-1] == student.shape[-1]
    raise ValueError(
        "`teacher` and `student` must have the same "
        f"{'output shape' if same else 'classes'}. Received: outputs of shape "
        f"{show(teacher.shape)} from the teacher and {show(student.shape)} "
        "from the student"
    )


def _head(
    teacher: Tensor,
    student: Tensor,
    labels: Tensor | None,
    weights: Tensor,
    reading: Reading,
) -> tuple[LogitPair, Tensor | None, Tensor]:
    """Returns a head, the labels that are safe for the student, and faults."""
    label_fault = ops.zeros((), dtype=loss_dtype())
    safe = None
    if labels is not None:
        safe, bad, ignored = read_labels(labels, student, reading.ignore)
        weights = ops.where(ignored, 0.0, weights)
        label_fault = _any(bad, weights)
    theirs = to_logits(teacher, from_logits=reading.teacher_logits)
    # A sum is finite only where all that it adds up is.
    finite = ops.isfinite(ops.sum(theirs, axis=-1))
    teacher_fault = _any(ops.logical_not(finite), weights)
    head = LogitPair(
        teacher=ops.where(ops.expand_dims(finite, axis=-1), theirs, 0.0),
        student=to_logits(student, from_logits=reading.student_logits),
        labels=safe,
        weights=weights,
        same_tokens=reading.same_tokens,
    )
    if reading.classes is not None:
        head = coarse_head(head, reading.classes)
    return head, safe, ops.stack([teacher_fault, label_fault])


def _check_coarse(losses: list[LogitDistillation]) -> None:
    for loss in losses:
        if not loss.takes_coarse:
            raise ValueError(
                f"`{type(loss).__name__}` needs every class of the teacher, "
                "and `top_k` of the cache must be `None` for it. Received: a "
                "cache that keeps the most probable classes"
            )


def _any(flags: Tensor, weights: Tensor) -> Tensor:
    """Returns 1 if a flag is up at an entry that weighs something, else 0."""
    counted = ops.logical_and(flags, ops.not_equal(weights, 0))
    return ops.cast(ops.any(counted), loss_dtype())


def _restored(safe: Tensor, labels: Tensor, ignore: int | None) -> Tensor:
    """Gives safe labels the shape and dtype that the user's had."""
    labels = ops.convert_to_tensor(labels)
    safe = ops.cast(ops.reshape(safe, ops.shape(labels)), labels.dtype)
    if ignore is None:
        return safe
    return ops.where(ops.equal(labels, ignore), labels, safe)


def one_for_each(structure: Any, outputs: Any) -> list[Any]:
    """Returns labels or sample weights for each output, as a flat list.

    A structure that does not fit is left for Keras to complain about.
    """
    count = len(keras.tree.flatten(outputs))
    if isinstance(structure, dict) and isinstance(outputs, dict):
        return [structure.get(key) for key in sorted(outputs)]
    if isinstance(structure, (list, tuple, dict)):
        flat = keras.tree.flatten(structure)
        return flat if len(flat) == count else [None] * count
    return [structure] * count


def _like(y: Any, outputs: Any, flat: list[Any]) -> Any:
    """Puts flat labels back into the structure the user gave them in."""
    if isinstance(y, dict) and isinstance(outputs, dict):
        new = dict(zip(sorted(outputs), flat, strict=True))
        return {key: new.get(key, value) for key, value in y.items()}
    if isinstance(y, (list, tuple, dict)):
        if len(keras.tree.flatten(y)) != len(flat):
            return y
        return keras.tree.pack_sequence_as(y, flat)
    return flat[0] if len(flat) == 1 else y
