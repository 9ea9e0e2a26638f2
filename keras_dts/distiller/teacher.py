"""Where the teacher's outputs come from: the teacher, or a cache."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import keras

from keras_dts.backend import no_gradient
from keras_dts.cache import OutputCodec
from keras_dts.chunking import ChunkPlan
from keras_dts.distiller.model_pair import ModelPair
from keras_dts.distiller.state import pairs_in
from keras_dts.hub import align_spans
from keras_dts.types import (
    CachedBatch,
    HiddenStates,
    PreprocessedInputs,
    TeacherOutputs,
)


class TeacherSource:
    """Returns the teacher's outputs, wherever they come from.

    Args:
        models: The teacher and the student.
        distiller: The distiller, whose variables a step's state holds.
    """

    def __init__(self, models: ModelPair, distiller: keras.Model) -> None:
        self._models = models
        self._live = LiveTeacher(models, distiller)
        self._cached = CachedTeacher(models, distiller.teacher)

    def outputs(
        self,
        x: Any,
        state: Any = None,
        plan: ChunkPlan | None = None,
        *,
        training: bool = False,
    ) -> TeacherOutputs:
        """Returns the teacher's outputs for a batch.

        Args:
            x: The `x` of a batch, a `CachedBatch` if it is from a cache.
            state: On JAX, the state of the training, else `None`.
            plan: `None`, or how the step is cut into chunks, if it is large
                enough.
            training: Whether the step trains, so that losses read them.
        """
        inputs = x.inputs if isinstance(x, CachedBatch) else x
        self._models.ensure_ready(inputs)
        if isinstance(x, CachedBatch):
            teacher = self._cached(x)
        else:
            teacher = self._live(x, state, plan, training=training)
        if isinstance(inputs, PreprocessedInputs) and inputs.spans:
            outputs, overlap = align_spans(teacher.outputs, *inputs.spans)
            return teacher._replace(outputs=outputs, overlap=overlap)
        return teacher


class LiveTeacher:
    """The teacher itself: it runs, without a gradient, and changes nothing.

    Args:
        models: The teacher and the student.
        distiller: The distiller, whose variables a step's state holds.
    """

    def __init__(self, models: ModelPair, distiller: keras.Model) -> None:
        self._models = models
        self._distiller = distiller

    def __call__(
        self,
        x: Any,
        state: Any,
        plan: ChunkPlan | None,
        *,
        training: bool = False,
    ) -> TeacherOutputs:
        """Returns the teacher's outputs for a batch's `x`."""
        with self._scope(state, training), no_gradient():
            outputs, features = self._models.teacher(x, plan)
            for name, run in self._models.passes if training else ():
                step = self._distiller.optimizer.iterations.value
                features[name] = run(self._models.teacher_input(x), step)
        return TeacherOutputs(outputs, features)

    def _scope(self, state: Any, training: bool) -> AbstractContextManager[Any]:
        """Returns a scope that drops what the teacher assigns.

        On JAX, it also gives the teacher the values in the state.
        """
        if state is None:
            return keras.StatelessScope()
        # The optimizer counts the steps; an evaluation's state is without it.
        known = state[: 3 if training else 2]
        return keras.StatelessScope(pairs_in(self._distiller, known))


class CachedTeacher:
    """The outputs that a cache holds, made what the teacher returns.

    Args:
        models: The teacher and the student.
        teacher: The teacher.
    """

    def __init__(self, models: ModelPair, teacher: keras.Model) -> None:
        self._models = models
        self._codec = OutputCodec(teacher, models.from_logits[0])

    def __call__(self, x: CachedBatch) -> TeacherOutputs:
        """Returns the teacher's outputs for a cached batch."""
        outputs = keras.tree.pack_sequence_as(
            self._models.teacher_structure, self._codec.restore(x)
        )
        classes = [x.classes.get(str(i)) for i in range(len(x.outputs))]
        return TeacherOutputs(outputs, x.features, classes)


def comes_in_chunks(teacher: TeacherOutputs, plan: ChunkPlan) -> bool:
    """Says whether a step is large enough to be cut into chunks."""
    outputs = teacher.outputs
    if isinstance(outputs, HiddenStates):
        return True
    first = keras.tree.flatten(outputs)[0]
    return len(first.shape) == 3 and plan.size(*first.shape[:2]) is not None
