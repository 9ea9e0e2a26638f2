"""The terms of the distillation loss, one for each entry of the argument.

A term takes one step's answers and returns a scalar. Our losses, Keras's and
the user's own differ in what they look at; here they become alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_dts.features import Projector
from keras_dts.logits import (
    EntryWeights,
    LogitPair,
    broadcast_weights,
    weighted_mean,
)
from keras_dts.losses import KD, LogitDistillation, soften
from keras_dts.temperatures import Temperature, Temperatures
from keras_dts.types import ModelOutputs, Tensor
from keras_dts.utils import loss_dtype, to_loss_dtype, unreduced


class Step(NamedTuple):
    """What the terms see of one training step.

    Attributes:
        teacher: The teacher's answers.
        student: The student's answers.
        heads: One for each output that a loss on logits reads, else `None`.
        temperatures: The distiller's policy's answer for each output, or
            `None` where no loss asks for it.
        sample_weight: The user's, or `None`.
        padding: 0 where a position of the inputs is padding, shape
            `(batch, length)`, or `None`.
    """

    teacher: ModelOutputs
    student: ModelOutputs
    heads: list[LogitPair | None]
    temperatures: list[Temperatures | None]
    sample_weight: Any
    padding: Tensor | None = None


class Term(keras.layers.Layer):
    """One entry of `distillation_losses`. A layer, to hold what it trains."""

    # Paths of the layers whose outputs the term reads.
    teacher_paths: tuple[str, ...] = ()
    student_paths: tuple[str, ...] = ()
    # Whether it has losses on logits, and whether one of them softens by the
    # distiller's temperature.
    reads_logits = False
    uses_temperature = False
    # Whether it reads the outputs as the models give them.
    reads_outputs = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(dtype=loss_dtype(), autocast=False, **kwargs)
        self.projectors: list[Projector] = []
        self.losses_on_logits: tuple[LogitDistillation, ...] = ()
        self.policies: list[Temperature] = []
        self.built = True

    def reads(self, outputs: Any) -> list[LogitDistillation | None]:
        """Returns the loss on logits, if any, for each of the outputs."""
        return [None] * len(keras.tree.flatten(outputs))

    def first_look(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Checks what the models answer, and builds what depends on it."""

    def loss(self, step: Step) -> Tensor:
        """Returns the term's value, a scalar."""
        raise NotImplementedError


class LogitTerm(Term):
    """Losses on logits: one for all outputs, or one for each.

    Args:
        losses: A loss, or a list or dictionary of losses shaped like the
            models' outputs, with `None` for an output to skip.
    """

    def __init__(self, losses: Any) -> None:
        super().__init__(name="logit_term")
        # In a tuple, so that Keras does not wrap the user's list.
        self._wrapped = (losses,)
        found = [x for x in keras.tree.flatten(losses) if x is not None]
        self.losses_on_logits = tuple(found)
        self.policies = [x.temperature for x in found if x.temperature]
        self.reads_logits = True
        self.uses_temperature = any(x.temperature is None for x in found)

    def reads(self, outputs: Any) -> list[LogitDistillation | None]:
        """Returns the loss for each of the outputs."""
        return spread(self._wrapped[0], outputs, "distillation_losses")

    def loss(self, step: Step) -> Tensor:
        """Returns the sum of the outputs' losses."""
        losses = self.reads(step.student.outputs)
        total = 0.0
        for loss in dict.fromkeys(x for x in losses if x is not None):
            where = [i for i, x in enumerate(losses) if x is loss]
            heads: Any = [step.heads[i] for i in where]
            temperatures: Any = [step.temperatures[i] for i in where]
            if loss.temperature is not None:
                temperatures = loss.temperature.heads(heads, training=True)
            value = sum(
                weighted_mean(loss.values(head, t), head.weights)
                for head, t in zip(heads, temperatures, strict=True)
            )
            if loss.temperature is not None:
                loss.temperature.observe(value)
            total = total + value
        return total


