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


class HiddenStates(NamedTuple):
    """What a split model returns in the place of its output.

    Attributes:
        states: The input of the output projection, in the dtype that this
            computes in, shape `(batch, length, width)`.
    """

    states: Tensor


class TokenizedInputs(NamedTuple):
    """A batch that each model's own preprocessor has tokenized.

    Attributes:
        student: The student's inputs.
        teacher: The teacher's inputs.
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
