"""A term of Keras's loss on features."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.distiller.terms.base import Term, TermInputs
from keras_dts.features import Projector
from keras_dts.hub import padding_of
from keras_dts.logits import Column, EntryWeights, Part, broadcast_weights
from keras_dts.types import ModelOutputs, TeacherOutputs, Tensor
from keras_dts.utils import (
    is_keras_loss,
    static_shape,
    to_loss_dtype,
    unreduced,
)


class FeatureTerm(Term):
    """Keras's `FeatureDistillation`, of features of any widths.

    A loss that takes features of both widths, as one on attention maps or on
    similarities of examples does, gets them as they are. Where it cannot, as
    Keras's own losses cannot, a projector stands in between.

    Args:
        loss: A `keras.distillation.FeatureDistillation`.

    Raises:
        ValueError: If the loss names a layer of one model alone.
    """

    def __init__(self, loss: Any) -> None:
        super().__init__(name="feature_term")
        self._wrapped = (loss,)
        self.teacher_paths = _names(loss.teacher_layer_name)
        self.student_paths = _names(loss.student_layer_name)
        if len(self.teacher_paths) != len(self.student_paths):
            raise ValueError(
                "`FeatureDistillation` needs both `teacher_layer_name` and "
                "`student_layer_name`, or neither for the models' outputs. "
                f"Received: teacher_layer_name={loss.teacher_layer_name!r}, "
                f"student_layer_name={loss.student_layer_name!r}"
            )
        self.reads_outputs = not self.teacher_paths
        self.weights_of = EntryWeights(name="feature_weights")
        self._functions = (keras.tree.flatten(loss.loss),)
        self.projectors = [
            Projector(name=f"projector_{i}")
            for i, function in enumerate(self._functions[0])
            if function is not None
        ]

    @property
    def loss_name(self) -> str:
        """The name of the loss's class, for messages."""
        return type(self._wrapped[0]).__name__

    def build_for(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Builds the projectors."""
        self._pairs(teacher, student)

    def _pairs(
        self, teacher: ModelOutputs | TeacherOutputs, student: ModelOutputs
    ) -> list[tuple[int, Any, Tensor, Tensor, Tensor]]:
        """Returns what to compare.

        Returns:
            For each tensor that is not skipped: its number, Keras's loss, the
            teacher's features, the student's as projected, and as they came,
            with their mask.
        """
        (functions,) = self._functions
        ours = _features(student, self.student_paths)
        theirs = _features(teacher, self.teacher_paths)
        if not len(ours) == len(theirs) == len(functions):
            raise ValueError(
                "`FeatureDistillation` needs one loss for each tensor that "
                f"the two layers return. Received: {len(functions)} losses "
                f"for {len(ours)} tensors of the student and {len(theirs)} of "
                "the teacher"
            )
        projectors = iter(self.projectors)
        pairs = []
        for index, function in enumerate(functions):
            if function is not None:
                t, s = to_loss_dtype(theirs[index]), to_loss_dtype(ours[index])
                projected = self._project(next(projectors), function, t, s)
                pairs.append((index, function, t, projected, ours[index]))
        return pairs

    def _project(
        self, projector: Projector, function: Any, teacher: Any, student: Any
    ) -> Tensor:
        """Returns the student's features as the loss compares them."""
        if not projector.built and self._takes_both(function, teacher, student):
            shape = _sizes(student)
            projector.build(shape, shape)  # the identity
        return projector(student, teacher)

    def _takes_both(self, function: Any, teacher: Any, student: Any) -> bool:
        """Says whether the loss takes features of different shapes.

        By trying it; what only broadcasts does not count.
        """
        shapes = _sizes(teacher)[1:], _sizes(student)[1:]
        if shapes[0] == shapes[1] or len(shapes[0]) != len(shapes[1]):
            return False
        if any(t != s and 1 in (t, s) for t, s in zip(*shapes, strict=True)):
            return False
        try:
            self._values(function, teacher, student)
        except Exception:  # whatever a loss raises for shapes that differ
            return False
        return True

    def _values(self, function: Any, teacher: Any, student: Any) -> Tensor:
        (loss,) = self._wrapped
        if is_keras_loss(loss, keras.distillation.FeatureDistillation):
            return unreduced(function, teacher, student)
        return loss.compute_loss(teacher, student)

    def compute(self, inputs: TermInputs) -> list[Part]:
        """Computes the losses of the layers' outputs."""
        return [
            self._column(
                index,
                self._values(function, teacher, student),
                features,
                inputs,
            )
            for index, function, teacher, student, features in self._pairs(
                inputs.teacher, inputs.student
            )
        ]

    def _column(
        self, index: int, values: Tensor, features: Tensor, inputs: TermInputs
    ) -> Column:
        if len(values.shape) == 0:
            return Column(values, None)
        weights = self.weights_of(features)  # the layer's own mask, if any
        while len(weights.shape) > len(values.shape):
            weights = ops.max(weights, axis=-1)
        given = inputs.sample_weight
        if self.reads_outputs:
            given = inputs.weights_of_outputs()[index]
        weights = weights * value_weights(values, given)
        padding = padding_of(inputs.inputs)
        if padding is not None and _has_positions(values, padding):
            weights = weights * broadcast_weights(padding, values)
        return Column(values, weights)


def value_column(values: Tensor, sample_weight: Any) -> Column:
    """Returns the values of a loss with their weights, see `value_weights`.

    Args:
        values: A scalar, or shape `(batch, ...)`.
        sample_weight: The user's weights, or `None`.
    """
    if len(values.shape) == 0:
        return Column(values, None)
    return Column(values, value_weights(values, sample_weight))


def value_weights(values: Tensor, sample_weight: Any) -> Tensor:
    """Returns a weight for each value of a loss.

    The first of the sample weights counts; where they have another shape
    than the values, their mean over all axes but the first.

    Args:
        values: Shape `(batch, ...)`.
        sample_weight: The user's weights, or `None`.
    """
    weights = ops.ones_like(values)
    given = [w for w in keras.tree.flatten(sample_weight) if w is not None]
    if not given:
        return weights
    first = ops.cast(given[0], values.dtype)
    shape = tuple(first.shape)
    if len(shape) > 1 and shape[1:] != tuple(values.shape)[1 : len(shape)]:
        first = ops.mean(first, axis=tuple(range(1, len(shape))))
    return weights * broadcast_weights(first, values)


def _sizes(x: Tensor) -> tuple[int | None, ...]:
    """Returns a shape, with `None` for the sizes that JAX has as symbols."""
    return tuple(n if isinstance(n, int) else None for n in static_shape(x))


def _has_positions(values: Tensor, padding: Tensor) -> bool:
    return len(values.shape) >= 2 and values.shape[1] == padding.shape[1]


def _names(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _features(
    outputs: ModelOutputs | TeacherOutputs, paths: tuple[str, ...]
) -> list[Tensor]:
    """Returns a layer's outputs, or the model's, as a flat list."""
    found = outputs.features[paths[0]] if paths else outputs.outputs
    return keras.tree.flatten(found)
