"""What travels through a step: a batch, and what the models answer to it."""

from __future__ import annotations

from typing import Any, NamedTuple

# A backend's tensor. `Any`, so that no backend is needed to check types.
Tensor = Any


class ModelOutputs(NamedTuple):
    """A model's outputs for one batch, and the outputs of selected layers.

    Attributes:
        outputs: The model's output: a tensor, list, tuple or dictionary.
        features: The outputs of layers, by their path.
    """

    outputs: Any
    features: dict[str, Any]


class TeacherOutputs(NamedTuple):
    """The teacher's outputs for one batch, wherever they come from.

    Attributes:
        outputs: What the teacher returns: a tensor, list, tuple or dictionary
            of tensors of shape `(batch, ..., classes)`; or `HiddenStates`.
        features: The outputs of layers, by their path.
        classes: `None`, or for each output `None` or the classes of top-k log
            probabilities, int32, shape `(batch, ..., k)`.
        overlap: `None`, or 1 where both models have a position to compare,
            else 0, float32, shape `(batch, length)`.
    """

    outputs: Any
    features: dict[str, Any]
    classes: list[Tensor | None] | None = None
    overlap: Tensor | None = None


class TaughtLabels(NamedTuple):
    """The targets of a step: the labels, and the teacher's outputs.

    It travels as the `y` of Keras's own step, so that `x` stays what the
    student takes.

    Attributes:
        y: The labels, or `None`.
        teacher: The teacher's outputs.
        inputs: The `x` of the batch.
        faults: What is wrong with the batch, bool scalars by cause.
        written: Whether a model wrote the labels, which then have no loss of
            their own, a bool scalar; `None` if the data have them.
        logged: What the step logs beside its losses, scalars by name.
    """

    y: Any
    teacher: TeacherOutputs
    inputs: Any
    faults: dict[str, Tensor]
    written: Tensor | None
    logged: dict[str, Tensor]


class WrittenLabels(NamedTuple):
    """The labels of a text that a model may have written for this step.

    It travels as the `y` of a training step.

    Attributes:
        y: The labels.
        written: As of `TaughtLabels`.
        logged: As of `TaughtLabels`.
    """

    y: Any
    written: Tensor | None
    logged: dict[str, Tensor]


class FeatureBatch(NamedTuple):
    """Inputs for which the student returns the outputs of layers too.

    Attributes:
        inputs: The `x` of the batch.
    """

    inputs: Any


class ChunkableBatch(NamedTuple):
    """Inputs for which the student stops before its output projection.

    Attributes:
        inputs: The `x` of the batch.
    """

    inputs: Any


class HiddenStates(NamedTuple):
    """What a split model returns in the place of its output.

    Attributes:
        states: The input of the output projection, in the dtype that this
            computes in, shape `(batch, length, width)`.
    """

    states: Tensor


class PreprocessedInputs(NamedTuple):
    """A batch that is the input of each model already.

    Attributes:
        student: The student's inputs.
        teacher: The teacher's inputs; empty where the teacher does not run.
        spans: Empty, or, for language models with different tokens, which
            positions count for the teacher and for the student, each of
            shape `(batch, length)`.
    """

    student: Any
    teacher: Any
    spans: tuple[Tensor, ...]


class CachedBatch(NamedTuple):
    """A batch's inputs with the teacher's outputs as a cache holds them.

    Attributes:
        inputs: The batch's `x`.
        outputs: The teacher's outputs, as a flat tuple.
        classes: Which classes top-k outputs are of, int32, shape
            `(batch, ..., k)`, by the number of the output, as a string.
        features: The teacher's features, by path.
    """

    inputs: Any
    outputs: tuple[Tensor, ...]
    classes: dict[str, Tensor]
    features: dict[str, Tensor]