class FeatureTerm(Term):
    """Keras's `FeatureDistillation`, with a projector where widths differ."""

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

    def first_look(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Builds the projectors."""
        self._pairs(teacher, student)

    def _pairs(
        self, teacher: ModelOutputs, student: ModelOutputs
    ) -> list[tuple[Any, Tensor, Tensor, Tensor]]:
        """Returns what to compare.

        Returns:
            For each tensor that is not skipped: Keras's loss, the teacher's
            features, the student's as projected, and as they came, with
            their mask.
        """
        (functions,) = self._functions
        ours = _read(student, self.student_paths)
        theirs = _read(teacher, self.teacher_paths)
        if not len(ours) == len(theirs) == len(functions):
            raise ValueError(
                "`FeatureDistillation` needs one loss for each tensor that "
                f"the two layers return. Received: {len(functions)} losses "
                f"for {len(ours)} tensors of the student and {len(theirs)} of "
                "the teacher"
            )
        projectors = iter(self.projectors)
        return [
            (
                function,
                to_loss_dtype(t),
                next(projectors)(to_loss_dtype(s), to_loss_dtype(t)),
                s,
            )
            for function, t, s in zip(functions, theirs, ours, strict=True)
            if function is not None
        ]

    def loss(self, step: Step) -> Tensor:
        """Returns the sum of the losses of the layers' outputs."""
        (loss,) = self._wrapped
        own = not _is_keras_s(loss, keras.distillation.FeatureDistillation)
        total = 0.0
        for function, teacher, student, features in self._pairs(
            step.teacher, step.student
        ):
            if own:
                values = loss.compute_loss(teacher, student)
            else:
                values = unreduced(function, teacher, student)
            total = total + self._mean(values, features, step)
        return total

    def _mean(self, values: Tensor, features: Tensor, step: Step) -> Tensor:
        if len(values.shape) == 0:
            return values
        weights = self.weights_of(features)  # the layer's own mask, if any
        while len(weights.shape) > len(values.shape):
            weights = ops.max(weights, axis=-1)
        weights = weights * _weights(values, step.sample_weight)
        if step.padding is not None and _has_positions(values, step.padding):
            weights = weights * broadcast_weights(step.padding, values)
        return weighted_mean(values, weights)


class OutputTerm(Term):
    """A user's own `DistillationLoss`: outputs in, any number of values out."""

    reads_outputs = True

    def __init__(self, loss: Any) -> None:
        super().__init__(name="output_term")
        self._wrapped = (loss,)

    def first_look(self, teacher: ModelOutputs, student: ModelOutputs) -> None:
        """Lets the loss check the outputs it will get."""
        self._wrapped[0].validate_outputs(teacher.outputs, student.outputs)

    def loss(self, step: Step) -> Tensor:
        """Returns the loss, reduced if it is one value per example."""
        values = ops.convert_to_tensor(
            self._wrapped[0].compute_loss(
                step.teacher.outputs, step.student.outputs
            )
        )
        if len(values.shape) == 0:
            return values
        return weighted_mean(values, _weights(values, step.sample_weight))


@keras.saving.register_keras_serializable(package="keras_dts")
class SoftCrossEntropy(LogitDistillation):
    """The KL divergence plus the teacher's entropy: T² times -Σ p_T log p_S."""

    def divergence(
        self,
        teacher_log_probs: Tensor,
        student_log_probs: Tensor,
        labels: Tensor | None,
    ) -> Tensor:
        """Returns the cross entropy, in nats, shape `(batch, ...)`."""
        del labels
        return -ops.sum(ops.exp(teacher_log_probs) * student_log_probs, axis=-1)


class OnLogits(LogitDistillation):
    """A Keras loss between logits divided by T, as Keras applies it."""

    def __init__(self, temperature: float, function: Any) -> None:
        super().__init__(temperature)
        self.function = function

    def values(self, head: LogitPair, temperatures: Temperatures) -> Tensor:
        """Returns the loss of each example or token."""
        return unreduced(
            self.function,
            soften(head.teacher, temperatures.teacher),
            soften(head.student, temperatures.student),
        )


def to_term(loss: Any, teacher: keras.Model, student: keras.Model) -> Term:
    """Makes the term for one entry of `distillation_losses`.

    Raises:
        ValueError: If the entry is no distillation loss, or names layers
            that the models do not have.
    """
    if isinstance(loss, (list, tuple, dict, LogitDistillation)):
        losses = [x for x in keras.tree.flatten(loss) if x is not None]
        if not losses or not all(
            isinstance(x, LogitDistillation) for x in losses
        ):
            raise _no_loss(loss)
        return LogitTerm(loss)
    if _is_keras_s(loss, keras.distillation.LogitsDistillation):
        return LogitTerm(_from_keras(loss))
    if isinstance(loss, keras.distillation.FeatureDistillation):
        return FeatureTerm(loss)
    if isinstance(loss, keras.distillation.DistillationLoss):
        loss.validate_model_compatibility(teacher, student)
        return OutputTerm(loss)
    raise _no_loss(loss)


def _no_loss(loss: Any) -> ValueError:
    return ValueError(
        "`distillation_losses` must be a `DistillationLoss`, such as "
        "`keras_dts.losses.KD()`, a list of them, or a list or dictionary "
        "like the student's outputs, with `None` for those to skip. "
        f"Received: {loss!r}"
    )


def _is_keras_s(loss: Any, kind: Any) -> bool:
    """Says whether a loss computes what Keras's class of that kind does."""
    return isinstance(loss, kind) and (
        type(loss).compute_loss is kind.compute_loss
    )


def _from_keras(loss: Any) -> Any:
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
        return OnLogits(loss.temperature, function)

    return keras.tree.map_structure(convert, loss.loss)


def spread(structure: Any, outputs: Any, argument: str) -> list[Any]:
    """Returns what a structure says of each output, as a flat list.

    Args:
        structure: One thing for all outputs, or a list or dictionary of
            things like `outputs`; a dictionary may leave outputs out.
        outputs: A model's output: a tensor, list, tuple or dictionary.
        argument: The argument's name, for the message.

    Raises:
        ValueError: If the structures do not fit.
    """
    flat = keras.tree.flatten(outputs)
    if isinstance(structure, dict) and isinstance(outputs, dict):
        unknown = set(structure) - set(outputs)
        if not unknown:
            return [structure.get(key) for key in sorted(outputs)]
    elif isinstance(structure, (list, tuple)):
        if len(structure) == len(flat) and not isinstance(outputs, dict):
            return list(structure)
    elif not isinstance(structure, dict):
        return [structure] * len(flat)
    wanted = sorted(outputs) if isinstance(outputs, dict) else len(flat)
    raise ValueError(
        f"`{argument}` must fit the student's outputs: {wanted}. "
        f"Received: {structure!r}"
    )


def _has_positions(values: Tensor, padding: Tensor) -> bool:
    return len(values.shape) >= 2 and values.shape[1] == padding.shape[1]


def _names(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _read(answers: ModelOutputs, paths: tuple[str, ...]) -> list[Tensor]:
    """Returns a layer's outputs, or the model's, as a flat list."""
    found = answers.features[paths[0]] if paths else answers.outputs
    return keras.tree.flatten(found)


def _weights(values: Tensor, sample_weight: Any) -> Tensor:
    """Returns a weight for each value.

    The first of the sample weights counts; where they have another shape
    than the values, their mean over all axes but the first.
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
