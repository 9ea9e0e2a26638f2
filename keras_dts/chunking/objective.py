"""A batch of hidden states becomes chunked logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_dts.chunking.logits import (
    ChunkedBatch,
    LogitChunk,
    TokenStream,
    one_by_one,
)
from keras_dts.features import SplitModel
from keras_dts.logits import (
    EntryWeights,
    OutputSpec,
    Targets,
    pair_outputs,
    teacher_faults,
)
from keras_dts.types import HiddenStates, TeacherOutputs, Tensor
from keras_dts.utils import per_output


class Chunker:
    """Makes chunked logits of what both models return up to their projection.

    Args:
        splits: The teacher and the student in two parts.
        specs: How the output of both models is read.
        weights_layer: Reads the mask of the hidden states.
    """

    def __init__(
        self,
        splits: tuple[SplitModel, ...],
        specs: tuple[OutputSpec, ...],
        weights_layer: EntryWeights,
    ) -> None:
        self._teacher, self._student = splits
        self._specs = specs
        self._weights_layer = weights_layer

    def __call__(
        self,
        teacher: TeacherOutputs,
        student: HiddenStates,
        targets: Targets,
        size: int,
        *,
        jit: bool,
    ) -> ChunkedBatch:
        """Returns the logits of a step, to be computed chunk by chunk.

        Args:
            teacher: The teacher's outputs: hidden states, or cached logits.
            student: The student's hidden states.
            targets: The labels and the weights.
            size: The number of tokens in a chunk.
            jit: As for `backend.map_chunks`.
        """
        states = student.states
        y, weights, loss = (per_output(x, student)[0] for x in targets[:3])
        batch = {
            "teacher": self._teacher_tokens(teacher, states),
            "student": states,
            "weights": self._weights_layer(states, sample_weight=weights),
        }
        if y is not None:
            batch["y"] = ops.reshape(y, ops.shape(states)[:2])
        if teacher.classes and teacher.classes[0] is not None:
            batch["classes"] = teacher.classes[0]
        live = isinstance(teacher.outputs, HiddenStates)
        tokens = TokenStream(
            self._reader(targets.loss, live=live),
            self._student.values(),
            {name: one_by_one(x) for name, x in batch.items()},
            ops.shape(states)[:2],
            size,
            jit,
        )
        label_loss = None
        if loss is not None and y is not None:
            label_loss = keras.losses.get(loss)
        return ChunkedBatch(tokens, label_loss)

    def _teacher_tokens(self, teacher: TeacherOutputs, states: Tensor) -> Any:
        """Returns the teacher's hidden states, or its cached logits."""
        if not isinstance(teacher.outputs, HiddenStates):
            return keras.tree.flatten(teacher.outputs)[0]
        hidden = teacher.outputs.states
        for spec in self._specs:
            # Of the outputs that nobody holds, the shapes are known.
            whole = (
                keras.KerasTensor((*x.shape[:-1], split.classes))
                for x, split in (
                    (hidden, self._teacher),
                    (states, self._student),
                )
            )
            spec.check_shapes(*spec.cut(*whole))
        return hidden

    def _reader(self, loss: Any, *, live: bool) -> Any:
        """Returns a function from a chunk of tokens to its logits.

        Args:
            loss: The loss given to `compile`.
            live: Whether the teacher's hidden states are in the chunk, and
                not its logits.
        """
        fixed = [ops.stop_gradient(value) for value in self._teacher.values()]

        def read(trained: list[Tensor], chunk: dict[str, Tensor]) -> LogitChunk:
            outputs = self._student.project(chunk["student"], trained)
            teacher = chunk["teacher"]
            if live:
                teacher = self._teacher.project(teacher, fixed)
            paired = pair_outputs(
                self._specs,
                TeacherOutputs(
                    ops.stop_gradient(teacher),
                    {},
                    [chunk["classes"]] if "classes" in chunk else None,
                ),
                outputs,
                Targets(chunk.get("y"), chunk["weights"], loss),
                self._weights_layer,
            )
            (pair,) = paired.pairs
            # Beside a projection onto the vocabulary, a look costs little.
            faults = paired.faults | teacher_faults([pair.teacher], True)
            return LogitChunk(pair, faults, paired.y, outputs)

        return read


class ReducedLabelLoss(keras.losses.Loss):
    """Reduces values that a loss on labels computed, with masks and weights."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the values; `y_pred` only brings its mask."""
        del y_pred
        return y_true
