"""The teacher and the student, built and checked together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_dts.chunking import ChunkPlan
from keras_dts.distiller.given_labels import first_bad_label
from keras_dts.distiller.terms import LossUse, Terms
from keras_dts.features import FeatureExtractor, SymbolicCall, known_input
from keras_dts.hub import same_tokens, tokens_unknown
from keras_dts.logits import (
    OutputSpec,
    class_counts,
    find_output_kinds,
    lost_probabilities,
    output_specs,
)
from keras_dts.temperatures import Temperature
from keras_dts.types import (
    CachedBatch,
    ChunkableBatch,
    FeatureBatch,
    ModelOutputs,
    PreprocessedInputs,
)
from keras_dts.utils import per_output


class ModelPair:
    """Gives each model its input, and builds and checks both of them once.

    Args:
        teacher: The teacher.
        student: The student.
        terms: The terms of the distillation loss.
        policies: The temperatures in use.
        from_logits: For teacher and student whether their outputs are
            logits, or `"auto"`.
        teacher_inputs: `None`, or a function from a batch's `x` to the
            teacher's input.
        student_inputs: The same for the student.

    Attributes:
        policies: The temperatures in use.
        specs: How each output that losses on logits read is read; empty until
            both models are built.
        uses: The losses on logits, with the outputs that they read; empty
            until then.
        teacher_structure: The structure of the teacher's outputs, of zeros.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        terms: Terms,
        policies: Sequence[Temperature],
        from_logits: tuple[Any, Any],
        teacher_inputs: Callable[[Any], Any] | None,
        student_inputs: Callable[[Any], Any] | None,
    ) -> None:
        self._models = (teacher, student)
        self._teacher = FeatureExtractor(
            "teacher", teacher, terms.teacher_paths
        )
        self._student = FeatureExtractor(
            "student", student, terms.student_paths
        )
        self._terms = terms
        self.passes = terms.passes
        self._layers = [teacher, student, *terms.projectors, *policies]
        self.policies = tuple(policies)
        self.from_logits = from_logits
        self._teacher_inputs = teacher_inputs
        self._student_inputs = student_inputs
        self._checked = False
        self.specs: tuple[OutputSpec, ...] = ()
        self.uses: list[LossUse] = []
        self.teacher_structure: Any = None

    @property
    def is_ready(self) -> bool:
        """Whether both models, and all that depends on them, are built."""
        return self._checked and all(layer.built for layer in self._layers)

    def class_counts(self, loss: Any) -> str:
        """Says how many classes each output has that losses read.

        Args:
            loss: The loss given to `compile`, or `None`.
        """
        names = getattr(self._models[1], "output_names", None)
        return class_counts(self.specs, self._per_output(loss), names)

    def first_bad_label(self, y: Any, loss: Any) -> str:
        """Shows the first label in arrays that means nothing, for a message.

        Args:
            y: The labels given.
            loss: The loss given to `compile`, or `None`.
        """
        labels, losses = self._per_output(y), self._per_output(loss)
        return first_bad_label(self.specs, labels, losses)

    def _per_output(self, structure: Any) -> list[Any]:
        names = getattr(self._models[1], "output_names", None)
        return per_output(structure, self.teacher_structure, names or ())

    def teacher_input(self, x: Any) -> Any:
        """Returns the teacher's input for a batch's `x`."""
        if isinstance(x, PreprocessedInputs):
            return x.teacher
        return x if self._teacher_inputs is None else self._teacher_inputs(x)

    def student_input(self, x: Any) -> Any:
        """Returns the student's input for a batch's `x`."""
        if isinstance(x, PreprocessedInputs):
            return x.student
        return x if self._student_inputs is None else self._student_inputs(x)

    def teacher(self, x: Any, plan: ChunkPlan | None = None) -> ModelOutputs:
        """Runs the teacher, for inference.

        Args:
            x: The `x` of a batch.
            plan: `None`, or how the step is cut into chunks, if it is large
                enough; then the outputs may be `HiddenStates`.
        """
        inputs = self.teacher_input(x)
        if plan is None:
            return self._teacher(inputs, training=False)
        return _up_to_projection(plan, 0, inputs, training=False)

    def student(
        self, x: Any, training: bool | None, plan: ChunkPlan | None = None
    ) -> ModelOutputs:
        """Runs the student.

        Args:
            x: The `x` of a batch.
            training: Whether it runs in training mode.
            plan: As for `teacher`.
        """
        inputs = self.student_input(x)
        if plan is None:
            return self._student(inputs, training)
        return _up_to_projection(plan, 1, inputs, training=training)

    def ensure_ready(self, x: Any) -> None:
        """Builds and checks both models on a batch, unless that was done.

        Args:
            x: The `x` of a batch, or what a step made of it.
        """
        if isinstance(x, (CachedBatch, ChunkableBatch, FeatureBatch)):
            x = x.inputs
        if not self.is_ready:
            self._prepare(
                _first_input("teacher_inputs", self.teacher_input, x),
                _first_input("student_inputs", self.student_input, x),
            )

    def build_symbolically(self) -> bool:
        """Builds and checks both models without data, if they say their inputs.

        Returns:
            Whether that was possible.
        """
        for model, said in zip(self._models, self.from_logits, strict=True):
            if self._terms.reads_logits and model.built:
                find_output_kinds(model, said)
        inputs = [known_input(model) for model in self._models if model.built]
        if len(inputs) < 2 or None in inputs:
            return False
        SymbolicCall(self._prepare).trace(*inputs)
        return self._checked

    def _prepare(self, teacher_input: Any, student_input: Any) -> Any:
        """Runs both models once, and builds and checks what depends on them.

        Returns:
            The student's outputs.
        """
        known = len(self._models[0].weights)
        teacher = self._teacher(teacher_input, training=False)
        _warn_of_random_weights(self._models[0], known)
        student = self._student(student_input, training=False)
        self.uses = self._terms.uses(student.outputs)
        # While a model is loaded from a file, its tokens come last.
        unknown = tokens_unknown(*self._models)
        self.specs = output_specs(
            self._models,
            (teacher.outputs, student.outputs),
            self._terms.readers(student.outputs),
            self.from_logits,
            same_tokens=True if unknown else same_tokens(*self._models),
        )
        self.teacher_structure = keras.tree.map_structure(
            lambda _: 0, teacher.outputs
        )
        self._warn_of_half_precision(teacher.outputs, student.outputs)
        self._terms.build_for(teacher, student)
        self._build_policies(teacher.outputs, student.outputs)
        self._checked = not unknown
        return student.outputs

    def _warn_of_half_precision(self, teacher: Any, student: Any) -> None:
        theirs, ours = keras.tree.flatten(teacher), keras.tree.flatten(student)
        for spec in self.specs:
            i = spec.index
            for role, model, output, kind in (
                ("teacher", self._models[0], theirs[i], spec.teacher_kind),
                ("student", self._models[1], ours[i], spec.student_kind),
            ):
                lost = lost_probabilities(output, kind)
                if lost is not None:
                    _warn_of_lost_probabilities(role, model, lost)

    def _build_policies(self, teacher: Any, student: Any) -> None:
        theirs, ours = keras.tree.flatten(teacher), keras.tree.flatten(student)
        for spec in self.specs:
            shapes = spec.logit_shapes(theirs[spec.index], ours[spec.index])
            for policy in self.policies:
                if not policy.built:
                    policy.build(*shapes)


def _first_input(name: str, function: Callable[[Any], Any], x: Any) -> Any:
    """Returns a model's input, or raises an error that names the argument."""
    try:
        return function(x)
    except Exception as error:
        raise ValueError(
            f"`{name}` must return a model's input for the `x` of a batch. "
            f"Received: a function that failed: {error!r}"
        ) from error


def _warn_of_random_weights(teacher: keras.Model, known: int) -> None:
    """Warns if a teacher made weights when it was first called.

    Args:
        teacher: The teacher.
        known: How many weights it had before.
    """
    new = len(teacher.weights) - known
    if new:
        warnings.warn(
            f"`teacher` must be trained, but {teacher.name!r} was not built: "
            f"{new} of its weights are random. Load or train them first.",
            stacklevel=2,
        )


def _warn_of_lost_probabilities(
    role: str, model: keras.Model, lost: str
) -> None:
    warnings.warn(
        f"`{role}` should not round its probabilities, but {model.name!r} "
        f"returns them in {lost}, and a temperature makes such ones count. "
        'Give its last layer `dtype="float32"`, or let it return logits.',
        stacklevel=2,
    )


def _up_to_projection(
    plan: ChunkPlan, role: int, inputs: Any, *, training: bool | None
) -> ModelOutputs:
    """Runs a model up to its projection, where the step is large enough."""
    outputs = plan.splits[role](
        inputs,
        training,
        lambda states: plan.size(*states.shape[:2]) is not None,
    )
    return ModelOutputs(outputs, {})
